"""What users and strangers may cost: bytes, requests and answers per second. Every table here has a fixed size."""

import hashlib
import ipaddress
import math
from functools import lru_cache

PREFIXES_CACHED_MAX = 4_096
SOURCES_COUNTED = 4_096
PACKET_BYTES_ADDED = 28


class Allowance:
    """A token bucket that costs a comparison and a subtraction as long as it is not empty.

    The data plane reads `credit` directly. It is filled only when it does not suffice: `burst_seconds` of `per_second` at most.
    So after a quiet time twice that may pass at once.
    """

    __slots__ = ("_at", "_burst", "_per_second", "credit")

    def __init__(self, per_second: float, burst_seconds: float, now: float) -> None:
        self._per_second = per_second
        self._burst = per_second * burst_seconds
        self._at = now
        self.credit = self._burst

    def take(self, amount: float, now: float) -> bool:
        """Spend `amount`; False, and nothing is spent, if there is not enough."""
        if self.credit < amount and not self.refill(amount, now):
            return False
        self.credit -= amount
        return True

    def refill(self, amount: float, now: float) -> bool:
        """Add what the time since the last filling has brought; whether `amount` is there now."""
        if now > self._at:
            self.credit = min(self._burst, self.credit + (now - self._at) * self._per_second)
            self._at = now
        return self.credit >= amount


class SourceBudgets:
    """Answers per second to those who have shown no credentials, for each network (IPv4 /24, IPv6 /64) and for all.

    Networks share SOURCES_COUNTED buckets by a keyed hash: no state grows, and nobody can choose whose bucket to empty.
    """

    def __init__(self, *, per_second: float, burst: float, total_per_second: float, key: bytes) -> None:
        self._per_second, self._burst, self._key = per_second, burst, key
        self._left = [burst] * SOURCES_COUNTED
        self._at = [-math.inf] * SOURCES_COUNTED
        self._total = Allowance(total_per_second, 1.0, -math.inf)

    def spend(self, host: str, now: float) -> bool:
        """Take one answer to `host` from the budgets; False when one of them is used up."""
        digest = hashlib.blake2b(source_prefix(host), digest_size=4, key=self._key).digest()
        index = int.from_bytes(digest, "big") % SOURCES_COUNTED
        left = min(self._burst, self._left[index] + max(now - self._at[index], 0.0) * self._per_second)
        self._at[index] = now
        if left < 1.0 or not self._total.refill(1.0, now):
            self._left[index] = left
            return False
        self._left[index] = left - 1.0
        self._total.take(1.0, now)
        return True


@lru_cache(maxsize=PREFIXES_CACHED_MAX)
def source_prefix(host: str) -> bytes:
    """The network that `host` is counted under: 3 bytes of IPv4, 8 of IPv6."""
    packed = ipaddress.ip_address(host).packed
    return packed[:3] if len(packed) == 4 else packed[:8]


class User:
    """One owner of credentials: its allocations and what it may still use. Held while it has allocations, and a little longer."""

    __slots__ = ("allocations", "idle_since", "name", "requests", "traffic")

    def __init__(self, name: str, *, bytes_per_second: float, requests_per_second: float, now: float) -> None:
        self.name = name
        self.allocations = 0
        self.idle_since = now
        self.traffic = Allowance(bytes_per_second, 2.0, now)
        self.requests = Allowance(requests_per_second, 2.0, now)


class Meter:
    """Bytes relayed this month, counted by the data plane, and the count at which it stops."""

    __slots__ = ("end", "used")

    def __init__(self, used: int = 0, end: float = math.inf) -> None:
        self.used = used
        self.end = end
