"""Sealed frames: what opens, what does not, what repeats, what garbage costs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay import frame as module
from overlay.frame import FRAME_OVERHEAD_BYTES, NEW_PEERS_PER_SECOND_MAX, PAYLOAD_BYTES_MAX, FrameBox
from overlay.heard import HEARD_SECONDS_MAX, HeardAddresses
from overlay.members import Members
from overlay.replay import REPLAY_WINDOW_FRAMES
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey
from tests.overlay.devices import UNIX, Town

CHANCE = Chance.seeded(7)
ALICE, BOB, CAROL = (NodeKey.generate(CHANCE) for _ in range(3))


def box(key: NodeKey, started: float = 1_000.0, seed: int = 1) -> FrameBox:
    return FrameBox(key, Chance.seeded(seed), started)


def test_a_frame_opens_at_the_other_end_both_ways() -> None:
    alice, bob = box(ALICE), box(BOB)
    for number in range(3):
        payload = b"payload %d" % number
        frame = alice.seal(BOB.public, payload)
        assert frame[0] >= 192
        assert len(frame) == len(payload) + FRAME_OVERHEAD_BYTES
        assert payload not in frame
        assert bob.open(frame, 0.0) == (ALICE.public, payload)
        assert alice.open(bob.seal(ALICE.public, payload), 0.0) == (BOB.public, payload)


@settings(max_examples=200)
@given(st.binary(max_size=PAYLOAD_BYTES_MAX))
def test_round_trip(payload: bytes) -> None:
    assert box(BOB).open(box(ALICE).seal(BOB.public, payload), 0.0) == (ALICE.public, payload)


def test_a_payload_over_the_limit_is_refused() -> None:
    box(ALICE).seal(BOB.public, bytes(PAYLOAD_BYTES_MAX))
    with pytest.raises(LocalError):
        box(ALICE).seal(BOB.public, bytes(PAYLOAD_BYTES_MAX + 1))


def test_a_frame_for_another_node_is_refused() -> None:
    frame = box(ALICE).seal(BOB.public, b"x")
    with pytest.raises(RemoteError, match="another node"):
        box(CAROL).open(frame, 0.0)


def test_our_own_frame_sent_back_is_refused() -> None:
    alice = box(ALICE)
    with pytest.raises(RemoteError):
        alice.open(alice.seal(BOB.public, b"x"), 0.0)


def test_each_flipped_bit_is_noticed_by_who_knows_the_sender_and_by_who_does_not() -> None:
    alice = box(ALICE)
    knowing = box(BOB)
    knowing.open(alice.seal(BOB.public, b"x"), 0.0)
    frame = alice.seal(BOB.public, b"hello")
    for bit in range(8 * len(frame)):
        bent = bytearray(frame)
        bent[bit // 8] ^= 1 << bit % 8
        for bob in (knowing, box(BOB)):
            with pytest.raises(RemoteError):
                bob.open(bytes(bent), float(bit))
    assert knowing.open(frame, 0.0)[1] == b"hello"


def test_a_repeated_frame_is_refused() -> None:
    alice, bob = box(ALICE), box(BOB)
    frame = alice.seal(BOB.public, b"x")
    bob.open(frame, 0.0)
    with pytest.raises(RemoteError) as caught:
        bob.open(frame, 0.0)
    assert caught.value.status == 409


def test_overtaken_frames_are_taken_within_the_window() -> None:
    alice, bob = box(ALICE), box(BOB)
    frames = [alice.seal(BOB.public, b"%d" % number) for number in range(REPLAY_WINDOW_FRAMES + 1)]
    bob.open(frames[-1], 0.0)
    for frame in frames[1:-1]:
        bob.open(frame, 0.0)
    with pytest.raises(RemoteError):
        bob.open(frames[0], 0.0)


def test_an_earlier_run_cannot_be_replayed_after_a_later_one() -> None:
    first, bob = box(ALICE, 1_000.0), box(BOB)
    held_back = [first.seal(BOB.public, b"old") for _ in range(2)]
    bob.open(held_back[0], 0.0)
    second = box(ALICE, 1_001.0, seed=2)
    bob.open(second.seal(BOB.public, b"new"), 0.0)
    for frame in held_back:
        with pytest.raises(RemoteError):
            bob.open(frame, 0.0)
    bob.open(second.seal(BOB.public, b"new"), 0.0)


def test_two_runs_never_share_a_nonce_even_within_a_second() -> None:
    frames = [FrameBox(ALICE, Chance.seeded(seed), 1_000.0).seal(BOB.public, b"x") for seed in range(200)]
    assert len({frame[37:49] for frame in frames}) == 200


def test_a_forgotten_peer_never_gets_a_nonce_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEER_KEYS_MAX", 2)
    alice = box(ALICE)
    numbers = []
    for _round in range(5):
        for peer in (BOB, CAROL, NodeKey.generate(CHANCE)):
            frame = alice.seal(peer.public, b"x")
            if peer is BOB:
                numbers.append(int.from_bytes(frame[37:49], "big"))
            assert len(alice) <= 2
    assert numbers == sorted(set(numbers))


def test_peers_are_bounded_and_the_one_unused_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEER_KEYS_MAX", 3)
    bob = box(BOB)
    keys = [NodeKey.generate(CHANCE) for _ in range(4)]
    for key in keys[:3]:
        bob.open(box(key).seal(BOB.public, b"x"), 0.0)
    bob.seal(keys[0].public, b"x")
    bob.open(box(keys[3]).seal(BOB.public, b"x"), 0.0)
    assert list(bob._peers) == [keys[2].public, keys[0].public, keys[3].public]


def test_members_are_forgotten_after_strangers_and_take_their_certificates_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PEER_KEYS_MAX", 3)
    town = Town()
    devices = [town.device("alice") for _ in range(5)]
    bob = box(BOB)
    members = Members(town.membership(), bob)
    for device in devices[:3]:
        bob.open(box(device.node_key).seal(BOB.public, b"x"), 0.0)
    for device in devices[:2]:
        assert members.learn(device.node_key.public, device.certificate.der, UNIX) == device.certificate
    assert (len(members), devices[2].node_key.public in members) == (2, False)
    bob.open(box(devices[3].node_key).seal(BOB.public, b"x"), 0.0)
    assert (len(members), len(bob), bob.peer(devices[2].node_key.public)) == (2, 3, None)
    members.learn(devices[3].node_key.public, devices[3].certificate.der, UNIX)
    bob.open(box(devices[4].node_key).seal(BOB.public, b"x"), 0.0)  # all are members: one of them makes room
    assert (len(members), len(bob)) == (2, 3)
    members.learn(devices[4].node_key.public, devices[4].certificate.der, UNIX)
    assert members.certificate_of(devices[4].node_key.public, UNIX) == devices[4].certificate
    known = [members.certificate_of(device.node_key.public, UNIX) is not None for device in devices]
    assert sorted(known) == [False, False, True, True, True]


def test_where_a_node_was_heard_from_is_known_and_fresh_for_a_while() -> None:
    alice, bob = box(ALICE), box(BOB)
    heard = HeardAddresses(bob)
    assert heard.get(ALICE.public) is None
    bob.seal(ALICE.public, b"x")
    assert (heard.get(ALICE.public), heard.is_fresh(ALICE.public, 5.0)) == (None, False)
    bob.open(alice.seal(BOB.public, b"x"), 5.0, ("192.0.2.1", 7))
    with pytest.raises(RemoteError):
        bob.open(alice.seal(BOB.public, b"x")[:-1] + b"!", 6.0, ("192.0.2.2", 7))
    assert heard.get(ALICE.public) == ("192.0.2.1", 7)
    assert heard.is_fresh(ALICE.public, 5.0 + HEARD_SECONDS_MAX - 0.1)
    assert not heard.is_fresh(ALICE.public, 5.0 + HEARD_SECONDS_MAX)


def _forged(sender: bytes) -> bytes:
    """A frame of a stranger who knows Bob's key, but not the secret of the key that it claims."""
    return module._head(sender, BOB.public) + bytes(12 + 16)


def test_strangers_have_a_budget_and_known_peers_do_not() -> None:
    alice, bob = box(ALICE), box(BOB)
    bob.open(alice.seal(BOB.public, b"x"), 0.0)
    words = set()
    for _ in range(NEW_PEERS_PER_SECOND_MAX):
        with pytest.raises(RemoteError) as caught:
            bob.open(_forged(CHANCE.bytes(32)), 0.0)
        words.add(str(caught.value))
    assert "a frame that is not authentic" in words
    with pytest.raises(RemoteError, match="new peers"):
        bob.open(box(CAROL).seal(BOB.public, b"x"), 0.0)
    assert bob.open(alice.seal(BOB.public, b"y"), 0.0)[1] == b"y"
    assert bob.open(box(CAROL).seal(BOB.public, b"z"), 1.0)[1] == b"z"


def test_garbage_spends_no_budget_and_no_memory() -> None:
    bob = box(BOB)
    for _ in range(10_000):
        with pytest.raises(RemoteError):
            bob.open(b"\xc0" + CHANCE.bytes(100), 0.0)
    for _ in range(100):
        with pytest.raises(RemoteError):
            bob.open(_forged(CHANCE.bytes(32)), 0.0)
    assert len(bob) == 0
    assert bob.open(box(ALICE).seal(BOB.public, b"x"), 0.0)[1] == b"x"


def test_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(RemoteError):
        box(BOB).open(_forged(bytes(32)), 0.0)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        box(BOB).open(data, 0.0)


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 100))
def test_mutated_frames_are_refused(at: int, value: int, cut: int) -> None:
    frame = box(ALICE).seal(BOB.public, b"some payload")
    bent = bytearray(frame)
    bent[at % len(bent)] = value
    bent = bent[: len(bent) - cut]
    if bytes(bent) != frame:
        with pytest.raises(RemoteError):
            box(BOB).open(bytes(bent), 0.0)
