"""How many nodes there are, and so which of them hold a record: a region of the ring, not "the 20 closest".

The distance of the i-th closest node to a random point is i / (N + 1) of the ring on average. Records go to all nodes within
the distance that should hold REGION_NODES of them, so that a few ids ground out next to a key do not push the rest out.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median

from overlay.buckets import BITS

REGION_NODES = 12
HOLDERS_MIN = 8
HOLDERS_MAX = 40
SAMPLES_MAX = 32

_RING = 1 << BITS


class NetworkSize:
    """An estimate of the number of nodes from the lookups of late."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES_MAX)

    def observe(self, target: int, closest: Sequence[int]) -> None:
        """A lookup found these Node-IDs closest to `target`, closest first."""
        if len(closest) >= 4:
            self._samples.append(len(closest) * _RING / ((closest[-1] ^ target) + 1) - 1)

    @property
    def nodes(self) -> float | None:
        """The estimate, or None before the first lookup."""
        return median(self._samples) if self._samples else None

    def holders(self, target: int, closest: Sequence[int]) -> int:
        """How many of `closest` (Node-IDs, closest first) lie in the region of `target`."""
        nodes = self.nodes
        if nodes is None:
            return min(HOLDERS_MIN, len(closest))
        radius = _RING * REGION_NODES / (nodes + 1)
        inside = sum(1 for number in closest if number ^ target <= radius)
        return min(max(inside, HOLDERS_MIN), HOLDERS_MAX, len(closest))
