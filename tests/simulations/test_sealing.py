"""Sealing in simulations: both ends agree, lengths are the real ones, accidents are noticed, tables are bounded."""

import pytest

from overlay.frame import FRAME_OVERHEAD_BYTES, FrameBox
from overlay.sealing import POOLED_CIPHERS_MAX, STATIC_SEALING, Sealing, pooled_cipher
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey
from simulations import sealing as module
from simulations.sealing import PEERS_MAX, SharedSealing, StandInSealing

CHANCE = Chance.seeded(5)
ALICE, BOB, CAROL = (NodeKey.generate(CHANCE) for _ in range(3))
NONCE = bytes(12)


def box(key: NodeKey, sealing: Sealing) -> FrameBox:
    """The frames of one node."""
    return FrameBox(key, Chance.seeded(1), 1_000.0, sealing)


@pytest.mark.parametrize("sealing", [SharedSealing(), StandInSealing()])
def test_both_ends_understand_one_another_at_the_real_length(sealing: Sealing) -> None:
    alice, bob = box(ALICE, sealing), box(BOB, sealing)
    for payload in (b"", b"hello", bytes(1_000)):
        frame = alice.seal(BOB.public, payload)
        assert len(frame) == len(payload) + FRAME_OVERHEAD_BYTES
        assert bob.open(frame, 0.0) == (ALICE.public, payload)
        assert alice.open(bob.seal(ALICE.public, payload), 0.0) == (BOB.public, payload)


@pytest.mark.parametrize("sealing", [SharedSealing(), StandInSealing()])
def test_each_flipped_bit_is_noticed(sealing: Sealing) -> None:
    bob = box(BOB, sealing)
    frame = box(ALICE, sealing).seal(BOB.public, b"hello")
    for bit in range(8 * len(frame)):
        bent = bytearray(frame)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteError):
            bob.open(bytes(bent), float(bit))
    assert bob.open(frame, 1e6)[1] == b"hello"


@pytest.mark.parametrize("sealing", [SharedSealing(), StandInSealing()])
def test_what_another_has_sealed_is_refused(sealing: Sealing) -> None:
    sealed = sealing.cipher(CAROL, BOB.public).encrypt(NONCE, b"hello")
    with pytest.raises(RemoteError) as caught:
        sealing.cipher(BOB, ALICE.public).decrypt(NONCE, sealed)
    assert caught.value.status == 403
    with pytest.raises(RemoteError):
        sealing.cipher(BOB, CAROL.public).decrypt(bytes(11) + b"1", sealed)
    with pytest.raises(RemoteError):
        sealing.cipher(BOB, CAROL.public).decrypt(NONCE, sealed[:15])
    with pytest.raises(RemoteError):
        sealing.cipher(ALICE, b"no key")


def test_shared_sealing_is_the_sealing_of_production() -> None:
    sealing = SharedSealing()
    frame = box(ALICE, sealing).seal(BOB.public, b"hello")
    assert box(BOB, STATIC_SEALING).open(frame, 0.0)[1] == b"hello"
    assert len(sealing) == 1
    assert box(BOB, sealing).open(frame, 0.0)[1] == b"hello"
    assert len(sealing) == 0


def test_pairs_that_wait_for_their_other_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS_MAX", 2)
    sealing = SharedSealing()
    for _ in range(3):
        sealing.cipher(ALICE, NodeKey.generate(CHANCE).public)
    assert len(sealing) == 2


def test_a_node_remembers_the_keys_of_no_more_than_the_bound() -> None:
    alice = box(ALICE, StandInSealing())
    for number in range(PEERS_MAX + 1):
        alice.seal(number.to_bytes(32, "big"), b"x")
    assert len(alice) == PEERS_MAX


def test_the_pool_of_ciphers_is_bounded() -> None:
    for number in range(POOLED_CIPHERS_MAX + 1):
        pooled_cipher(number.to_bytes(32, "big"))
    assert pooled_cipher.cache_info().currsize == POOLED_CIPHERS_MAX
