"""Guessing is slowed, then blocked: wrong passwords and tokens counted per source and per account.

The first few failures cost nothing, each further one doubles the wait, and from `FAILURES_BLOCKED` on the door stays
shut for a quarter of an hour. A quiet hour forgets everything. Success clears an account's count but not a source's, so
that an attacker's own valid account does not wash its failures away.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from p2psip.base.errors import RemoteError

FAILURES_FREE = 3
FAILURES_BLOCKED = 10
BLOCK_SECONDS = 900.0
FORGET_SECONDS = 3_600.0
GUESSERS_MAX = 10_000


class TooManyGuesses(RemoteError):
    """Come back later: `retry_after_seconds` from now."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many wrong attempts: wait {retry_after_seconds} s, then try again", status=429)
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class _Count:
    failures: int
    last: float


class GuessLimiter:
    """Failures by key, for at most GUESSERS_MAX keys (those quiet for longest are forgotten first)."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def check(self, key: str, now: float) -> None:
        """Return if `key` may try at `now` (steady seconds); else TooManyGuesses."""
        count = self._counts.get(key)
        if count is None:
            return
        wait = count.last + _wait_seconds(count.failures) - now
        if wait > 0:
            raise TooManyGuesses(math.ceil(wait))

    def failed(self, key: str, now: float) -> None:
        """Count a wrong attempt."""
        count = self._counts.get(key)
        if count is None or now - count.last > FORGET_SECONDS:
            count = self._counts[key] = _Count(0, now)
        count.failures += 1
        count.last = now
        self._counts.move_to_end(key)
        if len(self._counts) > GUESSERS_MAX:
            self._counts.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of `key`."""
        self._counts.pop(key, None)


def source_key(host: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"source {host}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"source {address.ipv4_mapped}"
        return f"source {ipaddress.IPv6Network((address, 64), strict=False)}"
    return f"source {address}"


def account_key(name: str) -> str:
    """The key of an account, whether it exists or not."""
    return f"account {name}"


def _wait_seconds(failures: int) -> float:
    if failures < FAILURES_FREE:
        return 0.0
    if failures >= FAILURES_BLOCKED:
        return BLOCK_SECONDS
    return float(2 ** (failures - FAILURES_FREE))
