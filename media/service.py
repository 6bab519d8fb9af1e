"""The trio shell of media: legs towards phones and towards other nodes, and the loops that move their packets."""

import ipaddress
import math
import socket
from collections.abc import Callable
from typing import Any

import ifaddr
import trio

from media import stun
from media.dtls import DtlsIdentity
from media.ice.candidates import Candidate, local_candidate
from media.ice.directory import AgentDirectory
from media.legs import Latch, LegStatistics, Sink
from media.rtp import is_rtcp, is_rtp
from media.rtp_ports import RtpPorts
from media.secure import MediaReceived, PathLost, Ready, SecureTransport, TransportDescription
from media.sockets import SocketPlane
from media.streams import StreamTable
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit, address_text
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

LEGS_MAX = 2_048
SENT_STREAMS_MAX = 32
RTCP_BYTES_MIN = 8
SRTP_BYTES_MIN = 12
TIMER_GRAIN_SECONDS = 0.001


class PhoneLeg:
    """RTP and RTCP sockets towards one phone. `local` is the RTP address to put into a session description."""

    def __init__(self, service: "MediaService", host: str, rtp: socket.socket, rtcp: socket.socket) -> None:
        self._service = service
        self._host = host
        self._rtp, self._rtcp = rtp, rtcp
        self._send_rtp = rtp.sendto
        self._rtp_latch, self._rtcp_latch = Latch(), Latch()
        self._sink: Sink | None = None
        self.local: Address = rtp.getsockname()[:2]
        self.statistics = LegStatistics()

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the phone wants its packets; `rtcp` defaults to the next port (RFC 3550 §11).

        RemoteError(488) for a host name: to look it up for each packet would stop the node.
        """
        for host, _ in (rtp, rtcp or rtp):
            _check_is_address(host)
        self._rtp_latch.aim(rtp, signalling_host)
        self._rtcp_latch.aim(rtcp or (rtp[0], min(rtp[1] + 1, 65_535)), signalling_host)

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Send one packet to the phone."""
        try:
            if 192 <= packet[1] <= 223:
                if self._rtcp_latch.target is not None:
                    self._rtcp.sendto(packet, self._rtcp_latch.target)
            elif (target := self._rtp_latch.target) is not None:
                self._send_rtp(packet, target)
                statistics = self.statistics
                statistics.sent += 1
                statistics.octets_sent += len(packet)
        except ConnectionRefusedError:
            self.statistics.closed_port += 1
        except (OSError, OverflowError):  # the kernel's buffer is full, or the phone's port is closed: as UDP may
            return

    def receive_rtp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTP socket. What is no RTP must not latch."""
        statistics, latch = self.statistics, self._rtp_latch
        if not is_rtp(data) or (source != latch.learnt and not latch.admit(source)):
            statistics.refused += 1
            statistics.refused_from = None if source == latch.target else source
            return
        statistics.received += 1
        statistics.octets_received += len(data)
        statistics.last = data
        if statistics.first_received is None:
            statistics.first_received = self._service.clock.now()
        if self._sink is not None:
            self._sink(data)

    def receive_rtcp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTCP socket."""
        if len(data) < RTCP_BYTES_MIN or data[0] >> 6 != 2 or not is_rtcp(data) or not self._rtcp_latch.admit(source):
            self.statistics.refused += 1
        elif self._sink is not None:
            self._sink(data)

    def path(self) -> dict[str, Any]:
        """Which addresses this leg speaks with, for people: ours, the announced one, the one heard from, the one sent to."""
        latch = self._rtp_latch
        named = {"local": self.local, "announced": latch.announced, "heard_from": latch.learnt, "sent_to": latch.target}
        return {name: None if each is None else address_text(each) for name, each in named.items()}

    def close(self) -> None:
        """Close both sockets."""
        self._service.close_phone_leg(self, self._host, self._rtp, self._rtcp)


class OverlayLeg:
    """The secure path to another node for one call."""

    def __init__(self, service: "MediaService", transport: SecureTransport) -> None:
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
            self._service.port.send(wire, destination)

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


class MediaService:
    """All legs of a node. STUN, DTLS and SRTP arrive on the node's one port."""

    def __init__(
        self, *, port: NodePort, clock: Clock, chance: Chance, phone_host: str, rtp_ports: tuple[int, int]
    ) -> None:
        self.port = port
        self.clock = clock
        self._chance = chance
        self._phone_host = phone_host
        self._rtp_ports = RtpPorts(*rtp_ports, start=chance.integer(12))
        self._identity = DtlsIdentity(clock.unix())
        self._plane = SocketPlane()
        self._directory = AgentDirectory()
        self._legs: dict[str, OverlayLeg] = {}  # by user name fragment
        self._streams: StreamTable[OverlayLeg] = StreamTable()
        self._phone_legs = 0
        self._timers: Timers[OverlayLeg] = Timers()
        self._deadline = math.inf
        self._sleep: trio.CancelScope | None = None
        self.refused = 0
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
        host = host or self._phone_host
        rtp, rtcp = self._rtp_ports.open(host)
        leg = PhoneLeg(self, host, rtp, rtcp)
        self._phone_legs += 1
        if not self._plane.add(rtp, leg.receive_rtp) or not self._plane.add(rtcp, leg.receive_rtcp):
            leg.close()
            raise RemoteError("this node carries as many calls as it can", status=503)
        return leg

    def overlay_leg(self, *, offerer: bool) -> OverlayLeg:
        """A path to another node; RemoteError(503) when there are too many."""
        if len(self._legs) >= LEGS_MAX:
            raise RemoteError("this node carries as many calls as it can", status=503)
        transport = SecureTransport(
            offerer=offerer, candidates=self._candidates(), identity=self._identity, chance=self._chance
        )
        if not self._directory.add(transport.agent):
            raise RemoteError("this node carries as many calls as it can", status=503)
        leg = OverlayLeg(self, transport)
        self._legs[leg.description.ufrag] = leg
        return leg

    def pump(self, leg: OverlayLeg) -> None:
        """Drain one path's outputs."""
        transport = leg.transport
        while (output := transport.poll_output()) is not None:
            match output:
                case Transmit(data, destination):
                    if data[0] < 4 and stun.is_request(data):
                        self._directory.note_check(data, transport.agent)
                        self._streams.expect(destination, leg)
                    self.port.send(data, destination)
                case MediaReceived(data):
                    leg.deliver(data)
                case Ready():
                    leg.became_ready()
                case PathLost(reason):
                    leg.became_lost(reason)
        if transport.destination is not None:
            self._streams.expect(transport.destination, leg)
        self._plan(leg)

    def close_phone_leg(self, leg: PhoneLeg, host: str, rtp: socket.socket, rtcp: socket.socket) -> None:
        """Called by the leg."""
        if rtp.fileno() >= 0:
            self._phone_legs -= 1
            self._plane.remove(rtp)
            self._plane.remove(rtcp)
            self._rtp_ports.close(host, rtp, rtcp)
        leg.connect(None)

    def close_overlay_leg(self, leg: OverlayLeg) -> None:
        """Called by the leg."""
        if self._legs.pop(leg.description.ufrag, None) is not None:
            self._directory.remove(leg.transport.agent)
            self._streams.forget(leg)
            self._timers.stop(leg)
        leg.connect(None)
        leg.became_lost(leg.closed_reason or "the call is over")

    def statistics(self) -> dict[str, int]:
        """Sizes of the tables, and datagrams that were nobody's."""
        return {
            "overlay_legs": len(self._legs),
            "phone_legs": self._phone_legs,
            "addresses": len(self._streams),
            "refused": self.refused,
        }

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
        leg = self._legs.get(agent.ufrag) if agent is not None else None
        if leg is not None:
            leg.transport.receive(data, source, self.clock.now())
            self.pump(leg)
        elif self.on_stun is not None:
            self.on_stun(data, source)

    def _receive_dtls(self, data: bytes, source: Address) -> None:
        """Bare DTLS: a peer with ports of its own for each call."""
        for leg in self._streams.paths(source):
            if leg.takes_bare_dtls:
                leg.transport.receive(data, source, self.clock.now())
                self.pump(leg)

    def _receive_srtp(self, data: bytes, source: Address) -> None:
        if len(data) < SRTP_BYTES_MIN:
            self.refused += 1
            return
        ssrc = data[4:8] if 192 <= data[1] <= 223 else data[8:12]
        streams = self._streams
        if not streams.deliver(data, source, ssrc) and not streams.search(data, source, ssrc, self.clock.now()):
            self.refused += 1

    def _plan(self, leg: OverlayLeg) -> None:
        """Keep the leg's deadline, and wake the task that serves them when it is the next."""
        due = leg.transport.poll_timeout() if leg.description.ufrag in self._legs else None
        if due == leg.due:
            return
        leg.due = due
        if due is None:
            self._timers.stop(leg)
            return
        self._timers.set(leg, due)
        if due < self._deadline:
            self._deadline = due
            if self._sleep is not None:
                self._sleep.deadline = trio.current_time() + max(due - self.clock.now(), 0.0)

    async def _serve_timers(self) -> None:
        while True:
            now = self.clock.now()
            for leg in self._timers.expired(now):
                leg.due = None
                leg.transport.handle_timeout(now)
                self.pump(leg)
            due = self._timers.next()
            self._deadline = math.inf if due is None else due
            delay = max(self._deadline - self.clock.now(), TIMER_GRAIN_SECONDS)
            with trio.CancelScope(deadline=trio.current_time() + delay) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None


def _check_is_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise RemoteError("media can only be sent to an IP address, not to a host name", status=488) from error


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
