"""Rules on a node's addresses that need no socket: their family, which to try first, and which to tell others."""

from collections.abc import Sequence

from overlay.registration import ADDRESSES_MAX
from p2psip.base.core import Address

WILDCARDS = ("0.0.0.0", "::")


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if ":" in host else 4


def sort_by_family(known: Sequence[tuple[bytes, Address]], families: frozenset[int]) -> list[tuple[bytes, Address]]:
    """Who can be sent to first; the order is kept otherwise."""
    return sorted(known, key=lambda each: family_of(each[1][0]) not in families)


def addresses_to_tell(seen: Sequence[Address], bound: Sequence[Address]) -> tuple[Address, ...]:
    """Where a peer says that it is: where others see it, then what its port is bound to."""
    own = [address for address in bound if address[0] not in WILDCARDS]
    return tuple(dict.fromkeys([*seen, *own]))[:ADDRESSES_MAX]
