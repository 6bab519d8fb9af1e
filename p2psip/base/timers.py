"""A table of named deadlines: small, ordered by time and then by the order of setting, so that it is deterministic."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_COMPACT_AT = 64


class Timers(Generic[K]):
    """Deadlines by name. `set` costs O(log n); a stopped entry leaves the heap lazily, within a bound of two to one."""

    __slots__ = ("_deadlines", "_heap", "_sequence")

    def __init__(self) -> None:
        self._deadlines: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, name: K) -> bool:
        return name in self._deadlines

    def set(self, name: K, when: float) -> None:
        """Set or move the deadline of `name` to `when` (steady seconds)."""
        self._sequence += 1
        self._deadlines[name] = (when, self._sequence)
        heapq.heappush(self._heap, (when, self._sequence, name))
        if len(self._heap) > _COMPACT_AT and len(self._heap) > 2 * len(self._deadlines):
            self._heap = [(at, number, key) for key, (at, number) in self._deadlines.items()]
            heapq.heapify(self._heap)

    def stop(self, name: K) -> None:
        """Forget the deadline of `name`, if there is one."""
        self._deadlines.pop(name, None)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap:
            when, number, name = self._heap[0]
            if self._deadlines.get(name) == (when, number):
                return when
            heapq.heappop(self._heap)
        return None

    def expired(self, now: float) -> list[K]:
        """Remove and return all names whose deadline is at or before `now`, in the order of their deadlines."""
        due: list[K] = []
        while (when := self.next()) is not None and when <= now:
            name = heapq.heappop(self._heap)[2]
            del self._deadlines[name]
            due.append(name)
        return due


def earliest(one: float | None, other: float | None) -> float | None:
    """The earlier of two deadlines, either of which may be missing."""
    if one is None or (other is not None and other < one):
        return other
    return one
