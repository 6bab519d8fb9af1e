"""The core of one node: who gets into its table, what it makes of garbage and strangers, and what it says to whom."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.correspondence import UNPROVED_MESSAGES_MAX
from overlay.events import ConfigurationChanged, MessageArrived, PeerJoined
from overlay.frame import PAYLOAD_BYTES_MAX, FrameBox
from overlay.handover import OFFER_SECONDS, OFFERED_MAX
from overlay.rpc import FIND, PING
from overlay.upkeep import SILENT_EACH_SECONDS
from overlay.votes import VOTES_MAX
from p2psip.base.chance import Chance
from p2psip.base.codec import pack
from p2psip.base.core import Transmit
from p2psip.base.keys import NodeKey
from tests.overlay.devices import Device, Town
from tests.overlay.world import Node, World

STRANGER = ("10.9.9.9", 5000)


class Stranger:
    """Somebody with a node key of their own and no certificate, who talks to one node."""

    def __init__(self, world: World, node: Node, seed: int = 1, *, key: NodeKey | None = None) -> None:
        self.world, self.node = world, node
        self.key = key or NodeKey.generate(Chance.seeded(seed))
        self.box = FrameBox(self.key, Chance.seeded(seed), world.unix)

    def say(self, payload: bytes, *, address: tuple[str, int] = STRANGER) -> list[Transmit]:
        """Send a payload in an authentic frame; what the node sends because of it."""
        self.node.peer.receive(self.box.seal(self.node.key, payload), address, self.world.now)
        sent = []
        while (output := self.node.peer.poll_output()) is not None:
            if isinstance(output, Transmit):
                sent.append(output)
        return sent


def pair(seed: int = 1) -> tuple[World, Node, Node]:
    """Two nodes that know each other."""
    world = World(seed)
    world.populate(2)
    world.run(1)
    return world, world.nodes[0], world.nodes[1]


def test_two_nodes_meet_and_each_takes_the_other_in() -> None:
    _world, one, other = pair()
    assert [contact.node_key for contact in one.peer.table] == [other.key]
    assert [contact.node_key for contact in other.peer.table] == [one.key]
    assert [type(event) for event in one.events] == [PeerJoined]
    assert (one.peer.malformed, other.peer.malformed) == (0, 0)


@pytest.mark.parametrize("kind", ["foreign", "stolen"])
def test_who_is_no_member_gets_into_no_table(kind: str) -> None:
    world = World(2)
    host, honest = world.add(), world.town.device("bob")
    thief = Device(NodeKey.generate(Chance.seeded(3)), honest.signing_key, honest.certificate)
    node = world.add(device=thief if kind == "stolen" else Town(seed=88).device("bob"))
    node.peer.greet(host.key, host.address, world.now)
    world.pump(node)
    world.run(10)
    assert (len(host.peer.table), host.events) == (0, [])


def test_a_stranger_is_answered_but_not_taken_in() -> None:
    world = World(3)
    host = world.add()
    stranger = Stranger(world, host)
    sent = stranger.say(b"\x01" + pack([1, PING, True, b"", 0, b"", [bytes(400)]]))
    assert sent[0].destination == STRANGER
    assert len(host.peer.table) == 0


def test_who_is_banned_is_not_answered() -> None:
    world = World(4)
    host = world.add()
    stranger = Stranger(world, host)
    newer = world.town.configuration(2, banned_node_ids=frozenset((stranger.key.node_id,)))
    assert host.peer.update_configuration(newer)
    assert stranger.say(b"\x01" + pack([1, PING, True, b"", 0, b"", []])) == []


def test_a_frame_that_is_repeated_is_not_answered_again() -> None:
    world = World(5)
    host = world.add()
    stranger = Stranger(world, host)
    frame = stranger.box.seal(host.key, b"\x01" + pack([1, PING, False, b"", 0, b"", []]))
    for answers in (1, 0):
        host.peer.receive(frame, STRANGER, world.now)
        sent = [output for output in iter(host.peer.poll_output, None) if isinstance(output, Transmit)]
        assert len(sent) == answers


HOST_WORLD = World(6)
HOST = HOST_WORLD.add()
FUZZER = Stranger(HOST_WORLD, HOST)


@given(st.binary(max_size=200))
def test_any_payload_of_a_stranger_is_survived(payload: bytes) -> None:
    sent = FUZZER.say(payload)
    assert all(transmit.destination == STRANGER for transmit in sent)
    assert sum(len(transmit.data) for transmit in sent) <= 3 * (len(payload) + 65) + 3_000
    assert len(HOST.peer.table) == 0


@given(st.binary(max_size=300))
def test_any_datagram_is_survived_and_not_answered(data: bytes) -> None:
    before = HOST.peer.malformed
    HOST.peer.receive(data, STRANGER, HOST_WORLD.now)
    assert HOST.peer.poll_output() is None
    assert HOST.peer.malformed == before + 1


def test_a_stranger_gets_at_most_three_times_what_it_sent_in_all() -> None:
    """All datagrams that one request causes towards an unproved address, the ping back included."""
    world = World(7)
    world.populate(10)
    stranger = Stranger(world, world.nodes[0])
    for arguments in ([bytes(20), True], [bytes(20), True, bytes(300)]):
        payload = b"\x01" + pack([1, FIND, True, b"", 0, b"", arguments])
        sent = stranger.say(payload)
        assert 0 < sum(len(transmit.data) for transmit in sent) <= 3 * (len(payload) + 65)


def test_a_member_who_forges_its_address_has_little_more_than_three_times_as_much_sent_there() -> None:
    """The answer, and the question back with which it would be taken in: all that goes to the bystander in a minute."""
    world = World(7)
    world.populate(10)
    member = world.town.device("mallory")
    liar = Stranger(world, world.nodes[0], key=member.node_key)
    payload = b"\x01" + pack([1, FIND, True, b"", 1, member.certificate.der, [bytes(20), True]])
    at_once = [len(transmit.data) for transmit in liar.say(payload)]
    before = len(world.trace)
    world.run(60)
    later = [size for _at, _from, to, size in world.trace[before:] if to == STRANGER]
    assert len(at_once) + len(later) == 3  # the answer, and a greeting that is repeated once
    assert sum(at_once) + sum(later) <= 3.4 * (len(payload) + 65)


def test_an_address_is_believed_when_two_peers_have_seen_it() -> None:
    world = World(8)
    world.populate(3)
    assert world.nodes[2].peer.seen.agreed == world.nodes[2].address
    alone = World(9)
    alone.populate(2)
    assert alone.nodes[1].peer.seen.agreed is None


def test_one_voter_has_one_vote_and_the_votes_are_bounded() -> None:
    world = World(10)
    peer = world.add().peer
    for number in range(VOTES_MAX + 5):
        peer.seen.cast(b"one voter", ("192.0.2.1", 1 + number % 2))
    assert (peer.seen.agreed, len(peer.seen)) == (None, 1)
    for number in range(VOTES_MAX + 1):
        peer.seen.cast(bytes([number]), ("192.0.2.1", 7))
    assert (peer.seen.agreed, len(peer.seen)) == (("192.0.2.1", 7), VOTES_MAX)


def test_a_message_of_somebody_unknown_waits_for_their_certificate() -> None:
    world = World(11)
    one, other = world.add(), world.add("bob")
    said = b"MESSAGE sip:one@home.example SIP/2.0".ljust(1_100)  # the last fragment is a short one
    other.peer.say(one.key, [one.address], said, world.now)
    world.pump(other)
    world.run(2)
    (message,) = [event for event in one.events if isinstance(event, MessageArrived)]
    assert (message.node_key, message.certificate.user, message.data) == (other.key, "bob", said)


def test_a_message_of_an_outsider_is_never_delivered_and_no_more_wait_than_the_bound() -> None:
    world = World(12)
    one, outsider = world.add(), world.add(device=Town(seed=89).device("eve"))
    for number in range(UNPROVED_MESSAGES_MAX + 5):
        outsider.peer.say(one.key, [one.address], b"%d" % number, world.now)
        world.pump(outsider)
        world.run(0.5)
    assert [event for event in one.events if isinstance(event, MessageArrived)] == []
    assert max(len(waiting) for waiting in one.peer._correspondence.unproved.values()) <= UNPROVED_MESSAGES_MAX


def test_a_newer_configuration_is_fetched_from_who_has_it() -> None:
    world, one, other = pair(13)
    newer = world.town.configuration(2, revoked_serials=frozenset((99,)))
    assert one.peer.update_configuration(newer)
    assert not one.peer.update_configuration(newer)
    world.run(2 * SILENT_EACH_SECONDS + 5)
    assert [event for event in other.events if isinstance(event, ConfigurationChanged)] == [ConfigurationChanged(newer)]


def test_who_is_revoked_leaves_the_table_at_once() -> None:
    world, one, other = pair(14)
    serials = frozenset((other.device.certificate.serial,))
    one.peer.update_configuration(world.town.configuration(2, revoked_serials=serials))
    assert len(one.peer.table) == 0
    world.run(100)
    assert len(one.peer.table) == 0


def test_who_stays_silent_leaves_the_table() -> None:
    world, one, other = pair(15)
    world.vanish(other)
    world.run(5 * SILENT_EACH_SECONDS)
    assert len(one.peer.table) == 0


def test_records_are_handed_over_to_a_newcomer_up_to_the_bound_and_unchanged() -> None:
    world = World(16)
    host = world.add()
    for number in range(OFFERED_MAX + 6):
        device = world.town.device(f"person{number}")
        record = device.record(expiry=int(world.unix) + 500)
        host.peer.store.put(record, device.certificate, world.unix)
    newcomer = world.add()
    world.join(newcomer, host)
    world.run(OFFER_SECONDS[0][1] + 2)
    held = newcomer.peer.store.records(world.unix)
    assert len(held) == OFFERED_MAX
    assert all(record in host.peer.store.records(world.unix) for record in held)


def test_a_record_too_large_for_a_frame_fails_once_and_clearly() -> None:
    world, one, _other = pair(17)
    record = one.device.record(expiry=int(world.unix) + 500)
    one.peer.store_record(replace(record, body=bytes(PAYLOAD_BYTES_MAX)), world.now)
    world.pump(one)
    world.run(10)
    ends = [event for event in one.events if not isinstance(event, PeerJoined)]
    assert [getattr(event, "holders", None) for event in ends] == [0]


def test_the_wall_clock_may_be_corrected() -> None:
    world = World(18)
    peer = world.add().peer
    peer.unix_offset += 3_600
    assert peer._searches.unix_offset == peer.unix_offset
