"""The machine of a simulated node: all that `p2psip.app.machine.Machine` gives a node, on virtual time and in memory."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from bootstrap.invite import Invite
from bootstrap.messages import Enrolment
from media.service import MediaService
from p2psip.app.control import Command, ControlServer
from p2psip.app.machine import Machine
from p2psip.app.settings import OverlaySettings, Settings
from p2psip.app.state import Membership, Phone, State
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from p2psip.net.watch import NetworkWatch
from p2psip.sip.service import SipService
from simulations.network.endpoint import Endpoint
from simulations.village.dtls import StandInIdentity
from simulations.village.lan import Lan, LanPlane, LanUdp, NoStreams
from simulations.village.sockets import VirtualPort, VirtualRelayPlane
from simulations.village.streams import VirtualLinks
from simulations.village.wire import Wire


class VirtualMachine(Machine):
    """A machine at `endpoint`, with phones on `lan`. `real_dtls`: OpenSSL's own, whose randomness no seed fixes."""

    def __init__(self, wire: Wire, endpoint: Endpoint, lan: Lan, *, real_dtls: bool = False) -> None:
        self.home = None
        self._wire, self._endpoint, self._lan, self._real_dtls = wire, endpoint, lan, real_dtls
        self.turn_plane = functools.partial(VirtualRelayPlane, wire, endpoint)
        self.changes = Changes(endpoint)

    def port(self, settings: OverlaySettings, state: State) -> NodePort:
        """The one UDP port, at the endpoint's address."""
        return VirtualPort(self._wire, self._endpoint)

    def links(self, port: NodePort, clock: Clock) -> StreamLinks:
        """Connections that lose nothing."""
        return VirtualLinks(self._wire, self._endpoint, port, clock)

    def sip(self, clock: Clock, chance: Chance) -> SipService:
        """SIP on the LAN."""
        return lan_sip(self._lan, clock, chance)

    def media(self, port: NodePort, clock: Clock, chance: Chance, settings: Settings) -> MediaService:
        """RTP on the LAN, and the paths to other nodes."""
        return MediaService(
            port=port,
            clock=clock,
            chance=chance,
            phone_host=settings.sip.host,
            rtp_ports=(settings.media.first_port, settings.media.last_port),
            bind=self._lan.bind,
            plane=LanPlane(),
            identity=None if self._real_dtls else StandInIdentity(chance.child("dtls")),
        )

    def watch(self, clock: Clock) -> NetworkWatch:
        """Told by whoever moves the endpoint."""
        return NetworkWatch(clock, source=self.changes)

    def control(self, commands: Mapping[str, Command]) -> ControlServer:
        """No command line."""
        return NoControl(Path(), commands)

    async def ask_introducers(self, *who: Any, **proof: Any) -> Enrolment:
        """RemoteError(503): HTTPS is not simulated."""
        raise RemoteError("the bootstrap server is not simulated", status=503)

    ask_renewal = ask_introducers

    async def ask_clock_late(self, invite: Invite, unix: float) -> float:
        """RemoteError(503), too."""
        raise RemoteError("the bootstrap server is not simulated", status=503)


def lan_sip(lan: Lan, clock: Clock, chance: Chance, *, user_agent: str = "p2psip") -> SipService:
    """A SIP service whose sockets are on a LAN."""
    return SipService(clock.now, chance, user_agent=user_agent, udp=functools.partial(LanUdp, lan), streams=NoStreams)


class Changes:
    """Fulfils `p2psip.net.watch.Source`: call `note` when the endpoint has another address."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._changed = trio.Event()

    def addresses(self) -> tuple[str, ...]:
        """The endpoint's own."""
        return (self._endpoint.address[0],)

    async def wait_changed(self) -> None:
        """Return at the next `note`."""
        await self._changed.wait()

    def note(self) -> None:
        """The endpoint has moved."""
        self._changed.set()
        self._changed = trio.Event()

    def close(self) -> None:
        """It holds nothing."""


class NoControl(ControlServer):
    """A door that nobody knocks at."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        await trio.sleep_forever()


class MemoryState(State):
    """`State` without a file: what a node asks for while it runs."""

    def __init__(self, introducers: list[tuple[bytes, Address]]) -> None:
        self._introducers = introducers
        self._phones: dict[str, Phone] = {}
        self._changes = 0
        self.membership_saved: Membership | None = None

    def close(self) -> None:
        """It holds nothing."""

    def membership(self) -> Membership | None:
        """What was saved last."""
        return self.membership_saved

    def save_membership(self, membership: Membership) -> None:
        """Keep it."""
        self.membership_saved = membership

    def introducers(self) -> list[tuple[bytes, tuple[str, int]]]:
        """Those that enrolment named."""
        return list(self._introducers)

    def save_introducer(self, node_key: bytes, address: tuple[str, int]) -> None:
        """Remember one more."""
        self._introducers.append((node_key, address))

    def clock_correction(self) -> float:
        """None: no bootstrap server says that a clock is wrong."""
        return 0.0

    def phones(self) -> list[Phone]:
        """All phone accounts by name."""
        return [self._phones[name] for name in sorted(self._phones)]

    def phone(self, name: str) -> Phone | None:
        """The account of one user name, or None."""
        return self._phones.get(name)

    def version(self) -> tuple[int, int]:
        """Changes when a phone is added or removed."""
        return 0, self._changes

    def add_phone(self, phone: Phone) -> None:
        """Store an account."""
        self._phones[phone.name] = phone
        self._changes += 1
