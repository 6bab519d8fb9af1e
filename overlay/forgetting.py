"""Which entry of a full table goes: the oldest, but members of the overlay after strangers, whose keys cost nothing."""

from collections.abc import Callable
from typing import TypeVar

SPARED_AT_ONCE_MAX = 16

K = TypeVar("K")
V = TypeVar("V")


def forget_one(table: dict[K, V], is_member: Callable[[K], bool]) -> tuple[K, V]:
    """Take the oldest entry that is no member's out; up to SPARED_AT_ONCE_MAX members before it become the newest."""
    for _spared in range(SPARED_AT_ONCE_MAX):
        oldest = next(iter(table))
        if not is_member(oldest):
            break
        table[oldest] = table.pop(oldest)
    oldest = next(iter(table))
    return oldest, table.pop(oldest)
