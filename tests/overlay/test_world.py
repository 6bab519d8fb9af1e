"""The whole overlay on virtual time: what every lookup must find, and what no holder may take."""

from dataclasses import replace
from functools import partial

import pytest

from overlay.contact import Contact
from overlay.records import CLOCK_SKEW_SECONDS, REGISTRATION, Record, registration_key
from overlay.rpc import Answer
from tests.overlay.devices import Town
from tests.overlay.nats import Nat
from tests.overlay.world import World


def found_sequences(world: World, address: str) -> list[list[int]]:
    """For each living node: the sequences of the registrations that its lookup found."""
    return [
        [record.sequence for record, _author in world.find(node, address).records if record.kind == REGISTRATION]
        for node in world.alive
    ]


@pytest.mark.parametrize("count", [50, 200])
def test_every_lookup_of_every_node_finds_the_record(count: int) -> None:
    world = World(seed=count)
    world.populate(count)
    owner = world.nodes[count // 2]
    assert world.register(owner).holders >= 8
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * count


@pytest.mark.slow
def test_every_lookup_among_a_thousand_nodes_finds_the_record() -> None:
    world = World(seed=1000)
    world.populate(1000)
    owner = world.nodes[500]
    assert world.register(owner).holders >= 8
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * 1000


def test_the_closest_that_a_lookup_finds_are_the_true_closest() -> None:
    world = World(seed=2)
    world.populate(50)
    for number in range(20):
        key = number.to_bytes(1, "big") * 20
        true = sorted(world.nodes, key=lambda node: node.peer.number ^ int.from_bytes(key, "big"))
        done = world.look_up(world.nodes[number], key, records=False)
        others = [node.key for node in true if node is not world.nodes[number]]
        assert [contact.node_key for contact in done.closest[:5]] == others[:5]


def test_every_lookup_finds_the_record_when_every_tenth_datagram_is_lost() -> None:
    world = World(seed=3, loss=0.1)
    world.populate(50)
    owner = world.nodes[7]
    assert world.register(owner).holders >= 6
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * 50


@pytest.mark.parametrize("quiet", [0.0, 100.0, 1_000.0])
def test_who_gets_a_new_port_at_each_peer_finds_the_record_after_a_silence(quiet: float) -> None:
    """Behind a symmetric NAT with short lifetimes no token is good any more then: holders say so, and do not send less."""
    world = World(21)
    world.populate(20)
    callers = [world.add(f"caller{number}", nat=Nat.SYMMETRIC, lifetime=30.0) for number in range(4)]
    for caller in callers:
        world.join(caller, world.nodes[0])
    world.run(quiet)
    assert world.register(world.nodes[5]).holders > 0
    world.run(60)
    address = world.nodes[5].device.certificate.addresses[0]
    assert [bool(world.find(caller, address).records) for caller in callers] == [True] * 4


def test_every_lookup_finds_the_record_after_a_third_of_the_nodes_has_vanished() -> None:
    world = World(seed=4)
    world.populate(60)
    owner = world.nodes[0]
    world.register(owner)
    for node in world.nodes[1::3]:
        world.vanish(node)
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * 40


def test_the_vanished_leave_the_tables() -> None:
    world = World(seed=5)
    world.populate(20)
    gone = world.nodes[3]
    world.vanish(gone)
    world.run(1_500)
    assert [node for node in world.alive if node.peer.table.find(gone.key)] == []


def test_newcomers_get_the_records_that_they_should_hold() -> None:
    world = World(seed=6)
    world.populate(20)
    owner = world.nodes[0]
    world.register(owner)
    address = owner.device.certificate.addresses[0]
    old = list(world.nodes)
    world.populate(30)
    key = int.from_bytes(owner.device.record().key, "big")
    world.run(5)
    closest = sorted(world.nodes, key=lambda node: node.peer.number ^ key)[:5]
    assert any(node not in old for node in closest)
    assert [node for node in closest if node is not owner and len(node.peer.store) == 0] == []
    for node in old[1:]:
        world.vanish(node)
    assert found_sequences(world, address) == [[1]] * 31


def test_a_record_that_has_expired_is_found_by_nobody_and_offered_to_nobody() -> None:
    world = World(seed=7)
    world.populate(20)
    owner = world.nodes[0]
    world.register(owner, seconds=60)
    address = owner.device.certificate.addresses[0]
    assert found_sequences(world, address) == [[1]] * 20
    world.run(61)
    assert found_sequences(world, address) == [[]] * 20
    old = len(world.nodes)
    world.populate(20)
    assert [len(node.peer.store) for node in world.nodes[old:]] == [0] * 20


def test_a_newer_record_replaces_the_older_one_for_everybody() -> None:
    world = World(seed=8)
    world.populate(30)
    owner = world.nodes[0]
    world.register(owner, 1)
    world.register(owner, 2)
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[2]] * 30


def test_a_configuration_spreads_and_who_is_revoked_leaves_every_table() -> None:
    world = World(seed=9)
    world.populate(30)
    revoked = world.nodes[4]
    serial = revoked.device.certificate.serial
    newer = world.town.configuration(2, revoked_serials=frozenset((serial,)), banned_node_ids=frozenset())
    world.nodes[0].peer.update_configuration(newer)
    world.run(700)
    others = [node for node in world.nodes if node is not revoked]
    assert {node.peer.membership.configuration.sequence for node in others} == {2}
    assert [node for node in others if node.peer.table.find(revoked.key)] == []


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = []
    for _ in range(2):
        world = World(seed=10, loss=0.05)
        world.populate(12)
        world.register(world.nodes[3])
        traces.append(world.trace)
    assert traces[0] == traces[1]


class Door:
    """Somebody who stores records at every node by hand, one at a time, and hears what each says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stranger = world.nodes[0]
        self.holders = world.nodes[1:]

    def store(self, record: Record) -> list[tuple[int, int]]:
        """What each node answers, and how many entries it holds afterwards."""
        answers: list[tuple[int, int]] = []
        for node in self.holders:
            said: list[int] = []

            def heard(_contact: Contact, answer: Answer | None, said: list[int] = said) -> None:
                said.append(0 if answer is None else answer.status)

            self.stranger.peer._searches.now = self.world.now
            self.stranger.peer._searches.store_at(Contact(node.key, node.address), [record], heard)
            self.world.pump(self.stranger)
            assert self.world.run_until(partial(bool, said))
            answers.append((said[0], len(node.peer.store)))
        return answers


def flipped(record: Record, bit: int) -> Record:
    """The record with one bit of its signature or body changed."""
    signature, body = bytearray(record.signature), bytearray(record.body or b"")
    place = bit % (8 * (len(signature) + len(body)))
    part, place = (signature, place) if place < 8 * len(signature) else (body, place - 8 * len(signature))
    part[place // 8] ^= 1 << place % 8
    return replace(record, signature=bytes(signature), body=bytes(body))


@pytest.fixture(scope="module")
def door() -> Door:
    world = World(seed=11)
    world.populate(12)
    return Door(world)


@pytest.mark.parametrize("bit", [0, 7, 511, 512, 700])
def test_every_holder_refuses_a_record_with_one_bit_flipped(door: Door, bit: int) -> None:
    record = door.world.nodes[3].device.record(expiry=int(door.world.unix) + 600)
    assert door.store(flipped(record, bit)) == [(403, 0)] * 11


def test_every_holder_refuses_a_record_at_the_address_of_somebody_else(door: Door) -> None:
    key = registration_key("victim@home.example")
    record = door.world.nodes[3].device.record(key=key, expiry=int(door.world.unix) + 600)
    assert door.store(record) == [(403, 0)] * 11


def test_every_holder_refuses_a_record_that_would_live_too_long(door: Door) -> None:
    record = door.world.nodes[3].device.record(expiry=int(door.world.unix) + 600 + CLOCK_SKEW_SECONDS + 100)
    assert door.store(record) == [(400, 0)] * 11


def test_every_holder_refuses_a_record_that_has_expired(door: Door) -> None:
    record = door.world.nodes[3].device.record(expiry=int(door.world.unix))
    assert door.store(record) == [(410, 0)] * 11


def test_every_holder_refuses_an_author_of_a_foreign_authority(door: Door) -> None:
    record = Town(seed=77).device("user3").record(expiry=int(door.world.unix) + 600)
    assert door.store(record) == [(403, 0)] * 11


def test_every_holder_refuses_an_old_sequence_and_keeps_the_new() -> None:
    world = World(seed=12)
    world.populate(8)
    door, device, expiry = Door(world), world.nodes[3].device, int(world.unix) + 300
    assert door.store(device.record(5, expiry=expiry)) == [(200, 1)] * 7
    assert door.store(device.record(4, expiry=expiry)) == [(409, 1)] * 7
    assert door.store(device.record(5, expiry=expiry + 1)) == [(409, 1)] * 7
    assert found_sequences(world, device.certificate.addresses[0]) == [[5]] * 8


def test_every_holder_refuses_a_device_that_was_revoked() -> None:
    world = World(seed=13)
    world.populate(8)
    door, device = Door(world), world.nodes[3].device
    newer = world.town.configuration(2, revoked_serials=frozenset((device.certificate.serial,)))
    world.nodes[1].peer.update_configuration(newer)
    world.run(700)
    door.holders = [node for node in door.holders if node.device is not device]
    assert door.store(device.record(expiry=int(world.unix) + 300)) == [(403, 0)] * 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 32))
def test_loss_and_vanishing_nodes_hide_nothing_whatever_the_seed(seed: int) -> None:
    world = World(seed, loss=0.1)
    world.populate(50)
    owner = world.nodes[0]
    world.register(owner)
    for node in world.nodes[1::4]:
        world.vanish(node)
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * len(world.alive), f"seed {seed}"
