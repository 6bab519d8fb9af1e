"""Allocations (RFC 8656 §6) and the tables that the data plane reads directly.

The server core alone changes them; what has expired is taken out by its timers, so whoever finds an entry may use it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from media.turn.quota import Allowance, Meter, User
from p2psip.base.core import Address


@dataclass(slots=True, eq=False)
class Relay:
    """A relayed transport address. `handle` names its socket for the data plane, `address` is what peers see, `family` 4 or 6."""

    handle: int
    address: Address
    family: int
    expires: float = 0.0


@dataclass(slots=True)
class Counters:
    """Packets and bytes of payload, each way, and what was not relayed."""

    to_peer: int = 0
    to_peer_bytes: int = 0
    to_client: int = 0
    to_client_bytes: int = 0
    dropped: int = 0
    over_quota: int = 0

    def add(self, other: "Counters") -> None:
        """Take another's counts in."""
        self.to_peer += other.to_peer
        self.to_peer_bytes += other.to_peer_bytes
        self.to_client += other.to_client
        self.to_client_bytes += other.to_client_bytes
        self.dropped += other.dropped
        self.over_quota += other.over_quota


@dataclass(slots=True, eq=False)
class Allocation:
    """One client's allocation. `client` is where the data plane sends; for a stream it is a synthetic address.

    `headers_by_peer` has the two bytes of the channel number for each peer with a channel; the length follows them on the wire.
    `permissions` and `channel_expiries` hold steady seconds; `transaction` and `answer` serve retransmitted Allocate requests.
    """

    client: Address
    transport: str
    user: User
    transaction: bytes = b""
    answer: bytes = b""
    relays: dict[int, Relay] = field(default_factory=dict)
    permissions: dict[str, float] = field(default_factory=dict)
    channels_by_number: dict[int, Address] = field(default_factory=dict)
    headers_by_peer: dict[Address, bytes] = field(default_factory=dict)
    channel_expiries: dict[int, float] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    def bind(self, number: int, peer: Address, expires: float) -> None:
        """Bind or refresh a channel."""
        self.channels_by_number[number] = peer
        self.headers_by_peer[peer] = number.to_bytes(2, "big")
        self.channel_expiries[number] = expires

    def unbind(self, number: int) -> None:
        """Forget a channel."""
        del self.channel_expiries[number]
        del self.headers_by_peer[self.channels_by_number.pop(number)]

    def next_expiry(self) -> float:
        """When the first of its parts expires."""
        relays = min(relay.expires for relay in self.relays.values())
        return min((relays, *self.permissions.values(), *self.channel_expiries.values()))

    def forget_expired(self, now: float) -> None:
        """Take out permissions and channels whose time is over."""
        for host in [host for host, expires in self.permissions.items() if expires <= now]:
            del self.permissions[host]
        for number in [number for number, expires in self.channel_expiries.items() if expires <= now]:
            self.unbind(number)

    def forget_family(self, family: int) -> None:
        """Take out permissions and channels of a family whose relay is gone."""
        for host in [host for host in self.permissions if family_of(host) == family]:
            del self.permissions[host]
        for number in [number for number, peer in self.channels_by_number.items() if family_of(peer[0]) == family]:
            self.unbind(number)


@dataclass(slots=True)
class Tables:
    """What core and data plane share: allocations by client address, the allowance of all together, the month's bytes."""

    total: Allowance
    meter: Meter
    allocations: dict[Address, Allocation] = field(default_factory=dict)
    finished: Counters = field(default_factory=Counters)


class Relays(Protocol):
    """What the server core needs of the data plane."""

    def open_relay(self, family: int, *, even: bool) -> Relay | None:
        """A relayed address of `family` (4 or 6), with an even port if asked for; None when there is none."""

    def open_pair(self, family: int) -> tuple[Relay, Relay] | None:
        """An even port and the next one."""

    def assign(self, relay: Relay, allocation: Allocation) -> None:
        """From now on packets at `relay` belong to `allocation`."""

    def close_relay(self, relay: Relay) -> None:
        """Give a relayed address back."""

    def send(self, relay: Relay, data: bytes, peer: Address, *, dont_fragment: bool) -> None:
        """Send one datagram to `peer`, as a Send indication wants it."""


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if ":" in host else 4
