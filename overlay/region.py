"""How many nodes there are, and so which of them hold a record: a region of the ring, not "the 20 closest".

The distance of the i-th closest node to a random point is i / (N + 1) of the ring on average. Records go to all nodes within
the distance that should hold REGION_NODES of them, so that ids ground out next to a key do not push the rest out (Sridhar et al.,
Content Censorship in the InterPlanetary File System, NDSS 2024, §VI). The estimate itself is a median over lookups of many
targets, and what was found near a key has no say about that key.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

from overlay.buckets import BITS
from overlay.contact import Contact, network_of

REGION_NODES = 12
HOLDERS_MIN = 8
HOLDERS_MAX = 64
SAMPLES_MAX = 9
SAMPLE_NODES_MIN = 4
CELLS = 16
SPARSE_SHARE = 0.5
CROWDS = ((8, 0.77), (16, 4.0), (32, 12.3))
"""(n, nodes): where `nodes` are expected, n are no accident: n > 1.3 m + 3 sqrt(1.3 m) + 4, one in a thousand by Poisson, with room
for an estimate that is 30 % too low."""

_RING = 1 << BITS
_PLACE_OF_CROWD = {count: place for place, (count, _nodes) in enumerate(CROWDS)}


@dataclass(frozen=True, slots=True)
class Region:
    """The part of the ring around `target` whose nodes hold its records, in a network of so many `nodes`.

    `radius` is a distance. CELLS cells of the same size cover the region, so that a crowd in one does not hide the others.
    """

    target: int
    nodes: float
    radius: int
    shift: int
    crowds: tuple[int, ...]

    def cell(self, number: int) -> int | None:
        """In which cell a Node-ID is; None outside the region."""
        cell = (number ^ self.target) >> self.shift
        return cell if cell < CELLS else None

    def point(self, cell: int, turn: int) -> int:
        """A place in a cell; in its middle first, elsewhere on other turns."""
        return self.target ^ (cell << self.shift | (_MIDDLES[turn % len(_MIDDLES)] << self.shift) >> 3)

    def is_crowded(self, distances: Iterable[int]) -> bool:
        """Whether ids at these distances, nearest first, are more than chance puts there."""
        crowds, last = self.crowds, self.crowds[-1]
        for count, distance in enumerate(distances, start=1):
            if distance > last:
                return False
            if count in _PLACE_OF_CROWD and distance < crowds[_PLACE_OF_CROWD[count]]:
                return True
        return False

    def is_dense(self, distance: int) -> bool:
        """Whether eight living nodes as close as this are twice as many as usual: no proof, but a reason to look farther."""
        return distance < self.crowds[1]

    def is_sparse(self, count: int) -> bool:
        """Whether so few nodes in the region are too few: somebody does not name them all."""
        return count < SPARSE_SHARE * min(REGION_NODES, self.nodes)

    def holders(self, closest: Sequence[Contact]) -> list[Contact]:
        """Which of `closest` (closest first) are to hold a record: all inside, HOLDERS_MIN at least.

        Where more are inside than HOLDERS_MAX, those of the emptiest cells and the rarest networks come first.
        """
        inside = [contact for contact in closest if contact.number ^ self.target <= self.radius]
        if len(inside) <= HOLDERS_MIN:
            return list(closest[:HOLDERS_MIN])
        if len(inside) <= HOLDERS_MAX:
            return inside
        return spread(inside, self.cell)[:HOLDERS_MAX]


_MIDDLES = (4, 1, 6, 3)
CELLS_IN_TURN = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)
"""All cells, so that each next one is far from those before."""


def region_of(target: int, nodes: float) -> Region:
    """The region of `target` in a network of so many nodes."""
    return _region_of(target, round(nodes, 1))


@lru_cache(maxsize=256)
def _region_of(target: int, nodes: float) -> Region:
    radius = min(int(_RING * REGION_NODES / (nodes + 1)), _RING - 1)
    shift = max(radius.bit_length() - CELLS.bit_length() + 1, 0)
    crowds = tuple(int(_RING * expected / (nodes + 1)) for _count, expected in CROWDS)
    return Region(target, nodes, radius, shift, crowds)


class NetworkSize:
    """An estimate of the number of nodes from the lookups of late, one sample for each target."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: dict[int, float] = {}

    def observe(self, target: int, closest: Sequence[int]) -> None:
        """A lookup found these Node-IDs closest to `target`, closest first."""
        if len(closest) < SAMPLE_NODES_MIN:
            return
        self._samples.pop(target, None)
        self._samples[target] = len(closest) * _RING / ((closest[-1] ^ target) + 1) - 1
        if len(self._samples) > SAMPLES_MAX:
            del self._samples[next(iter(self._samples))]

    @property
    def nodes(self) -> float | None:
        """The estimate, or None before the first lookup."""
        return median(self._samples.values()) if self._samples else None

    def region(self, target: int) -> Region | None:
        """The region of `target`, by what was found elsewhere; None before anything was."""
        others = [sample for other, sample in self._samples.items() if other != target]
        return region_of(target, median(others)) if others else None


def spread(contacts: Sequence[Contact], cell_of: Callable[[int], int | None]) -> list[Contact]:
    """The same contacts, in turns: one of each cell, of a network that its cell has not named yet, before the second of any."""
    in_network: dict[tuple[int | None, str | None], int] = {}
    in_cell: dict[int | None, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for place, contact in enumerate(contacts):
        cell, network = cell_of(contact.number), network_of(contact.address[0])
        again = in_network.get((cell, network), 0) if network is not None else 0
        in_network[cell, network] = again + 1
        ranked.append((again, in_cell.get(cell, 0), place))
        in_cell[cell] = in_cell.get(cell, 0) + 1
    return [contacts[place] for _again, _turn, place in sorted(ranked)]
