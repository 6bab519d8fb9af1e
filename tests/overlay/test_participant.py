"""Participants on virtual time: they join, stay registered, find one another, move, leave, and come back after outages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from overlay.crossing import Volunteering
from overlay.found import FOUND_CACHED_MAX, FOUND_SECONDS_MAX, Found, FoundCache
from overlay.joining import (
    GREETED_AT_ONCE_MAX,
    GREETED_FIRST_MAX,
    GREETED_FIRST_SECONDS,
    GREETED_SECONDS_MAX,
    KNOWN_MAX,
    REJOIN_SECONDS_MAX,
    REUNION_SECONDS,
)
from overlay.membership import Membership
from overlay.participant import CanaryDone, FoundDone, Joined, Participant, Published
from overlay.publishing import (
    ANNOUNCE_CHECK_SECONDS,
    LOOK_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    WISHES_MAX,
)
from overlay.reachability import Role
from overlay.relay_record import Announcement, announcement_keys, decode_announcement
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from tests.overlay.devices import Device
from tests.overlay.world import Node, World

T = TypeVar("T")


class Village(World):
    """A world of participants, with a `wall(source, destination)` that nothing passes."""

    wall: Callable[[Address, Address], bool] = staticmethod(lambda _source, _destination: False)

    def send(self, node: Node, destination: Address, data: bytes, *, port: int | None = None) -> None:
        """Put a datagram on its way, if no wall is before it."""
        if not self.wall(node.address, destination):
            super().send(node, destination, data, port=port)

    def appear(self, node: Node) -> None:
        """The node that had vanished is there again."""
        node.alive = True
        node.planned = None
        self._by_address[node.address] = node
        self.pump(node)

    def readdress(self, node: Node, address: Address) -> None:
        """The node has another address from now on."""
        del self._by_address[node.address]
        node.address, node.planned = address, None
        self._by_address[address] = node
        self.pump(node)

    def replace(self, node: Node, **fields: Any) -> Node:
        """The same node with other settings, before it has done anything."""
        again = self._make(node.device, node.address, Chance.seeded(1), None, **fields)
        again.peer.reach.note_local([node.address], self.now)
        self.nodes[self.nodes.index(node)] = self._by_address[node.address] = again
        self.pump(again)
        return again

    def _make(self, device: Device, address: Address, chance: Chance, role: Role | None, **fields: Any) -> Node:
        participant = Participant(
            node_key=device.node_key,
            signing_key=device.signing_key,
            certificate=device.certificate,
            membership=Membership(self.town.ca_der, self.town.configuration()),
            chance=chance,
            now=self.now,
            unix_offset=self.unix_offset,
            role=role,
            **fields,
        )
        return Node(participant.peer, device, address, participant=participant)

    def settle(self, count: int) -> None:
        """Add `count` participants that join one after the other."""
        for number in range(count):
            node = self.add()
            if number:
                assert self.enter(node, self.nodes[number // 2]) > 0
        self.run(2)

    def enter(self, node: Node, *introducers: Node) -> int:
        """Join from beginning to end; how many peers are known then."""
        core(node).join([(each.key, each.address) for each in introducers], self.now)
        return self.wait(node, Joined).peers

    def publish(self, node: Node) -> Published:
        """Register a node at the first address of its person."""
        number = core(node).publish([person(node)], self.now)
        return self.wait(node, Published, lambda event: event.number == number)

    def withdraw(self, node: Node) -> Published:
        """Take the registration back."""
        number = core(node).withdraw([person(node)], self.now)
        return self.wait(node, Published, lambda event: event.number == number)

    def seek(self, node: Node, address: str) -> FoundDone:
        """Find a person."""
        number = core(node).find(address, self.now)
        return self.wait(node, FoundDone, lambda event: event.number == number)

    def wait(self, node: Node, kind: type[T], fits: Callable[[T], bool] = bool, seconds: float = 60.0) -> T:
        """The next event of this kind; it is taken out of the node's events."""
        self.pump(node)
        met: list[T] = []

        def has_come() -> bool:
            met.extend(event for event in node.events if isinstance(event, kind) and fits(event))
            node.events = [event for event in node.events if event not in met]
            return bool(met)

        assert self.run_until(has_come, seconds), f"{kind.__name__} never came"
        return met[0]


def core(node: Node) -> Participant:
    """The participant of a node."""
    assert node.participant is not None
    return node.participant


def person(node: Node) -> str:
    """The first address of the node's person."""
    return node.device.certificate.addresses[0]


def count_found(village: Village, address: str) -> list[int]:
    """How many devices each node finds."""
    return [len(village.seek(node, address).found.registrations) for node in village.alive]


def test_whoever_is_published_is_found_by_all() -> None:
    village = Village(seed=1)
    village.settle(20)
    published = village.publish(village.nodes[7])
    assert published.holders >= 8
    assert published.refusal is None
    assert village.wait(village.nodes[7], CanaryDone) == CanaryDone(person(village.nodes[7]), True)
    assert core(village.nodes[7]).last_canary == "found again"
    assert count_found(village, person(village.nodes[7])) == [1] * 20
    found = village.seek(village.nodes[3], person(village.nodes[7])).found
    assert found.cached
    assert found.registrations[0].addresses == (village.nodes[7].address,)


def test_who_has_withdrawn_is_found_by_nobody() -> None:
    village = Village(seed=2)
    village.settle(10)
    village.publish(village.nodes[4])
    village.withdraw(village.nodes[4])
    assert core(village.nodes[4]).published == ()
    assert count_found(village, person(village.nodes[4])) == [0] * 10
    village.run(700)
    assert count_found(village, person(village.nodes[4])) == [0] * 10
    assert village.seek(village.nodes[5], person(village.nodes[4])).found.name_exists


DEAD = [(bytes([number]) * 32, (f"192.0.2.{number}", 5000)) for number in range(1, 5)]


def test_dead_introducers_cost_a_second_while_others_live() -> None:
    village = Village(seed=3)
    village.settle(6)
    node, living = village.add(), village.nodes[2]
    started = village.now
    core(node).join([*DEAD, (living.key, living.address)], village.now)
    assert village.wait(node, Joined).peers >= 5
    assert village.now - started < GREETED_FIRST_SECONDS + 2


def test_an_attempt_without_any_answer_ends_and_the_next_begins_by_itself() -> None:
    village = Village(seed=4)
    village.settle(4)
    node, sleeper = village.add(), village.nodes[1]
    village.vanish(sleeper)
    core(node).join([(sleeper.key, sleeper.address)], village.now)
    started = village.now
    assert village.wait(node, Joined) == Joined(0)
    assert village.now - started == GREETED_SECONDS_MAX
    assert village.wait(node, Joined) == Joined(0)
    village.appear(sleeper)
    assert village.wait(node, Joined).peers >= 3


def test_a_node_that_knows_nobody_ends_at_once_and_plans_nothing() -> None:
    village = Village(seed=5)
    node = village.add()
    core(node).join([(node.key, node.address)], village.now)
    assert village.wait(node, Joined) == Joined(0)
    assert village.publish(node).holders == 0
    assert village.seek(node, "nobody@home.example").found.registrations == ()
    village.run(100)
    assert [event for event in node.events if isinstance(event, Joined)] == []


def test_attempts_grow_rare_and_do_not_fall_together() -> None:
    village = Village(seed=6)
    lonely = [village.add() for _ in range(8)]
    for node in lonely:
        core(node).join(DEAD[:1], village.now)
    started = village.now
    village.run(600)
    sent = {
        node.address: sorted({at for at, source, _to, _size in village.trace if source == node.address})
        for node in lonely
    }
    begun = [
        [at for at, before in zip(times, [0.0, *times], strict=False) if at - before > 4] for times in sent.values()
    ]
    assert all(9 <= len(each) <= 600 / (REJOIN_SECONDS_MAX / 2 + GREETED_SECONDS_MAX) + 6 for each in begun)
    last = [each[-1] for each in begun]
    assert max(last) - min(last) > 5
    assert all(at >= started for at in last)


def test_joins_and_registers_through_heavy_loss() -> None:
    village = Village(seed=7, loss=0.2)
    village.settle(12)
    for node in village.nodes[3:6]:
        village.publish(node)
    village.run(120)
    for node in village.nodes[3:6]:
        assert sum(count_found(village, person(node))) >= 11


def test_what_is_published_during_a_join_is_stored_at_its_end() -> None:
    village = Village(seed=8)
    village.settle(12)
    node = village.add()
    core(node).join([(village.nodes[0].key, village.nodes[0].address)], village.now)
    published = village.publish(node)
    assert [event for event in node.events if isinstance(event, Joined)]
    assert published.holders >= 8
    assert count_found(village, person(node)) == [1] * 13


def test_what_is_published_alone_is_stored_when_somebody_comes() -> None:
    village = Village(seed=9)
    first, second = village.add(), village.add()
    assert village.publish(first).holders == 0
    assert village.enter(second, first) == 1
    assert village.wait(first, Published) == Published(0, 1, None)
    assert len(village.seek(second, person(first)).found.registrations) == 1


def test_a_withdrawal_during_a_refresh_is_the_last_word() -> None:
    village = Village(seed=10)
    village.settle(10)
    node = village.nodes[3]
    village.publish(node)
    node.events.clear()
    number = core(node).publish([person(node)], village.now)
    village.pump(node)
    village.run(0.1)
    assert village.withdraw(node).holders >= 8
    village.wait(node, Published, lambda event: event.number == number)
    village.run(1)
    assert count_found(village, person(node)) == [0] * 10
    village.run(400)
    assert count_found(village, person(node)) == [0] * 10


def test_who_withdraws_before_it_has_published_is_not_published_later() -> None:
    village = Village(seed=11)
    village.settle(6)
    node = village.add()
    core(node).join([(village.nodes[0].key, village.nodes[0].address)], village.now)
    first = core(node).publish([person(node)], village.now)
    last = core(node).withdraw([person(node)], village.now)
    assert village.wait(node, Published, lambda event: event.number == first).holders == 0
    assert village.wait(node, Published, lambda event: event.number == last).holders >= 5
    village.run(400)
    assert count_found(village, person(node)) == [0] * 7


def test_one_of_two_addresses_can_be_withdrawn() -> None:
    village = Village(seed=12)
    village.settle(6)
    node = village.nodes[2]
    both = node.device.certificate.addresses
    core(node).publish(both, village.now)
    village.wait(node, Published)
    core(node).withdraw(both[:1], village.now)
    village.run(400)
    assert core(node).published == both[1:]
    assert count_found(village, both[0]) == [0] * 6
    assert count_found(village, both[1]) == [1] * 6


def test_who_moves_while_a_store_is_under_way_is_found_at_the_new_address() -> None:
    village = Village(seed=13)
    village.settle(10)
    node = village.nodes[4]
    core(node).publish([person(node)], village.now)
    village.pump(node)
    village.run(0.05)
    new = ("10.9.9.9", 4500)
    village.readdress(node, new)
    core(node).network_changed([new], village.now)
    village.pump(node)
    village.run(LOOK_SECONDS + 5)
    (found,) = village.seek(village.nodes[8], person(node)).found.registrations
    assert found.addresses == (new,)


def test_registrations_and_names_outlive_their_holders() -> None:
    village = Village(seed=14)
    village.settle(30)
    node = village.nodes[0]
    village.publish(node)
    for other in village.nodes[1:21]:
        village.vanish(other)
        village.run(90)
    assert count_found(village, person(node)) == [1] * 10
    village.withdraw(node)
    village.run(10)
    assert all(village.seek(other, person(node)).found.name_exists for other in village.alive[1:])


def test_a_registration_that_is_not_found_again_is_stored_anew_soon() -> None:
    village = Village(seed=15)
    village.settle(12)
    node = village.nodes[5]
    village.publish(node)
    for other in village.nodes:
        other.peer.store.expire(village.unix + 10**8)
    assert village.wait(node, CanaryDone) == CanaryDone(person(node), False)
    assert core(node).last_canary.startswith("NOT")
    village.run(RETRY_SECONDS + 5)
    assert count_found(village, person(node)) == [1] * 12


def test_an_outage_of_the_whole_network_needs_no_restart() -> None:
    village = Village(seed=16)
    village.settle(12)
    for node in village.nodes:
        village.publish(node)
    village.loss = 1.0
    village.run(3_600)
    assert [node for node in village.nodes if len(node.peer.table)] == []
    village.loss = 0.0
    village.run(REJOIN_SECONDS_MAX + 30)
    for node in village.nodes[::3]:
        assert count_found(village, person(node)) == [1] * 12


def test_two_halves_that_have_forgotten_each_other_find_together_again() -> None:
    village = Village(seed=17)
    village.settle(16)
    left = {node.address for node in village.nodes[::2]}
    village.wall = lambda source, destination: (source in left) != (destination in left)
    village.run(3_600)
    assert not any(contact.address not in left for node in village.nodes[::2] for contact in node.peer.table), (
        "a half still knows the other"
    )
    village.wall = lambda _source, _destination: False
    village.run(REFRESH_SECONDS + 3 * REUNION_SECONDS)
    assert [len(node.peer.table) for node in village.nodes] == [15] * 16
    village.publish(village.nodes[3])
    assert count_found(village, person(village.nodes[3])) == [1] * 16


def test_a_revoked_node_is_told_so_and_publishes_nothing() -> None:
    village = Village(seed=18)
    village.settle(4)
    node = village.nodes[2]
    serial = node.device.certificate.serial
    node.peer.update_configuration(village.town.configuration(2, revoked_serials=frozenset((serial,))))
    with pytest.raises(RemoteError, match="revoked"):
        core(node).publish([person(node)], village.now)


def test_a_client_names_no_address_of_its_own() -> None:
    village = Village(seed=19)
    village.settle(6)
    node = village.add(role=Role.CLIENT)
    core(node).bound = (node.address,)
    core(node).note_local([node.address], village.now)
    village.enter(node, village.nodes[1])
    assert core(node).where() == ((), ())
    assert core(village.nodes[1]).where() == ((village.nodes[1].address,), ())
    village.publish(node)
    (found,) = village.seek(village.nodes[3], person(node)).found.registrations
    assert found.ways == ()


def test_what_is_bound_is_told_as_long_as_the_host_has_it() -> None:
    village = Village(seed=24)
    node = village.add()
    core(node).bound = (("0.0.0.0", 5000), ("192.0.2.7", 5000))
    core(node).note_local([("127.0.0.1", 5000), ("192.0.2.7", 5000)], village.now)
    assert core(node).where() == ((("192.0.2.7", 5000),), ())
    core(node).network_changed([("192.0.2.8", 5000)], village.now)
    assert core(node).where() == ((), ())


def test_a_withdrawal_while_nobody_is_known_waits_for_the_attempt_under_way() -> None:
    village = Village(seed=25)
    village.settle(8)
    node = village.nodes[2]
    village.publish(node)
    village.wall = lambda source, destination: node.address in (source, destination)
    while len(node.peer.table):
        village.run(30)
    village.run_until(lambda: core(node)._joining.is_under_way, 120)
    number = core(node).withdraw([person(node)], village.now)
    village.pump(node)
    village.run(0.5)
    assert not [event for event in node.events if isinstance(event, Published) and event.number == number]
    village.wait(node, Published, lambda event: event.number == number)
    assert not core(node)._joining.is_under_way


def test_more_changes_than_may_wait_are_refused() -> None:
    village = Village(seed=20)
    village.settle(3)
    node = village.nodes[1]
    for _ in range(WISHES_MAX + 1):  # one is under way, the others wait
        core(node).publish([person(node)], village.now)
    with pytest.raises(LocalError):
        core(node).publish(["another@home.example"], village.now)
    assert core(node).published == (person(node),)
    village.run(60)
    assert village.withdraw(node).holders == 2


def test_no_more_are_known_and_greeted_at_once_than_may_be() -> None:
    village = Village(seed=21)
    node = village.add()
    many = [
        (number.to_bytes(31, "big") + b"\1", (f"192.0.2.{number % 250}", 1000 + number))
        for number in range(1, KNOWN_MAX + 3)
    ]
    core(node).join(many, village.now)
    village.pump(node)
    assert len(village.trace) == GREETED_FIRST_MAX
    village.run(GREETED_FIRST_SECONDS)
    greeted = {destination for _at, _source, destination, _size in village.trace}
    assert len(greeted) == GREETED_FIRST_MAX + GREETED_AT_ONCE_MAX
    village.run(900)
    greeted = {destination for _at, _source, destination, _size in village.trace}
    assert greeted == {address for _key, address in many[:KNOWN_MAX]}


def test_what_was_found_is_forgotten_after_a_while_and_beyond_a_number() -> None:
    cache, found = FoundCache(), Found((), True, 1, 2, 3.0)
    for number in range(FOUND_CACHED_MAX + 1):
        cache.put(f"u{number}", found, 0.0)
    assert cache.get("u0", 1.0) is None
    assert cache.get("u1", 1.0) == Found((), True, 0, 0, 0.0, cached=True)
    cache.put("new", found, FOUND_SECONDS_MAX)
    assert len(cache) == 1


def test_a_super_node_says_so_and_takes_it_back() -> None:
    village = Village(seed=22)
    village.settle(8)
    node = village.add()
    told = Announcement(node.key, (node.address,), capacity=7)
    volunteer = Volunteering(lambda _certificate, _unix: pytest.fail("nobody asked"), lambda: told)
    node = village.replace(node, volunteer=volunteer)
    village.enter(node, village.nodes[2])
    village.run(ANNOUNCE_CHECK_SECONDS)

    def announced() -> set[bool | None]:
        keys = announcement_keys(village.town.overlay, node.device.node_key.node_id)
        held = [village.look_up(village.nodes[1], key).records for key in keys]
        bodies = [record.body for ((record, _author),) in held]
        return {None if body is None else decode_announcement(body).draining for body in bodies}

    assert announced() == {False}
    told = replace(told, draining=True)
    village.run(ANNOUNCE_CHECK_SECONDS + 2)
    assert announced() == {True}
    node.peer.crossing.volunteer(None)
    village.run(ANNOUNCE_CHECK_SECONDS + 2)
    assert announced() == {None}


def test_one_seed_gives_one_run() -> None:
    traces = []
    for _ in range(2):
        village = Village(seed=23)
        village.settle(8)
        village.publish(village.nodes[3])
        village.run(700)
        traces.append(village.trace)
    assert traces[0] == traces[1]
