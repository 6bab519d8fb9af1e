"""What a bridge joins: anything that takes RTP and RTCP and hands what it receives to a function.

Payloads are not looked into; packets pass unchanged. Who may send here, and where to, is decided when a leg is set up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from p2psip.base.core import Address

Sink = Callable[[bytes], None]


@dataclass(slots=True)
class LegStatistics:
    """Counts of one leg since its start. `last_received` is steady seconds; `refused` came from a wrong address."""

    received: int = 0
    sent: int = 0
    refused: int = 0
    first_received: float | None = None
    last_received: float | None = None


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
        self._legs = (left, right)
        left.connect(right.send)
        right.connect(left.send)

    def close(self) -> None:
        """Part the legs."""
        for leg in self._legs:
            leg.connect(None)


class Latch:
    """Symmetric RTP: believes the first packet from an allowed host, then only that address, until it is aimed anew."""

    __slots__ = ("_hosts", "_latched", "target")

    def __init__(self) -> None:
        self.target: Address | None = None
        self._hosts: frozenset[str] = frozenset()
        self._latched = False

    def aim(self, announced: Address, signalling_host: str) -> None:
        """The peer announced an address. Packets may come from it, or from the host that signals (once)."""
        if self.target is not None and self._latched and announced[0] in self._hosts and announced == self.target:
            return
        self.target = announced
        self._hosts = frozenset((announced[0], signalling_host))
        self._latched = False

    def admit(self, source: Address) -> bool:
        """Whether a packet from `source` is the peer's; the first one of an allowed host fixes the address."""
        if self._latched:
            return source == self.target
        if source[0] not in self._hosts:
            return False
        self.target = source
        self._latched = True
        return True
