"""The trio shell of media: legs towards phones and towards other nodes, and the loops that move their packets."""

import math
from collections.abc import Callable

import ifaddr
import trio

from media import stun
from media.dtls import DtlsIdentity
from media.ice.candidates import Candidate, local_candidate
from media.ice.directory import AgentDirectory
from media.overlay_leg import OverlayLeg
from media.phone_leg import PhoneLeg
from media.rtp_ports import RtpPorts
from media.secure import MediaReceived, PathLost, Ready, SecureTransport
from media.sockets import SocketPlane
from media.streams import StreamTable
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

LEGS_MAX = 2_048
SRTP_BYTES_MIN = 12
TIMER_GRAIN_SECONDS = 0.001


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
        leg = PhoneLeg(rtp, rtcp, now=self.clock.now, close=lambda leg: self._close_phone_leg(leg, host))
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

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram of a path."""
        self.port.send(data, destination)

    def pump(self, leg: OverlayLeg) -> None:
        """Drain one path's outputs."""
        transport = leg.transport
        while (output := transport.poll_output()) is not None:
            match output:
                case Transmit(data, destination):
                    if data[0] < 4 and stun.is_request(data):
                        self._directory.note_check(data, transport.agent)
                        self._streams.expect(destination, leg)
                    self.send(data, destination)
                case MediaReceived(data):
                    leg.deliver(data)
                case Ready():
                    leg.became_ready()
                case PathLost(reason):
                    leg.became_lost(reason)
        if transport.destination is not None:
            self._streams.expect(transport.destination, leg)
        self._plan(leg)

    def _close_phone_leg(self, leg: PhoneLeg, host: str) -> None:
        if leg.rtp.fileno() >= 0:
            self._phone_legs -= 1
            self._plane.remove(leg.rtp)
            self._plane.remove(leg.rtcp)
            self._rtp_ports.close(host, leg.rtp, leg.rtcp)
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
