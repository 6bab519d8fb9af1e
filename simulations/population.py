"""The nodes that are alive, with a fair draw in constant time and an order that depends on nothing but what happened."""

from collections.abc import Iterator

from p2psip.base.chance import Chance
from simulations.nodes import Node


class Population:
    """A list without gaps and an index into it."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def __contains__(self, node: Node) -> bool:
        return node.number in self._places

    def add(self, node: Node) -> None:
        """One more."""
        if node.number not in self._places:
            self._places[node.number] = len(self._nodes)
            self._nodes.append(node)

    def discard(self, node: Node) -> None:
        """One less; the last one takes its place."""
        place = self._places.pop(node.number, None)
        if place is None:
            return
        last = self._nodes.pop()
        if last is not node:
            self._nodes[place] = last
            self._places[last.number] = place

    def draw(self, chance: Chance) -> Node:
        """One of them; there must be some."""
        return chance.choice(self._nodes)

    def sample(self, chance: Chance, count: int) -> list[Node]:
        """So many different ones, or all if they are fewer."""
        return chance.sample(self._nodes, min(count, len(self._nodes)))
