"""A whole overlay of participants on virtual time, with walls, outages and nodes that move."""

from collections.abc import Callable
from typing import Any, TypeVar

from overlay.membership import Membership
from overlay.participant import FoundDone, Joined, Participant, Published
from overlay.reachability import Role
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.overlay.devices import Device
from tests.overlay.world import Node, World

T = TypeVar("T")

DEAD = [(bytes([number]) * 32, (f"192.0.2.{number}", 5000)) for number in range(1, 5)]
"""Nodes that nobody has."""


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
