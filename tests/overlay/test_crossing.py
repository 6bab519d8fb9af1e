"""Whole overlays with NATs: clients that nobody can reach are spoken with through super-nodes, whatever happens to these."""

import pytest

from overlay.contact import Contact
from overlay.conversation import Conversations, ConversationTransmit
from overlay.crossing import NESTED_MAX
from overlay.events import LookupDone
from overlay.frame import FrameBox
from overlay.holder import Asking
from overlay.paths import VIAS_MAX, Gateway, Paths
from overlay.reaching import AGAIN_SECONDS, Reaching
from overlay.records import registration_key
from overlay.registration import Registration, Rendezvous, encode_registration, read_registration
from overlay.relaying import HELD_SENDERS_MAX
from overlay.rendezvous import ATTACH_SECONDS
from overlay.via import is_via, via_address
from p2psip.base.chance import Chance
from p2psip.base.core import Transmit
from p2psip.base.keys import NodeKey
from tests.overlay.devices import Town
from tests.overlay.nats import Nat
from tests.overlay.supernodes import attached, flows_of, heard, publish, rendezvous, say, town, volunteer
from tests.overlay.world import Node, World


def node_of(world: World, key: bytes) -> Node:
    """The node with this key."""
    return next(node for node in world.nodes if node.key == key)


@pytest.mark.parametrize(
    "nats",
    [(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED), (Nat.SYMMETRIC, Nat.SYMMETRIC), (Nat.PORT_RESTRICTED, Nat.SYMMETRIC)],
)
def test_two_clients_talk_both_ways_and_the_caller_knows_only_the_registration(nats: tuple[Nat, Nat]) -> None:
    world, _supernodes, (alice, bob) = town(1, *nats)
    publish(world, bob)
    (record, author) = world.find(alice, bob.device.certificate.addresses[0]).records[0]
    registration = read_registration(record, author)
    assert registration is not None
    alice.peer.say(bob.key, registration.rendezvous, b"hello", world.now)
    world.pump(alice)
    assert world.run_until(lambda: heard(bob) == [b"hello"], 1)
    bob.peer.say(alice.key, [], b"good day", world.now)
    world.pump(bob)
    assert world.run_until(lambda: heard(alice) == [b"good day"], 1)
    world.run(5)
    assert (heard(alice), heard(bob)) == ([b"good day"], [b"hello"])
    assert is_via(alice.peer._heard.get(bob.key) or ("", 0))


def test_a_clients_registration_contains_no_address_of_its_own() -> None:
    world, _supernodes, (client,) = town(2, Nat.PORT_RESTRICTED)
    body = publish(world, client)
    assert client.box is not None
    for host in (client.address[0], client.box.host):
        assert host.encode() not in body
        assert bytes(int(part) for part in host.split(".")) not in body


@pytest.mark.parametrize("seed", range(10))
def test_a_dead_super_node_is_noticed_and_replaced_and_what_is_said_meanwhile_arrives(seed: int) -> None:
    world, _supernodes, (alice, bob) = town(10 + seed, Nat.PORT_RESTRICTED, Nat.SYMMETRIC)
    say(world, alice, bob, b"hello")
    assert world.run_until(lambda: heard(bob) == [b"hello"], 2)
    bob.peer.say(alice.key, [], b"hello yourself", world.now)
    world.pump(bob)
    assert world.run_until(lambda: heard(alice) == [b"hello yourself"], 2)
    way = alice.peer._heard.get(bob.key)
    dead = next(node_of(world, key) for key in flows_of(bob) if via_address(key) == way)
    known = rendezvous(bob)
    world.vanish(dead)
    alice.peer.say(bob.key, known, b"are you there?", world.now)
    world.pump(alice)
    assert world.run_until(lambda: b"are you there?" in heard(bob), 1)
    assert world.run_until(lambda: dead.key not in flows_of(bob) and len(flows_of(bob)) == 3, 30)


def test_a_super_node_that_has_lost_the_client_says_so_and_the_next_way_is_taken_at_once() -> None:
    world, _supernodes, (alice, bob) = town(20, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED)
    say(world, alice, bob, b"hello")
    assert world.run_until(lambda: heard(bob) == [b"hello"], 2)
    bob.peer.say(alice.key, [], b"hello yourself", world.now)
    world.pump(bob)
    assert world.run_until(lambda: heard(alice) == [b"hello yourself"], 2)
    way = alice.peer._heard.get(bob.key)
    forgetful = next(node_of(world, key) for key in flows_of(bob) if via_address(key) == way)
    assert forgetful.peer.crossing.relaying is not None
    forgetful.peer.crossing.relaying._attached.clear()
    forgetful.peer.crossing.relaying._visitors.clear()
    alice.peer.say(bob.key, rendezvous(bob), b"still there?", world.now)
    world.pump(alice)
    assert world.run_until(lambda: b"still there?" in heard(bob), 0.39)  # before silence would be noticed


def test_all_rendezvous_die_at_once_and_new_ones_are_found() -> None:
    world, _supernodes, (alice, bob) = town(21, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED, peers=16, volunteers=8)
    before = flows_of(bob)
    for key in before:
        world.vanish(node_of(world, key))
    assert world.run_until(lambda: len(flows_of(bob)) == 3 and not flows_of(bob) & before, 40)
    say(world, alice, bob, b"hello")
    assert world.run_until(lambda: heard(bob) == [b"hello"], 3)


def test_a_caller_whose_ways_are_all_stale_looks_the_callee_up_anew() -> None:
    world, _supernodes, (alice, bob) = town(22, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED, peers=16, volunteers=8)
    say(world, alice, bob, b"hello")
    world.run(2)
    bob.peer.say(alice.key, [], b"hello yourself", world.now)  # alice learns bob's certificate
    world.pump(bob)
    world.run(60)
    before = rendezvous(bob)
    for each in before:
        world.vanish(node_of(world, each.node_key))
    assert world.run_until(
        lambda: len(flows_of(bob)) == 3 and not flows_of(bob) & {each.node_key for each in before}, 40
    )
    publish(world, bob)
    alice.peer.say(bob.key, before, b"where are you?", world.now)
    world.pump(alice)
    assert world.run_until(lambda: b"where are you?" in heard(bob), 3)


def test_a_super_node_that_ends_tells_its_clients_and_one_that_drains_is_left_when_another_is_there() -> None:
    world, _supernodes, (client,) = town(23, Nat.PORT_RESTRICTED)
    leaving = node_of(world, sorted(flows_of(client))[0])
    leaving.peer.crossing.volunteer(None)
    world.pump(leaving)
    assert world.run_until(lambda: leaving.key not in flows_of(client) and len(flows_of(client)) == 3, 3)
    draining = node_of(world, sorted(flows_of(client))[0])
    volunteer(world, draining, sequence=2, draining=True)
    world.run(2 * ATTACH_SECONDS)
    assert len(flows_of(client)) == 3 or draining.key in flows_of(client)


def test_a_client_whose_address_changes_is_attached_again_at_once() -> None:
    world, _supernodes, (alice, bob) = town(24, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED)
    world.move(bob, Nat.SYMMETRIC, host="10.9.9.9")
    bob.peer.network_changed([bob.address], world.now)
    world.pump(bob)
    world.run(1)
    say(world, alice, bob, b"hello")
    assert world.run_until(lambda: heard(bob) == [b"hello"], 1)


def caused_by(world: World, node: Node, frame: bytes) -> int:
    """The bytes that a datagram makes a node send to where it seems to come from, repetitions included."""
    source, sent = ("10.8.8.8", 5000), 0
    node.peer.receive(frame, source, world.now)
    for step in range(40):
        outputs = [output for output in iter(node.peer.poll_output, None) if isinstance(output, Transmit)]
        sent += sum(len(output.data) for output in outputs if output.destination == source)
        node.peer.handle_timeout(world.now + step / 10)
    return sent


def test_a_stranger_gets_nothing_relayed_and_at_most_three_times_what_it_sends() -> None:
    world, supernodes, (client,) = town(25, Nat.PORT_RESTRICTED)
    supernode = node_of(world, sorted(flows_of(client))[0])
    relaying = supernode.peer.crossing.relaying
    assert relaying is not None
    before, asked = relaying.counters.frames, 0
    for number in range(1, 400, 25):  # each frame from a key that was never seen: they cost nothing
        key = NodeKey.generate(Chance.seeded(1_000 + number))
        stranger = FrameBox(key, Chance.seeded(number), world.unix)
        relayed = b"\x04" + client.device.node_key.node_id + b"\x00" + bytes(number)
        talk = Conversations(key, Chance.seeded(number), now=world.now, unix_offset=world.unix - world.now)
        talk.send(supernode.key, bytes(number), world.now)
        said = talk.poll_output()
        assert isinstance(said, ConversationTransmit)
        for payload in (relayed, b"\x03" + said.payload, b"\x06" + key.node_id, b"\x07" + bytes(8)):
            frame = stranger.seal(supernode.key, payload)
            sent = caused_by(world, supernode, frame)
            assert sent <= 3 * len(frame), payload[:1]
            asked += sent > 0
    assert relaying.counters.frames == before
    assert asked > 0
    assert relaying.sizes[2] <= HELD_SENDERS_MAX
    assert len(supernodes) == 5


def test_frames_inside_frames_are_opened_no_deeper_than_the_bound() -> None:
    world, _supernodes, (client,) = town(26, Nat.PORT_RESTRICTED)
    keys = [NodeKey.generate(Chance.seeded(number)) for number in range(NESTED_MAX + 2)]
    frame = FrameBox(keys[0], Chance.seeded(50), world.unix).seal(client.key, b"\x63")
    before = client.peer.malformed
    for key in keys[1:]:
        frame = FrameBox(key, Chance.seeded(51), world.unix).seal(client.key, b"\x05" + frame)
    client.peer.receive(frame, ("10.8.8.8", 5000), world.now)
    assert client.peer.malformed == before + 1
    assert client.peer._heard.get(keys[1].public) is not None
    assert client.peer._heard.get(keys[0].public) is None


def test_one_super_node_over_the_bound_forgets_the_way_told_first() -> None:
    key = NodeKey.generate(Chance.seeded(1))
    paths = Paths(key.public, FrameBox(key, Chance.seeded(2), 0.0), lambda _transmit: None, lambda _node_id: None)
    for number in range(VIAS_MAX + 1):
        paths.via(number.to_bytes(32, "big"), ("192.0.2.1", 4500))
    assert len(paths) == VIAS_MAX
    assert paths.hop(via_address(bytes(32))) is None
    paths.forward(bytes(31) + b"\x09", via_address(bytes(32)), b"frame")
    assert paths.dropped == 1


def gateway_town(seed: int, families: frozenset[int] = frozenset()) -> tuple[World, Node, Node, Node]:
    """A world, a gateway in it, a client that sends only to the gateway, and another node."""
    world, supernodes, (other,) = town(seed, Nat.PORT_RESTRICTED)
    client, gateway = world.add("confined", nat=Nat.SYMMETRIC), supernodes[0]
    client.peer.use_gateways([Gateway(gateway.key, gateway.address, families)], world.now)
    world.join(client, world.nodes[0])
    attached(world, client)
    return world, gateway, client, other


def test_a_client_without_udp_does_all_through_its_gateway() -> None:
    world, gateway, client, other = gateway_town(30)
    assert client.peer.reach.is_client
    assert gateway.key in flows_of(client)
    publish(world, client)
    publish(world, other)
    done = world.find(client, other.device.certificate.addresses[0])
    assert len(done.records) == 1
    assert len(world.find(other, client.device.certificate.addresses[0]).records) == 1
    say(world, other, client, b"hello")
    assert world.run_until(lambda: heard(client) == [b"hello"], 2)
    say(world, client, other, b"hello yourself")
    assert world.run_until(lambda: heard(other) == [b"hello yourself"], 2)
    assert client.box is not None
    sent = {destination for _at, source, destination, _size in world.trace if source[0] == client.box.host}
    assert sent == {gateway.address}


@pytest.mark.parametrize("seed", range(50, 56))
def test_an_ipv6_only_node_reaches_ipv4_only_ones_through_the_only_gateway_that_it_knows(seed: int) -> None:
    world, supernodes, (other,) = town(seed, Nat.PORT_RESTRICTED)
    gateway = world.add(address=("2001:db8::1", 5000))
    world.also_at(gateway, ("10.7.7.7", 5000))
    world.join(gateway, world.nodes[0])
    volunteer(world, gateway)
    client = world.add("six", address=("2001:db8::66", 5000))
    client.peer.crossing.has_families(frozenset((6,)), world.now)
    world.join(client, gateway)
    attached(world, client)
    assert gateway.key in flows_of(client)
    publish(world, other)
    done = world.find(client, other.device.certificate.addresses[0])
    assert len(done.records) == 1
    say(world, client, other, b"hello")
    assert world.run_until(lambda: heard(other) == [b"hello"], 2)
    other.peer.say(client.key, [], b"hello yourself", world.now)
    world.pump(other)
    assert world.run_until(lambda: heard(client) == [b"hello yourself"], 2)
    sent = {destination[0] for _at, source, destination, _size in world.trace if source[0] == client.address[0]}
    assert {host for host in sent if ":" not in host} == set()
    assert len(supernodes) == 5
    world.run(3 * ATTACH_SECONDS)
    kept = client.peer.crossing.rendezvous._flows
    assert not kept[gateway.key].is_spare, "the way to all others must not be offered to others"


def test_a_check_says_whether_a_client_can_be_called() -> None:
    world, _supernodes, (client,) = town(32, Nat.SYMMETRIC)
    address = client.device.certificate.addresses[0]
    tester = world.nodes[0]

    def check() -> list[object]:
        for _poll in range(20):
            answer = world.request(client, tester, 9, [address])
            assert answer is not None
            assert answer.status == 200
            if answer.result[0]:
                return list(answer.result)
            world.run(0.5)
        raise AssertionError("the check never ended")

    assert check()[:2] == [True, False]
    publish(world, client)
    assert check()[:2] == [True, True]
    body = encode_registration(Registration(client.key, (), (Rendezvous(tester.key, ("10.6.6.6", 1)),)))
    world.sequence += 1
    record = client.device.record(world.sequence, expiry=int(world.unix) + 600, body=body)
    assert record.key == registration_key(address)
    world.store(client, record)
    assert check()[:2] == [True, False]


def test_two_flows_that_point_at_one_another_carry_a_frame_no_further() -> None:
    world, (one, two, *_others), (attacker, victim) = town(41, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED)
    relays = one.peer.crossing.relaying, two.peer.crossing.relaying
    assert relays[0] is not None
    assert relays[1] is not None
    relays[0].attach(attacker.key, one.peer.crossing.paths.via(two.key, two.address), world.now)
    relays[1].attach(attacker.key, two.peer.crossing.paths.via(one.key, one.address), world.now)
    before = relays[0].counters.frames + relays[1].counters.frames
    payload = b"\x04" + attacker.device.node_key.node_id + b"\x00" + bytes(100)
    world.send(
        victim, one.address, FrameBox(victim.device.node_key, Chance.seeded(3), world.unix + 9).seal(one.key, payload)
    )
    world.run(2)
    assert 0 < relays[0].counters.frames + relays[1].counters.frames - before <= 2


def six(seed: int) -> tuple[World, list[Node], Node]:
    """A world of IPv4, three super-nodes in it that have IPv6 too, and a node with IPv6 only that knows one of them."""
    world = World(seed)
    world.populate(8)
    bridges = world.nodes[1:4]
    for number, node in enumerate(bridges):
        world.also_at(node, (f"2001:db8:{number + 1}::1", 5000))
        volunteer(world, node)
    client = world.add("six", address=("2001:db8:6::6", 5000))
    client.peer.crossing.has_families(frozenset((6,)), world.now)
    assert bridges[0].other_address is not None
    client.peer.greet(bridges[0].key, bridges[0].other_address, world.now)
    world.pump(client)
    attached(world, client)
    return world, bridges, client


def test_a_node_without_ipv4_takes_a_super_node_with_both_as_gateway_and_is_a_client() -> None:
    world, bridges, client = six(33)
    gateway = client.peer.crossing.paths.gateway
    assert client.peer.reach.is_client
    assert gateway is not None
    assert gateway.families == {6}
    assert gateway.node_key in {node.key for node in bridges}
    assert all(":" not in each.address[0] for each in client.peer.crossing.public_flows)
    other = world.add("four", nat=Nat.PORT_RESTRICTED)
    world.join(other, world.nodes[0])
    attached(world, other)
    other.peer.say(client.key, client.peer.crossing.public_flows, b"hello", world.now)
    world.pump(other)
    assert world.run_until(lambda: heard(client) == [b"hello"], 2)
    client.peer.say(other.key, other.peer.crossing.public_flows, b"hello yourself", world.now)
    world.pump(client)
    assert world.run_until(lambda: heard(other) == [b"hello yourself"], 2)
    sent = {destination[0] for _at, source, destination, _size in world.trace if source[0] == client.address[0]}
    assert all(":" in host for host in sent)


def test_the_gateway_of_a_node_without_ipv4_is_replaced_when_it_dies() -> None:
    world, bridges, client = six(34)
    first = client.peer.crossing.paths.gateway
    assert first is not None
    dead = node_of(world, first.node_key)
    assert dead.other_address is not None
    world.vanish(dead)

    def is_replaced() -> bool:
        gateway = client.peer.crossing.paths.gateway
        return gateway is not None and gateway.node_key != first.node_key

    assert world.run_until(is_replaced, 20)
    assert client.peer.reach.is_client
    done = world.look_up(client, bridges[0].device.node_key.node_id, records=False)
    assert any(":" not in contact.address[0] for contact in done.closest)


def test_ipv4_that_comes_ends_the_gateway_and_the_role() -> None:
    world, _bridges, client = six(35)
    client.peer.crossing.has_families(frozenset((4, 6)), world.now)
    world.pump(client)
    assert client.peer.crossing.paths.gateway is None
    assert not client.peer.reach.is_confined


def test_an_overlay_without_ipv4_needs_no_gateway() -> None:
    world = World(36)
    nodes = [world.add(f"six{number}", address=(f"2001:db8:{number}::1", 5000)) for number in range(4)]
    for number, node in enumerate(nodes):
        node.peer.crossing.has_families(frozenset((6,)), world.now)
        world.join(node, *nodes[:number][:1])
    volunteer(world, nodes[1])
    world.run(30)
    assert not any(node.peer.reach.is_confined or node.peer.crossing.paths.gateway for node in nodes)


def test_an_address_of_a_missing_family_fails_at_once() -> None:
    world = World(37)
    node = world.add("six", address=("2001:db8::6", 5000))
    node.peer.crossing.has_families(frozenset((6,)), world.now)
    node.peer.request(bytes(31) + b"\x09", ("10.0.0.9", 5000), 1, [], world.now)
    world.pump(node)
    assert [type(each).__name__ for each in node.events] == ["RequestDone"]
    assert not world.trace


def test_a_check_is_no_way_to_make_others_send_into_their_own_networks() -> None:
    tried: list[Contact] = []
    town_of_one = Town()
    mallory = town_of_one.device("mallory")
    ways = (("192.168.1.1", 53), ("127.0.0.1", 53), ("20.9.9.9", 53))
    body = encode_registration(Registration(mallory.node_key.public, ways, (Rendezvous(bytes(32), ("10.0.0.1", 53)),)))
    found = LookupDone(1, ((mallory.record(body=body), mallory.certificate),), (), 1, 1, 0.1)
    reaching = Reaching(
        lambda contact, *_rest, **_more: tried.append(contact),
        lambda _key, _now, then: then(found),
        lambda told, _now: [each.address if isinstance(each, Rendezvous) else each for each in told],
        lambda _key, _now: True,
        lambda: 0.0,
    )
    for source in ("20.1.1.1", via_address(bytes(32))[0]):
        asking = Asking(mallory.node_key.public, (source, 4000), True, 1_000, 10.0 * len(tried), 0.0)
        reaching.reach(asking, [mallory.certificate.addresses[0]])
    assert [contact.address[0] for contact in tried] == ["20.9.9.9"]


def test_checks_for_one_node_follow_one_another() -> None:
    begun: list[bytes] = []
    reaching = Reaching(
        lambda *_rest, **_more: None,
        lambda key, _now, _then: begun.append(key),
        lambda _told, _now: [],
        lambda _key, _now: True,
        lambda: 0.0,
    )
    for number in range(20):  # each time for another address, so that none is the answer to the last
        asking = Asking(bytes(32), ("20.1.1.1", 4000), True, 1_000, AGAIN_SECONDS + number * 0.1, 0.0)
        assert reaching.reach(asking, [f"{number}@home.example"])[0] is False
    assert len(begun) == 1


def test_strangers_with_many_keys_push_out_no_member(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = 40
    for name in ("overlay.frame.PEER_KEYS_MAX", "overlay.paths.VIAS_MAX"):
        monkeypatch.setattr(name, bound)
    world, _supernodes, (client,) = town(42, Nat.PORT_RESTRICTED)
    flows = flows_of(client)
    for node_key in flows:
        client.peer.crossing.paths.via(node_key, node_of(world, node_key).address)
    for number in range(2 * bound):
        key = NodeKey.generate(Chance.seeded(2_000 + number))
        inner = FrameBox(NodeKey.generate(Chance.seeded(3_000 + number)), Chance.seeded(1), world.unix)
        frame = b"\x05" + inner.seal(client.key, b"\x63")
        client.peer.receive(
            FrameBox(key, Chance.seeded(1), world.unix).seal(client.key, frame), ("10.8.8.8", 1), world.now
        )
    paths, heard_at, box = client.peer.crossing.paths, client.peer._heard, client.peer._box
    assert (len(paths), len(box)) == (bound, bound)
    for node_key in flows:
        assert paths.hop(via_address(node_key)) is not None
        assert heard_at.get(node_key) is not None
        assert node_key in box._peers
