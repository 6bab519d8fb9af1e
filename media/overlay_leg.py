"""The secure path to another node for one call, as calls see it."""

from typing import Any, Protocol

import trio

from media.ice.agent import IceAgent
from media.ice.candidates import Candidate, Pair, Way
from media.legs import LegStatistics, Sink
from media.secure import SecureTransport, TransportDescription
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock

SENT_STREAMS_MAX = 32


class Plane(Protocol):
    """What moves the packets of legs."""

    clock: Clock

    def send(self, data: bytes, way: Way) -> None:
        """Send one datagram."""

    def pump(self, leg: "OverlayLeg") -> None:
        """Drain one path's outputs."""

    def prepare(self, leg: "OverlayLeg", remote: TransportDescription) -> None:
        """Let the peer's addresses in at our relays."""

    def candidates(self) -> list[Candidate]:
        """Our candidates as they are now."""

    def plan(self, leg: "OverlayLeg") -> None:
        """The leg has a new deadline."""

    def path_facts(self, pair: Pair, way: Way) -> dict[str, Any]:
        """What a way passes, for people."""

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
        self.bound: Way | None = None
        self.agents: dict[str, IceAgent] = {}  # those that the service knows, by user name fragment
        self.takes_bare_dtls = False
        self.sink: Sink | None = None
        self._sent_streams: set[bytes] = set()
        self._ready, self._lost = trio.Event(), trio.Event()
        self._restart_wanted, self._restart_reason = trio.Event(), ""

    def set_remote(self, remote: TransportDescription) -> None:
        """Begin ICE and DTLS; RemoteError(488) for a description that cannot be used.

        With new ICE credentials the peer has restarted (RFC 8839 §4.4.1.1.1): this side does too, and `description` is
        new, with the candidates of now, for the answer.
        """
        self.takes_bare_dtls = not remote.wraps_dtls
        if self.transport.needs_restart_for(remote):
            self.restart()
        self._service.prepare(self, remote)
        self.transport.set_remote(remote, self._service.clock.now())
        self.description = self.transport.description
        self._service.pump(self)

    def restart(self) -> TransportDescription:
        """An ICE restart (RFC 8445 §9): the new `description` has to reach the peer, whose answer goes to `set_remote`.

        The way in use carries on until a new one is agreed; keys stay.
        """
        self.description = self.transport.restart(self._service.candidates())
        if self._restart_wanted.is_set():  # else somebody waits for this very event
            self._restart_wanted = trio.Event()
        self._service.pump(self)
        return self.description

    @property
    def needs_restart(self) -> bool:
        """Whether a restart is wanted: all ways are dead, or the network has changed."""
        return self._restart_wanted.is_set()

    async def wait_restart_wanted(self) -> str:
        """Return the reason when a restart is wanted: at once while that is so, after `restart` for the next time."""
        await self._restart_wanted.wait()
        return self._restart_reason

    def want_restart(self, reason: str) -> None:
        """Only new candidates can help; `reason` is for people."""
        self._restart_reason = reason
        self._restart_wanted.set()

    async def wait_connected(self) -> None:
        """Return when packets can pass; RemoteError(500) with the reason when they never will."""
        await self._ready.wait()
        if self.closed_reason is not None:
            raise RemoteError(self.closed_reason, status=500)

    async def wait_lost(self) -> str:
        """Return the reason when the path is gone."""
        await self._lost.wait()
        return self.closed_reason or "the media path was closed"

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self.sink = sink

    def send(self, packet: bytes) -> None:
        """Protect one packet and send it. Each stream costs the cipher a table of its own: SENT_STREAMS_MAX in a call."""
        ssrc = packet[4:8] if 192 <= packet[1] <= 223 else packet[8:12]
        if ssrc not in self._sent_streams:
            if len(self._sent_streams) >= SENT_STREAMS_MAX:
                self.statistics.refused += 1
                return
            self._sent_streams.add(ssrc)
        wire = self.transport.protect(packet)
        if wire is not None:
            statistics = self.statistics
            statistics.sent += 1
            statistics.octets_sent += len(packet)
            for way in self.transport.ways:
                self._service.send(wire, way)

    def receive(self, data: bytes, source: Way) -> bool:
        """An SRTP or SRTCP datagram; False when it is not of this call."""
        transport = self.transport
        packet = transport.unprotect(data, source)
        if packet is None:
            return False
        if source == transport.destination and transport.path.note_received(self._service.clock.now()):
            self._service.plan(self)
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
        if self.sink is not None:
            self.sink(packet)

    def path(self) -> dict[str, Any]:
        """The way to the other node, for people. `kind` is None until one works, else "direct" or "relayed"; "via" names
        the relays, ours first; `local` and `remote` are types of candidates (RFC 8445 §5.1.1).
        """
        pair, way = self.transport.path.selected, self.transport.destination
        if pair is None or way is None:
            return {"kind": None, "way": None}
        return self._service.path_facts(pair, way)

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
