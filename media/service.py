"""The trio shell of media: legs towards phones and towards other nodes, and the loops that move their packets."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import trio

from media import stun
from media.dtls import DtlsIdentity
from media.gathering import gather, path_facts
from media.ice.candidates import Candidate, Pair, Way, hosts_of
from media.ice.directory import AgentDirectory
from media.ice.events import Transmit
from media.legs import NETWORK_CHANGED
from media.overlay_leg import OverlayLeg
from media.phone_leg import PhoneLeg
from media.relays import RelayGone, RelayPool, RelayReady
from media.rtp_ports import Bind, RtpPorts
from media.secure import MediaReceived, PathLost, Ready, RestartWanted, SecureTransport, TransportDescription
from media.sockets import SocketPlane
from media.streams import StreamTable
from media.turn.outcomes import Credentials
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.core import Transmit as Datagram
from p2psip.base.errors import RemoteError
from p2psip.base.grants import Grant
from p2psip.base.timers import Timers
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

LEGS_MAX = 2_048
SRTP_BYTES_MIN = 12
TIMER_GRAIN_SECONDS = 0.001
RESTART_WAIT_SECONDS = 0.8
_RESTARTS = "restarts"

Timed = OverlayLeg | PhoneLeg | RelayPool | str
RelayHook = Callable[[int, str], None]


class MediaService:
    """All legs of a node. STUN, DTLS and SRTP arrive on the node's one port."""

    def __init__(
        self,
        *,
        port: NodePort,
        clock: Clock,
        chance: Chance,
        phone_host: str,
        rtp_ports: tuple[int, int],
        bind: Bind | None = None,
        plane: SocketPlane | None = None,
        identity: DtlsIdentity | None = None,
    ) -> None:
        self.port = port
        self.clock = clock
        self._chance = chance
        self._phone_host = phone_host
        self._rtp_ports = RtpPorts(*rtp_ports, start=chance.integer(12), bind=bind)
        self._identity = DtlsIdentity(clock.unix()) if identity is None else identity
        self._plane = SocketPlane() if plane is None else plane
        self._directory = AgentDirectory()
        self._legs: dict[str, OverlayLeg] = {}  # by user name fragment
        self._streams: StreamTable[OverlayLeg] = StreamTable()
        self._phone_legs = 0
        self._open: dict[
            OverlayLeg, None
        ] = {}  # in the order of their beginning, so that a seeded run is the same each time
        self._pool = RelayPool(chance.child("relays"))
        self._relay_hooks: list[RelayHook] = []
        self._reflexive: tuple[Address, ...] = ()
        self._timers: Timers[Timed] = Timers()
        self._due: dict[Timed, float] = {}
        self._deadline = math.inf
        self._sleep: trio.CancelScope | None = None
        self.refused = 0
        self.on_stun: Callable[[bytes, Address], None] | None = None
        self.on_channel_data: Callable[[bytes, Address], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Move packets and serve timers until cancelled."""
        self.port.route(0, 3, self._receive_stun)
        self.port.route(20, 63, self._receive_dtls)
        self.port.route(64, 79, self._receive_channel_data)
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
        leg = PhoneLeg(
            rtp,
            rtcp,
            now=self.clock.now,
            close=lambda leg: self._close_phone_leg(leg, host),
            identity=self._identity,
            plan=self._plan_phone,
        )
        self._phone_legs += 1
        if not self._plane.add(rtp, leg.receive_rtp, leg.note_closed_port) or not self._plane.add(
            rtcp, leg.receive_rtcp
        ):
            leg.close()
            raise RemoteError("this node carries as many calls as it can", status=503)
        return leg

    def overlay_leg(self, *, offerer: bool) -> OverlayLeg:
        """A path to another node; RemoteError(503) when there are too many."""
        if len(self._open) >= LEGS_MAX:
            raise RemoteError("this node carries as many calls as it can", status=503)
        transport = SecureTransport(
            offerer=offerer, candidates=self.candidates(), identity=self._identity, chance=self._chance
        )
        leg = OverlayLeg(self, transport)
        self._open[leg] = None
        self._register(leg)
        if leg.description.ufrag not in self._legs:
            self._open.pop(leg, None)
            raise RemoteError("this node carries as many calls as it can", status=503)
        return leg

    # Relays

    def add_relay(self, server: Address, grant: Grant, *, name: str, is_stream: bool = False) -> int:
        """Keep an allocation at a TURN server for all calls; the same server again takes the new credentials."""
        credentials = Credentials(grant.username, grant.password, grant.realm)
        number = self._pool.add(server, credentials, name=name, is_stream=is_stream, now=self.clock.now())
        self._pump_relays()
        return number

    def remove_relay(self, number: int) -> None:
        """Give an allocation back."""
        self._pool.remove(number, self.clock.now())
        self._pump_relays()

    def leave_relay(self, number: int) -> None:
        """The server of a relay is about to go: calls move to others while it still carries what is under way."""
        if self._pool.leave(number):
            for leg in self._open:
                leg.transport.suspect(self.clock.now())
                self.plan(leg)

    def relays(self) -> list[dict[str, Any]]:
        """Facts about our relays, for people and diagnosis."""
        return self._pool.facts()

    def on_relay(self, hook: RelayHook) -> None:
        """Be told `(number, state)` when a relay is "ready" or "lost"."""
        self._relay_hooks.append(hook)

    def set_reflexive(self, addresses: Sequence[Address]) -> None:
        """Where others see this node's port (RFC 8445 §5.1.1.2): candidates of calls that begin from now on."""
        self._reflexive = tuple(addresses)

    def network_changed(self) -> None:
        """Our addresses have changed: relays and ways are looked at anew, and each call wants a restart."""
        now = self.clock.now()
        self._pool.check(now)
        for leg in self._open:
            leg.transport.suspect(now)
            self.plan(leg)
        self._plan(_RESTARTS, now + RESTART_WAIT_SECONDS)
        self._pump_relays()

    def prepare(self, leg: OverlayLeg, remote: TransportDescription) -> None:
        """Let the hosts that a peer names in at our relays, before its checks come."""
        self._pool.permit(leg, hosts_of(remote.candidates), self.clock.now())
        self._pump_relays()

    def send(self, data: bytes, way: Way) -> None:
        """Send one datagram of a path, from the port or through a relay of ours."""
        if len(way) == 2:
            self.port.send(data, way)
        elif (wrapped := self._pool.wrap(data, way)) is not None:
            self.port.send(*wrapped)

    def _pump_relays(self) -> None:
        now = self.clock.now()
        while (output := self._pool.poll_output()) is not None:
            match output:
                case Datagram(data, destination):
                    self.port.send(data, destination)
                case RelayReady(number, candidates):
                    for leg in list(self._open):
                        for candidate in candidates:
                            leg.transport.add_local(candidate, now)
                        self.pump(leg)
                    self._tell_relay(number, "ready")
                case RelayGone(number, relay, _):
                    for leg in list(self._open):
                        leg.transport.drop_relay(relay, now)
                        self.pump(leg)
                    self._tell_relay(number, "lost")
        self._plan(self._pool, self._pool.poll_timeout())
        if _RESTARTS in self._due and self._pool.is_settled():
            self._plan(_RESTARTS, now)

    def _tell_relay(self, number: int, state: str) -> None:
        for hook in self._relay_hooks:
            hook(number, state)

    # Paths

    def pump(self, leg: OverlayLeg) -> None:
        """Drain one path's outputs."""
        transport = leg.transport
        while (output := transport.poll_output()) is not None:
            match output:
                case Transmit(data, way):
                    if data[0] < 4 and stun.is_request(data):
                        self._directory.note_check(data, transport.path.newest)
                        self._streams.expect(way, leg)
                    self.send(data, way)
                case MediaReceived(data):
                    leg.deliver(data)
                case Ready():
                    leg.became_ready()
                case RestartWanted():
                    leg.want_restart("no way to the other node works any more")
                case PathLost(reason):
                    leg.became_lost(reason)
        if transport.destination is not None and transport.destination != leg.bound:
            if leg.bound is not None and len(leg.bound) == 3:
                self._pool.check(self.clock.now(), leg.bound[2])  # it was left: does it live?
            leg.bound = transport.destination
            self._streams.expect(leg.bound, leg)
            self._pool.bind(leg.bound, self.clock.now())
            self._pump_relays()
        self._register(leg)
        self.plan(leg)

    def path_facts(self, pair: Pair, way: Way) -> dict[str, Any]:
        """What a way passes, for people."""
        return path_facts(pair, way, self.candidates(), self._pool)

    def _register(self, leg: OverlayLeg) -> None:
        """STUN for any of the leg's agents is the leg's: a restart makes a new one."""
        agents = {agent.ufrag: agent for agent in leg.transport.path.agents} if leg in self._open else {}
        if agents == leg.agents:
            return
        for ufrag in leg.agents.keys() - agents.keys():
            self._directory.remove(leg.agents[ufrag])
            del self._legs[ufrag]
        leg.agents = {ufrag: each for ufrag, each in agents.items() if ufrag in leg.agents or self._directory.add(each)}
        for ufrag in leg.agents:
            self._legs[ufrag] = leg

    def _close_phone_leg(self, leg: PhoneLeg, host: str) -> None:
        if leg.rtp.fileno() >= 0:
            self._phone_legs -= 1
            self._plane.remove(leg.rtp)
            self._plane.remove(leg.rtcp)
            self._rtp_ports.close(host, leg.rtp, leg.rtcp)
        self._plan_phone(leg)
        leg.connect(None)

    def close_overlay_leg(self, leg: OverlayLeg) -> None:
        """Called by the leg."""
        if leg in self._open:
            self._open.pop(leg, None)
            self._register(leg)
            self._streams.forget(leg)
            self._pool.release(leg)
            self._plan(leg, None)
        leg.connect(None)
        leg.became_lost(leg.closed_reason or "the call is over")

    def statistics(self) -> dict[str, int]:
        """Sizes of the tables, and datagrams that were nobody's."""
        return {
            "overlay_legs": len(self._open),
            "phone_legs": self._phone_legs,
            "addresses": len(self._streams),
            "refused": self.refused,
        }

    def candidates(self) -> list[Candidate]:
        """Our candidates as they are now: addresses of this machine, those that others see, and relays."""
        return gather(self.port.local, self._reflexive) + self._pool.candidates()

    def _receive_stun(self, data: bytes, source: Address) -> None:
        if not stun.is_stun(data):
            return
        if not self._pool.expects(data, source):
            self._take_stun(data, source)
            return
        for inner, way in self._pool.receive(data, source, self.clock.now()):
            self._take_relayed(inner, way)
        self._pump_relays()

    def _receive_channel_data(self, data: bytes, source: Address) -> None:
        found = self._pool.unwrap(data, source, self.clock.now())
        if found is not None:
            self._take_relayed(*found)
        elif self.on_channel_data is not None:
            self.on_channel_data(data, source)

    def _take_relayed(self, data: bytes, way: Way) -> None:
        """A peer's datagram that came through a relay."""
        first = data[0] if data else 255
        if 128 <= first <= 191:
            self._receive_srtp(data, way)
        elif first < 4 and stun.is_stun(data):
            if not self._pool.is_left(way):
                self._take_stun(data, way)
        elif 20 <= first < 64:
            self._receive_dtls(data, way)

    def _take_stun(self, data: bytes, way: Way) -> None:
        agent = self._directory.find(data)
        leg = self._legs.get(agent.ufrag) if agent is not None else None
        if leg is not None:
            leg.transport.receive(data, way, self.clock.now())
            self.pump(leg)
        elif self.on_stun is not None and len(way) == 2:
            self.on_stun(data, way)

    def _receive_dtls(self, data: bytes, source: Way) -> None:
        """Bare DTLS: a peer with ports of its own for each call."""
        for leg in self._streams.paths(source):
            if leg.takes_bare_dtls:
                leg.transport.receive(data, source, self.clock.now())
                self.pump(leg)

    def _receive_srtp(self, data: bytes, source: Way) -> None:
        if len(data) < SRTP_BYTES_MIN:
            self.refused += 1
            return
        ssrc = data[4:8] if 192 <= data[1] <= 223 else data[8:12]
        streams = self._streams
        if not streams.deliver(data, source, ssrc) and not streams.search(data, source, ssrc, self.clock.now()):
            self.refused += 1

    # Deadlines

    def plan(self, leg: OverlayLeg) -> None:
        """Keep the leg's deadline."""
        self._plan(leg, leg.transport.poll_timeout() if leg in self._open else None)

    def _plan_phone(self, leg: PhoneLeg) -> None:
        self._plan(leg, leg.poll_timeout())

    def _plan(self, timed: Timed, due: float | None) -> None:
        """Keep a deadline, and wake the task that serves them when it is the next."""
        if due == self._due.get(timed):
            return
        if due is None:
            self._timers.stop(timed)
            del self._due[timed]
            return
        self._due[timed] = due
        self._timers.set(timed, due)
        if due < self._deadline:
            self._deadline = due
            if self._sleep is not None:
                self._sleep.deadline = trio.current_time() + max(due - self.clock.now(), 0.0)

    def _serve(self, timed: Timed, now: float) -> None:
        match timed:
            case OverlayLeg():
                timed.transport.handle_timeout(now)
                self.pump(timed)
            case PhoneLeg():
                timed.handle_timeout(now)
            case RelayPool():
                timed.handle_timeout(now)
                self._pump_relays()
            case _:
                for leg in self._open:
                    leg.want_restart(NETWORK_CHANGED)

    async def _serve_timers(self) -> None:
        while True:
            now = self.clock.now()
            for timed in self._timers.expired(now):
                self._due.pop(timed, None)  # closed by one before it
                self._serve(timed, now)
            due = self._timers.next()
            self._deadline = math.inf if due is None else due
            delay = max(self._deadline - self.clock.now(), TIMER_GRAIN_SECONDS)
            with trio.CancelScope(deadline=trio.current_time() + delay) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None
