"""What a bridge joins: anything that takes RTP and RTCP and hands what it receives to a function.

Payloads are not looked into; packets pass unchanged. Who may send here, and where to, is decided when a leg is set up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from p2psip.base.core import Address

NETWORK_CHANGED = "our addresses have changed"
"""The reason for a restart of the side that has moved; others wait a little, lest both sides ask at once."""

Sink = Callable[[bytes], None]


@dataclass(slots=True)
class LegStatistics:
    """Counts of one leg since its start. `first_received` is steady seconds; `refused` came from a wrong address, or was
    nothing that a leg takes; `refused_from` is where the last of these came from, None when its address was right.

    `last` is the packet received last: who samples it learns of loss and of the codec at no cost for each packet.
    `closed_port` counts how often the other machine said that nobody listens there (ICMP). `undecryptable` came from the right
    address and did not fit the key, or came twice.
    """

    received: int = 0
    sent: int = 0
    refused: int = 0
    first_received: float | None = None
    octets_received: int = 0
    octets_sent: int = 0
    last: bytes = b""
    refused_from: Address | None = None
    closed_port: int = 0
    undecryptable: int = 0


class Leg(Protocol):
    """One end of a bridge."""

    statistics: LegStatistics

    def send(self, packet: bytes) -> None:
        """Take one RTP or RTCP packet that goes out here."""

    def connect(self, sink: Sink | None) -> None:
        """Hand every received packet to `sink` from now on; None: to nobody."""

    def close(self) -> None:
        """Free what the leg holds."""


class Bridge:
    """Two legs joined both ways until `close`; the legs themselves live on."""

    def __init__(self, left: Leg, right: Leg) -> None:
        self._legs: tuple[Leg, ...] = (left, right)
        left.connect(right.send)
        right.connect(left.send)

    def rebind(self, right: Leg) -> None:
        """Join the left leg to another one, as in a transfer; the leg that was joined before hears nobody."""
        if self._legs:
            left, before = self._legs
            before.connect(None)
            self._legs = (left, right)
            left.connect(right.send)
            right.connect(left.send)

    def close(self) -> None:
        """Part the legs, once: a second call harms no bridge that was made since."""
        legs, self._legs = self._legs, ()
        for leg in legs:
            leg.connect(None)


class Latch:
    """Symmetric RTP: believes the first packet from an allowed host, then only that address, until it is aimed anew."""

    __slots__ = ("_aimed_at", "learnt", "target")

    def __init__(self) -> None:
        self.target: Address | None = None
        self.learnt: Address | None = None  # the target, once it is fixed
        self._aimed_at: tuple[Address, str] | None = None

    @property
    def announced(self) -> Address | None:
        """The address that the peer announced last."""
        return None if self._aimed_at is None else self._aimed_at[0]

    def aim(self, announced: Address, signalling_host: str) -> None:
        """The peer announced an address. Packets may come from it, or from the host that signals (once).

        The same announcement again (a hold, a session timer) changes nothing: behind a NAT the announced address leads
        nowhere, and media must go on to the one that was learnt.
        """
        if self._aimed_at != (announced, signalling_host):
            self._aimed_at = (announced, signalling_host)
            if announced != self.learnt:
                self.target, self.learnt = announced, None

    def allows(self, source: Address) -> bool:
        """Whether a packet from `source` may be the peer's; nothing is fixed yet."""
        if self.learnt is not None:
            return source == self.learnt
        return self._aimed_at is not None and source[0] in (self._aimed_at[0][0], self._aimed_at[1])

    def admit(self, source: Address) -> bool:
        """Whether a packet from `source` is the peer's; the first one of an allowed host fixes the address."""
        if not self.allows(source):
            return False
        self.target = self.learnt = source
        return True
