"""Participants on virtual time: they join, stay registered, find one another, move, leave, and come back after outages."""

from collections.abc import Callable
from typing import Any, TypeVar

from overlay.membership import Membership
from overlay.participant import CanaryDone, FoundDone, Joined, Participant, Published
from overlay.reachability import Role
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.overlay.devices import Device
from tests.overlay.world import Node, World

T = TypeVar("T")


class Village(World):
    """A world of participants."""

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
