"""A table of named deadlines: small, ordered by time and then by the order of setting, so that it is deterministic."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

NEVER = float("inf")

_COMPACT_AT = 16


class Timers(Generic[K]):
    """Deadlines by name. `set` costs O(log n); a stopped entry leaves the heap lazily, within a bound of two to one.

    `at` is the earliest deadline, or NEVER: a node reads it of all its tables after each datagram.
    """

    __slots__ = ("_deadlines", "_heap", "_sequence", "at")

    def __init__(self) -> None:
        self._deadlines: dict[K, tuple[float, int, K]] = {}
        self._heap: list[tuple[float, int, K]] = []  # its first entry is never one that was stopped or moved
        self._sequence = 0
        self.at = NEVER

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, name: K) -> bool:
        return name in self._deadlines

    def set(self, name: K, when: float) -> None:
        """Set or move the deadline of `name` to `when` (steady seconds)."""
        self._sequence = number = self._sequence + 1
        is_moved = name in self._deadlines
        self._deadlines[name] = entry = (when, number, name)
        heapq.heappush(self._heap, entry)
        if is_moved or when < self.at:
            self._settle()
        if len(self._heap) > _COMPACT_AT and len(self._heap) > 2 * len(self._deadlines):
            self._heap = list(self._deadlines.values())
            heapq.heapify(self._heap)

    def stop(self, name: K) -> None:
        """Forget the deadline of `name`, if there is one."""
        entry = self._deadlines.pop(name, None)
        if entry is not None and entry[1] == self._heap[0][1]:
            self._settle()

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        return None if self.at == NEVER else self.at

    def expired(self, now: float) -> list[K]:
        """Remove and return all names whose deadline is at or before `now`, in the order of their deadlines."""
        due: list[K] = []
        while self.at <= now:
            name = heapq.heappop(self._heap)[2]
            del self._deadlines[name]
            due.append(name)
            self._settle()
        return due

    def _settle(self) -> None:
        """Take what was stopped or moved off the top of the heap."""
        heap, deadlines = self._heap, self._deadlines
        while heap:
            entry = deadlines.get(heap[0][2])
            if entry is not None and entry[1] == heap[0][1]:
                break
            heapq.heappop(heap)
        self.at = heap[0][0] if heap else NEVER


def earliest(one: float | None, other: float | None) -> float | None:
    """The earlier of two deadlines, either of which may be missing."""
    if one is None or (other is not None and other < one):
        return other
    return one
