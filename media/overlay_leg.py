"""The secure path to another node for one call, as calls see it."""

from typing import Any, Protocol

import trio

from media.legs import LegStatistics, Sink
from media.secure import SecureTransport, TransportDescription
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock

SENT_STREAMS_MAX = 32


class Plane(Protocol):
    """What moves the packets of legs."""

    clock: Clock

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram."""

    def pump(self, leg: "OverlayLeg") -> None:
        """Drain one path's outputs."""

    def close_overlay_leg(self, leg: "OverlayLeg") -> None:
        """Forget a leg."""


class OverlayLeg:
    """The secure path to another node for one call."""

    def __init__(self, service: Plane, transport: SecureTransport) -> None:
        self._service = service
        self.transport = transport
        self.description: TransportDescription = transport.description
        self.statistics = LegStatistics()
        self.closed_reason: str | None = None
        self.due: float | None = None
        self.takes_bare_dtls = False
        self._sink: Sink | None = None
        self._sent_streams: set[bytes] = set()
        self._ready, self._lost = trio.Event(), trio.Event()

    def set_remote(self, remote: TransportDescription) -> None:
        """Begin ICE and DTLS; RemoteError(488) for a description that cannot be used."""
        self.takes_bare_dtls = not remote.wraps_dtls
        self.transport.set_remote(remote, self._service.clock.now())
        self._service.pump(self)

    async def wait_connected(self) -> None:
        """Return when packets can pass; RemoteError(500) with the reason when they never will."""
        await self._ready.wait()
        if self.closed_reason is not None:
            raise RemoteError(self.closed_reason, status=500)

    async def wait_lost(self) -> str:
        """Return the reason when the path is gone."""
        await self._lost.wait()
        return self.closed_reason or "the media path was closed"

    async def wait_restart_wanted(self) -> str:
        """Return the reason when the path must be made anew by a restart."""
        await trio.sleep_forever()
        raise AssertionError("never reached")

    def restart(self) -> TransportDescription:
        """Take new credentials; `set_remote` with the peer's new transport follows."""
        return self.description

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Protect one packet and send it. Each stream costs the cipher a table of its own: SENT_STREAMS_MAX in a call."""
        ssrc = packet[4:8] if 192 <= packet[1] <= 223 else packet[8:12]
        if ssrc not in self._sent_streams:
            if len(self._sent_streams) >= SENT_STREAMS_MAX:
                self.statistics.refused += 1
                return
            self._sent_streams.add(ssrc)
        wire = self.transport.protect(packet)
        destination = self.transport.destination
        if wire is not None and destination is not None:
            statistics = self.statistics
            statistics.sent += 1
            statistics.octets_sent += len(packet)
            self._service.send(wire, destination)

    def receive(self, data: bytes, source: Address) -> bool:
        """An SRTP or SRTCP datagram; False when it is not of this call."""
        packet = self.transport.unprotect(data, source)
        if packet is None:
            return False
        self.deliver(packet)
        return True

    def deliver(self, packet: bytes) -> None:
        """Hand a decrypted packet on."""
        statistics = self.statistics
        statistics.received += 1
        statistics.octets_received += len(packet)
        statistics.last = packet
        if statistics.first_received is None:
            statistics.first_received = self._service.clock.now()
        if self._sink is not None:
            self._sink(packet)

    def path(self) -> dict[str, Any]:
        """The way to the other node, for people: `way` is None until one works."""
        destination = self.transport.destination
        remote = None if destination is None else address_text(destination)
        return {"way": None if remote is None else "direct", "remote": remote}

    def became_ready(self) -> None:
        """The keys are there."""
        self._ready.set()

    def became_lost(self, reason: str) -> None:
        """The path is gone."""
        self.closed_reason = reason
        self._ready.set()
        self._lost.set()

    def close(self) -> None:
        """Forget the path."""
        self._service.close_overlay_leg(self)
