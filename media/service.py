"""The trio shell of media: legs towards phones and towards other nodes, and the loops that move their packets."""

import logging
import math
import socket
from collections import OrderedDict
from collections.abc import Callable
from itertools import count

import ifaddr
import trio

from media import stun
from media.dtls import DtlsIdentity
from media.ice.candidates import Candidate, local_candidate
from media.ice.directory import AgentDirectory
from media.legs import Latch, LegStatistics, Sink
from media.rtp import is_rtcp
from media.secure import MediaReceived, PathLost, Ready, SecureTransport, TransportDescription
from media.sockets import SocketPlane
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort, open_udp

LEGS_MAX = 2_048
STREAMS_MAX = 16_384
SRTP_BYTES_MIN = 12
PORT_ATTEMPTS_MAX = 64

_log = logging.getLogger(__name__)


class PhoneLeg:
    """RTP and RTCP sockets towards one phone. `local` is the RTP address to put into a session description."""

    def __init__(self, service: "MediaService", rtp: socket.socket, rtcp: socket.socket) -> None:
        self._service = service
        self._rtp, self._rtcp = rtp, rtcp
        self._rtp_latch, self._rtcp_latch = Latch(), Latch()
        self._sink: Sink | None = None
        self.local: Address = rtp.getsockname()[:2]
        self.statistics = LegStatistics()

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the phone wants its packets; `rtcp` defaults to the next port (RFC 3550 §11)."""
        self._rtp_latch.aim(rtp, signalling_host)
        self._rtcp_latch.aim(rtcp or (rtp[0], min(rtp[1] + 1, 65_535)), signalling_host)

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Send one packet to the phone."""
        rtcp = is_rtcp(packet)
        target = self._rtcp_latch.target if rtcp else self._rtp_latch.target
        if target is None:
            return
        try:
            (self._rtcp if rtcp else self._rtp).sendto(packet, target)
            self.statistics.sent += 1
        except OSError:  # the kernel's buffer is full, or the phone's port is closed: as UDP may
            return

    def receive_rtp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTP socket."""
        statistics = self.statistics
        if not self._rtp_latch.admit(source[:2]) or len(data) < 12:
            statistics.refused += 1
            return
        if statistics.first_received is None:
            statistics.first_received = self._service.clock.now()
        statistics.received += 1
        if self._sink is not None:
            self._sink(data)

    def receive_rtcp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTCP socket."""
        if self._rtcp_latch.admit(source[:2]) and len(data) >= 8 and self._sink is not None:
            self._sink(data)

    def close(self) -> None:
        """Close both sockets."""
        self._service.close_phone_leg(self, self._rtp, self._rtcp)


class OverlayLeg:
    """The secure path to another node for one call."""

    def __init__(self, service: "MediaService", transport: SecureTransport) -> None:
        self._service = service
        self.transport = transport
        self.description: TransportDescription = transport.description
        self.statistics = LegStatistics()
        self.closed_reason: str | None = None
        self._sink: Sink | None = None
        self._ready, self._lost = trio.Event(), trio.Event()

    def set_remote(self, remote: TransportDescription) -> None:
        """Begin ICE and DTLS; RemoteError(488) for a description that cannot be used."""
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

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Protect one packet and send it."""
        wire = self.transport.protect(packet)
        destination = self.transport.destination
        if wire is not None and destination is not None:
            self.statistics.sent += 1
            self._service.port.send(wire, destination)

    def receive(self, data: bytes, source: Address) -> bool:
        """An SRTP or SRTCP datagram; False when it is not of this call."""
        packet = self.transport.unprotect(data, source)
        if packet is None:
            self.statistics.refused += 1
            return False
        self.deliver(packet)
        return True

    def deliver(self, packet: bytes) -> None:
        """Hand a decrypted packet on."""
        statistics = self.statistics
        statistics.received += 1
        if statistics.first_received is None:
            statistics.first_received = self._service.clock.now()
        if self._sink is not None:
            self._sink(packet)

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


class MediaService:
    """All legs of a node. STUN, DTLS and SRTP arrive on the node's one port."""

    def __init__(
        self, *, port: NodePort, clock: Clock, chance: Chance, phone_host: str, rtp_ports: tuple[int, int]
    ) -> None:
        self.port = port
        self.clock = clock
        self._chance = chance
        self._phone_host = phone_host
        self._rtp_ports = rtp_ports
        self._next_port = count(rtp_ports[0] + (rtp_ports[0] & 1) + 2 * (chance.integer(12) % 1_000), 2)
        self._identity = DtlsIdentity(clock.unix())
        self._plane = SocketPlane()
        self._directory = AgentDirectory()
        self._legs: dict[SecureTransport, OverlayLeg] = {}
        self._by_agent: dict[str, OverlayLeg] = {}
        self._by_source: dict[Address, list[OverlayLeg]] = {}
        self._by_stream: OrderedDict[tuple[Address, bytes], OverlayLeg] = OrderedDict()
        self._phone_legs = 0
        self._wake = trio.Event()
        self.on_stun: Callable[[bytes, Address], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Move packets and serve timers until cancelled."""
        self.port.route(0, 3, self._receive_stun)
        self.port.route(20, 63, self._receive_dtls)
        self.port.route(128, 191, self._receive_srtp)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._plane.run)
            nursery.start_soon(self._serve_timers)
            task_status.started()

    def phone_leg(self, host: str | None = None) -> PhoneLeg:
        """Sockets for one phone on `host` (the service's own when None); RemoteError(503) when there are none left."""
        if self._phone_legs >= LEGS_MAX:
            raise RemoteError("this node carries as many calls as it can", status=503)
        rtp, rtcp = self._open_pair(host or self._phone_host)
        leg = PhoneLeg(self, rtp, rtcp)
        self._plane.add(rtp, leg.receive_rtp)
        self._plane.add(rtcp, leg.receive_rtcp)
        self._phone_legs += 1
        return leg

    def overlay_leg(self, *, offerer: bool) -> OverlayLeg:
        """A path to another node; RemoteError(503) when there are too many."""
        transport = SecureTransport(
            offerer=offerer, candidates=self._candidates(), identity=self._identity, chance=self._chance
        )
        if len(self._legs) >= LEGS_MAX or not self._directory.add(transport.agent):
            raise RemoteError("this node carries as many calls as it can", status=503)
        leg = OverlayLeg(self, transport)
        self._legs[transport] = leg
        self._by_agent[transport.agent.ufrag] = leg
        return leg

    def pump(self, leg: OverlayLeg) -> None:
        """Drain one path's outputs."""
        transport = leg.transport
        while (output := transport.poll_output()) is not None:
            match output:
                case Transmit(data, destination):
                    if data[0] < 4 and stun.is_request(data):
                        self._directory.note_check(data, transport.agent)
                        self._expect_from(destination, leg)
                    self.port.send(data, destination)
                case MediaReceived(data):
                    leg.deliver(data)
                case Ready():
                    leg.became_ready()
                case PathLost(reason):
                    leg.became_lost(reason)
        if transport.destination is not None:
            self._expect_from(transport.destination, leg)
        self._wake.set()

    def close_phone_leg(self, leg: PhoneLeg, rtp: socket.socket, rtcp: socket.socket) -> None:
        """Called by the leg."""
        if rtp.fileno() >= 0:
            self._phone_legs -= 1
            for sock in (rtp, rtcp):
                self._plane.remove(sock)
                sock.close()
        leg.connect(None)

    def close_overlay_leg(self, leg: OverlayLeg) -> None:
        """Called by the leg."""
        if self._legs.pop(leg.transport, None) is not None:
            self._directory.remove(leg.transport.agent)
            self._by_agent.pop(leg.transport.agent.ufrag, None)
            self._forget_sources(leg)
        leg.became_lost(leg.closed_reason or "the call is over")

    def statistics(self) -> dict[str, int]:
        """Sizes of the tables."""
        return {"overlay_legs": len(self._legs), "phone_legs": self._phone_legs, "addresses": len(self._by_source)}

    def _open_pair(self, host: str) -> tuple[socket.socket, socket.socket]:
        """An even port for RTP and the next one for RTCP."""
        first, last = self._rtp_ports
        span = max((last - first) // 2, 1)
        for _ in range(PORT_ATTEMPTS_MAX):
            number = first + (next(self._next_port) - first) % (2 * span)
            try:
                rtp = open_udp((host, number))
            except OSError:
                continue
            try:
                return rtp, open_udp((host, number + 1))
            except OSError:
                rtp.close()
        raise RemoteError(f"no pair of RTP ports is free between {first} and {last}", status=503)

    def _candidates(self) -> list[Candidate]:
        found: list[Candidate] = []
        for host, number in self.port.local:
            for preference, address in enumerate(_addresses(host)):
                found.append(local_candidate("host", (address, number), (address, number), 65_535 - preference))
        return found

    def _receive_stun(self, data: bytes, source: Address) -> None:
        if not stun.is_stun(data):
            return
        agent = self._directory.find(data)
        leg = self._by_agent.get(agent.ufrag) if agent is not None else None
        if leg is not None:
            leg.transport.receive(data, source, self.clock.now())
            self.pump(leg)
        elif self.on_stun is not None:
            self.on_stun(data, source)

    def _receive_dtls(self, data: bytes, source: Address) -> None:
        for leg in self._by_source.get(source, ()):  # bare DTLS: a peer with ports of its own for each call
            leg.transport.receive(data, source, self.clock.now())
            self.pump(leg)

    def _receive_srtp(self, data: bytes, source: Address) -> None:
        """By address and SSRC; the first packet of a stream is tried on each call with that address."""
        if len(data) < SRTP_BYTES_MIN:
            return
        stream = (source, data[4:8] if is_rtcp(data) else data[8:12])
        known = self._by_stream.get(stream)
        if known is not None and known.receive(data, source):
            return
        for leg in self._by_source.get(source, ()):
            if leg is not known and leg.receive(data, source):
                self._by_stream[stream] = leg
                if len(self._by_stream) > STREAMS_MAX:
                    self._by_stream.popitem(last=False)
                return

    def _expect_from(self, source: Address, leg: OverlayLeg) -> None:
        legs = self._by_source.setdefault(source, [])
        if leg not in legs:
            legs.append(leg)

    def _forget_sources(self, leg: OverlayLeg) -> None:
        for source in [source for source, legs in self._by_source.items() if leg in legs]:
            self._by_source[source].remove(leg)
            if not self._by_source[source]:
                del self._by_source[source]
        for stream in [stream for stream, found in self._by_stream.items() if found is leg]:
            del self._by_stream[stream]

    async def _serve_timers(self) -> None:
        while True:
            now = self.clock.now()
            deadline = math.inf
            for transport, leg in list(self._legs.items()):
                due = transport.poll_timeout()
                if due is not None and due <= now:
                    transport.handle_timeout(now)
                    self.pump(leg)
                    due = transport.poll_timeout()
                deadline = deadline if due is None else min(deadline, due)
            self._wake = trio.Event()
            with trio.move_on_after(max(deadline - self.clock.now(), 0.001)):
                await self._wake.wait()


def _addresses(host: str) -> list[str]:
    """The addresses behind a bound one: itself, or for a wildcard every usable address of this machine."""
    if host not in ("0.0.0.0", "::"):
        return [host]
    wanted = 6 if host == "::" else 4
    texts = [
        str(ip.ip[0] if ip.is_IPv6 else ip.ip)
        for card in ifaddr.get_adapters()
        for ip in card.ips
        if (6 if ip.is_IPv6 else 4) == wanted
    ]
    usable = [text for text in texts if not text.startswith(("127.", "::1", "fe80", "169.254."))]
    return usable or [text for text in texts if text in ("127.0.0.1", "::1")]
