"""Many ids in order, and those closest to a target by XOR without a look at all: hostile answers are made by the thousand."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from overlay.buckets import BITS

T = TypeVar("T")


class Ring(Generic[T]):
    """Values by their id (a whole number below 2^BITS)."""

    def __init__(self, entries: Iterable[tuple[int, T]] = ()) -> None:
        self._values = dict(entries)
        self._ids = sorted(self._values)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, number: int, value: T) -> None:
        """One more, or another value for the same id."""
        if number not in self._values:
            insort(self._ids, number)
        self._values[number] = value

    def near(self, target: int, count: int, fits: Callable[[T], bool] = lambda _value: True) -> list[T]:
        """The `count` values closest to `target` that fit, closest first; fewer if there are no more.

        All that share so many leading bits with the target stand side by side; bits are given up until there are enough.
        """
        values = self._values
        shared = min(BITS, max(0, len(self._ids).bit_length() + 2))
        while True:
            rest = BITS - shared
            low = target >> rest << rest
            block = self._ids[bisect_left(self._ids, low) : bisect_left(self._ids, low + (1 << rest))]
            if len(block) >= count or not shared:
                found = [number for number in block if fits(values[number])]
                if len(found) >= count or not shared:
                    found.sort(key=lambda number: number ^ target)
                    return [values[number] for number in found[:count]]
            shared -= 1
