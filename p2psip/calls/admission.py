"""Who of the open SIP world is listened to, and how often: token buckets by source host and for all together. A core.

Nothing here proves who somebody is. It bounds what strangers can cost: messages, invitations, calls at a time; and it stops
listening to hosts that look for people, or send what is no SIP. Tables are bounded: the host that was silent longest goes
first, and who floods with invented sources still meets the bucket of all.
"""

import enum
from collections import OrderedDict
from dataclasses import dataclass, field

from p2psip.base.core import host_key

HOSTS_MAX = 4_096
MESSAGES_PER_SECOND = 25.0
MESSAGES_BURST = 100.0
ALL_MESSAGES_PER_SECOND = 250.0
ALL_MESSAGES_BURST = 500.0
INVITES_BURST = 4.0
PROBES_MAX = 5
PROBE_FORGOTTEN_SECONDS = 60.0
BLOCK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What an operator may set: calls at a time and invitations a minute, of one host and in all."""

    calls_max: int = 10
    calls_per_host_max: int = 2
    invites_per_minute: float = 60.0
    invites_per_minute_per_host: float = 6.0


class Verdict(enum.Enum):
    """What becomes of an invitation. Only ADMITTED takes a place, which `release` gives back."""

    ADMITTED = "admitted"
    BLOCKED = "not listened to for a while"
    TOO_OFTEN = "too many calls a minute"
    TOO_MANY = "too many calls at a time"


@dataclass(slots=True)
class TokenBucket:
    """`level` tokens of `size`, filled by `rate` a second; a fresh one is full."""

    rate: float
    size: float
    level: float = field(init=False)
    filled_at: float

    def __post_init__(self) -> None:
        self.level = self.size

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        self.level = min(self.level + max(now - self.filled_at, 0.0) * self.rate, self.size)
        self.filled_at = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


@dataclass(slots=True)
class _Host:
    messages: TokenBucket
    invites: TokenBucket
    probes: TokenBucket
    calls: int = 0
    blocked_until: float = 0.0


class Admission:
    """The books of one public door. Hosts are IP addresses; of IPv6, networks of 64 bits are one host."""

    def __init__(self, limits: AdmissionLimits, now: float) -> None:
        self._limits = limits
        self._messages = TokenBucket(ALL_MESSAGES_PER_SECOND, ALL_MESSAGES_BURST, now)
        self._invites = TokenBucket(limits.invites_per_minute / 60, max(limits.invites_per_minute / 4, 1.0), now)
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._busy: dict[str, _Host] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def calls(self) -> int:
        """How many places are taken."""
        return sum(host.calls for host in self._busy.values())

    def may_speak(self, address: str, now: float) -> bool:
        """Whether one more message of any kind is read at all; asked before it is parsed."""
        if self._host(address, now).messages.take(now) and self._messages.take(now):
            return True
        self.dropped += 1
        return False

    def is_blocked(self, address: str, now: float) -> bool:
        """Whether new requests of this host are passed over without an answer. What belongs to a standing call is not."""
        return now < self._host(address, now).blocked_until

    def invite(self, address: str, now: float) -> Verdict:
        """Count one invitation; ADMITTED takes a place."""
        host = self._host(address, now)
        if now < host.blocked_until:
            return Verdict.BLOCKED
        if not host.invites.take(now) or not self._invites.take(now):
            return Verdict.TOO_OFTEN
        if host.calls >= self._limits.calls_per_host_max or self.calls >= self._limits.calls_max:
            return Verdict.TOO_MANY
        host.calls += 1
        self._busy[host_key(address)] = host
        return Verdict.ADMITTED

    def release(self, address: str) -> None:
        """Give a place back."""
        host = self._busy[host_key(address)]
        host.calls -= 1
        if not host.calls:
            del self._busy[host_key(address)]

    def probe(self, address: str, now: float) -> bool:
        """Count something that only scanners do (asked for nobody, for another domain, sent no SIP); True if it blocks now.

        PROBES_MAX at once, and one in PROBE_FORGOTTEN_SECONDS, are forgiven: people misdial.
        """
        host = self._host(address, now)
        if host.probes.take(now) or now < host.blocked_until:
            return False
        host.blocked_until = now + BLOCK_SECONDS
        return True

    def _host(self, address: str, now: float) -> _Host:
        key = host_key(address)
        host = self._hosts.get(key)
        if host is not None:
            self._hosts.move_to_end(key)
            return host
        host = self._busy.get(key)
        if host is None:
            per_second = self._limits.invites_per_minute_per_host / 60
            host = _Host(
                TokenBucket(MESSAGES_PER_SECOND, MESSAGES_BURST, now),
                TokenBucket(per_second, INVITES_BURST, now),
                TokenBucket(1 / PROBE_FORGOTTEN_SECONDS, PROBES_MAX, now),
            )
        self._hosts[key] = host
        if len(self._hosts) > HOSTS_MAX:
            self._hosts.popitem(last=False)
        return host
