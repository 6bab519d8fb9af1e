"""One trunk at work: its sockets, its registration kept fresh, its health asked for, its servers in the order to try them."""

import ipaddress
import logging
import ssl
from dataclasses import replace
from typing import Any, Protocol

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError
from p2psip.naming.routing import Hop
from p2psip.sip.build import make_request
from p2psip.sip.credentials import Authorisation, Credentials
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri, escape_user
from p2psip.trunks.appearance import Appearance
from p2psip.trunks.caps import Caps
from p2psip.trunks.exits import UdpExit
from p2psip.trunks.health import Health
from p2psip.trunks.registration import Registration, State
from p2psip.trunks.servers import ClockPort, LocatorPort, Servers
from p2psip.trunks.trunk import Trunk

ERROR_LETTERS_MAX = 300
REQUEST_SECONDS_MAX = 6.0
FAREWELL_SECONDS_MAX = 2.0

_ELSEWHERE = (408, 503)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_log = logging.getLogger(__name__)


class SipPort(Protocol):
    """What a trunk needs of SIP; `p2psip.sip.service.SipService` fulfils it."""

    def start(self, request: Request, flow: Flow) -> ClientExchange:
        """Send a request."""

    async def listen_udp(self, host: str, port: int) -> Address:
        """A UDP socket of our own."""

    async def connect(
        self, transport: str, remote: Address, *, host: str = "", context: ssl.SSLContext | None = None
    ) -> Flow:
        """A connection."""

    def is_dialled(self, flow: Flow) -> bool:
        """Whether `flow` is a connection of `connect`, and no one that came in."""


class TrunkLine:
    """One trunk. `context` says which authorities are trusted where it is spoken to over TLS."""

    def __init__(
        self,
        trunk: Trunk,
        *,
        sip: SipPort,
        locator: LocatorPort,
        clock: ClockPort,
        chance: Chance,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.trunk = trunk
        self._sip = sip
        self.clock = clock
        self._chance = chance
        self._context = context
        self.credentials = (
            Credentials(trunk.auth_user or trunk.user, trunk.password, chance) if trunk.password else None
        )
        address = SipUri("sip", escape_user(trunk.user), None, trunk.domain, None)
        registrar = SipUri("sip", None, None, trunk.domain, None)
        self.registration = (
            Registration(address, registrar, trunk.expires_seconds, chance.child("registration"))
            if trunk.registers
            else None
        )
        self.health = Health(trunk.health_seconds, chance.child("health"))
        self.caps = Caps(f"trunk {trunk.name}", trunk.calls_max, trunk.calls_per_minute_max)
        self.arrivals = Caps(f"calls in over trunk {trunk.name}", trunk.calls_max, trunk.calls_per_minute_max)
        offer = trunk.offer
        self.members = {
            member: Caps(
                f"{member} on trunk {trunk.name}",
                offer.calls_max,
                offer.calls_per_minute_max,
                offer.minutes_per_day_max,
            )
            for member in offer.members
        }
        self.last_error = ""
        self.servers = Servers(trunk.server, locator, clock)
        self._exit = UdpExit(sip, trunk.host, trunk.port)
        self._appearance = Appearance(trunk)
        self._flows: set[Flow] = set()
        self._answers_options = False
        self._wake = trio.Event()

    async def run(self) -> None:
        """Keep the registration and look after the health until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.registration is not None:
                self.registration.begin(self.clock.now())
                nursery.start_soon(self._stay_registered, self.registration)
            self.health.begin(self.clock.now())
            nursery.start_soon(self._stay_healthy)

    async def close(self) -> None:
        """End the registration; returns when that was answered, or could not be."""
        farewell = None if self.registration is None else self.registration.farewell()
        hop = self.servers.working
        if farewell is None or hop is None:
            return
        self._authorise(farewell)
        with trio.move_on_after(FAREWELL_SECONDS_MAX):
            try:
                await self._sip.start(farewell, await self.flow(hop)).final_response()
            except RemoteError:
                return

    # What calls ask

    @property
    def is_usable(self) -> bool:
        """Whether a call over it is likely to succeed now."""
        registered = self.registration is None or self.registration.is_registered(self.clock.now())
        return registered and self.health.is_up

    async def flow(self, hop: Hop) -> Flow:
        """The way to a server; RemoteError(503) when there is none."""
        if hop.transport != "udp":
            flow = await self._sip.connect(hop.transport, hop.address, host=hop.host, context=self._context)
            self._flows.add(flow)
            return replace(flow, sent_by=self._appearance.public(flow.local))
        flow = await self._exit.flow(hop.address)
        return replace(flow, sent_by=self._appearance.public(flow.local))

    def leads_here(self, flow: Flow) -> bool:
        """Whether the provider is at the other end of `flow`: our own connection or socket, or a network named in `sources`."""
        if flow in self._flows:
            return True
        if self._exit.owns(flow) and self.servers.includes(flow.remote[0]):
            return True
        return self._is_source(flow.remote[0])

    def is_at(self, host: str) -> bool:
        """Whether the provider is at the address `host`, as a server or as one of `sources`."""
        plain = _plain(host)
        return self.servers.includes(host) or self.servers.includes(plain) or self._is_source(plain)

    def is_named(self, host: str) -> bool:
        """Whether `host` is the name of the provider's domain or of its server."""
        return host.rstrip(".").lower() in {
            name.rstrip(".").lower() for name in (self.trunk.domain, self.trunk.server.host)
        }

    def is_own_socket(self, flow: Flow) -> bool:
        """Whether `flow` came in at a socket that is there for this trunk alone."""
        return self._exit.owns(flow)

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended: what was registered over it leads nowhere, so register anew (RFC 5626 §4.4)."""
        if flow in self._flows:
            self._flows.discard(flow)
            if self.registration is not None and self.registration.state is State.REGISTERED:
                self.registration.begin(self.clock.now())
                self._wake.set()

    def contact(self, flow: Flow) -> str:
        """Our Contact value towards the provider."""
        return self._appearance.contact(flow)

    def announced_host(self, flow: Flow) -> str | None:
        """The address for session descriptions where it is not our own."""
        public = self._appearance.public(flow.local)
        return None if public is None else public[0]

    def note_error(self, words: str) -> None:
        """What went wrong last, for status and, each time that it is something else, for the log; empty: it works again."""
        words = "".join(letter if letter.isprintable() else "?" for letter in words)[:ERROR_LETTERS_MAX]
        if words != self.last_error:
            self.last_error = words
            if words:
                _log.warning("trunk %s: %s", self.trunk.name, words)
            else:
                _log.info("trunk %s works again", self.trunk.name)

    def status(self) -> dict[str, Any]:
        """For people: state, last error in words, calls now, caps. No secrets."""
        now, unix = self.clock.now(), self.clock.unix()
        registration, working = self.registration, self.servers.working
        expires = None
        if registration is not None and registration.is_registered(now) and registration.expires_at is not None:
            expires = round(registration.expires_at - now)
        return {
            "name": self.trunk.name,
            "server": str(self.trunk.server),
            "at": "" if working is None else f"{working.transport}:{address_text(working.address)}",
            "state": "static" if registration is None else str(registration.state),
            "usable": self.is_usable,
            "expires_seconds": expires,
            "health": self.health.words if self.health.is_up else f"down: {self.health.words}",
            "last_error": self.last_error,
            "calls": self.caps.calls + self.arrivals.calls,
            "calls_max": self.caps.calls_max,
            "calls_per_minute_max": self.caps.calls_per_minute_max,
            "numbers": dict(self.trunk.numbers),
            "offered_to": [
                {"member": member, "calls": caps.calls, "minutes_left": int((caps.seconds_left(unix) or 0.0) / 60)}
                for member, caps in sorted(self.members.items())
            ],
        }

    def _is_source(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.trunk.sources)

    # Registration

    async def _stay_registered(self, registration: Registration) -> None:
        while True:
            self._wake = trio.Event()
            with trio.move_on_after(self._seconds_until(registration.due)):
                await self._wake.wait()
            if registration.due is not None and registration.due <= self.clock.now():
                await self._register(registration)

    async def _register(self, registration: Registration) -> None:
        """Ask one server after the other (RFC 3263 §4.3); the last word counts when none takes us."""
        try:
            hops = await self.servers.hops()
        except RemoteError as error:
            self._fail_registration(registration, str(error))
            return
        failures: list[str] = []
        last: Response | None = None
        for hop in hops:
            try:
                flow = await self.flow(hop)
                request = registration.request(self.contact(flow))
                authorisation = self._authorise(request, registration)
                response = await self._ask(request, flow)
            except RemoteError as error:
                failures.append(f"{hop.transport} {address_text(hop.address)}: {error}")
                continue
            last = response
            if response.status not in _ELSEWHERE:
                try:
                    self._settle(registration, response, hop, flow, authorisation)
                except RemoteError as error:
                    self._fail_registration(registration, f"an answer that cannot be read: {error}")
                return
            failures.append(f"{hop.transport} {address_text(hop.address)} says {response.status}")
        if last is not None:
            registration.take(last, self.clock.now())
            self.note_error(registration.words)
        else:
            self._fail_registration(registration, "; ".join(failures))

    def _settle(
        self,
        registration: Registration,
        response: Response,
        hop: Hop,
        flow: Flow,
        authorisation: Authorisation | None,
    ) -> None:
        now = self.clock.now()
        words = "" if authorisation is None else authorisation.failure
        if authorisation is None and response.status in (401, 407):
            words = "it asks for a password, and none is set for this trunk"
        registration.take(response, now, words)
        if registration.state is State.REGISTERED:
            self.servers.working = hop
            self.note_error("")
            self.health.answered(now, response.status)
        elif registration.state is State.WAITING:
            self.note_error(registration.words)
        if registration.learnt is not None:
            self._appearance.learn(flow.local, registration.learnt)
            registration.move(
                self.contact(flow), now
            )  # also after a refusal: it may be the private address that it dislikes

    def _fail_registration(self, registration: Registration, words: str) -> None:
        registration.fail(words, self.clock.now())
        self.note_error(words)
        self.servers.working = None

    def _authorise(self, request: Request, registration: Registration | None = None) -> Authorisation | None:
        if self.credentials is None:
            return None
        return self.credentials.attach(request, None if registration is None else registration.next_number)

    async def _ask(self, request: Request, flow: Flow) -> Response:
        with trio.move_on_after(REQUEST_SECONDS_MAX):
            return await self._sip.start(request, flow).final_response()
        raise RemoteError("does not answer", status=408)

    # Health

    async def _stay_healthy(self) -> None:
        while self.health.due is not None:
            await trio.sleep(self._seconds_until(self.health.due))
            await self._look()

    async def _look(self) -> None:
        try:
            hops = await self.servers.hops()
        except RemoteError as error:
            self.health.failed(str(error), self.clock.now())
            return
        words: list[str] = []
        for hop in hops:
            try:
                flow = await self.flow(hop)
                response = await self._ask(self._question(flow), flow)
            except RemoteError as error:
                words.append(f"{hop.transport} {address_text(hop.address)}: {error}")
                self._leave(hop)
                continue
            if response.status not in _ELSEWHERE:
                self._answers_options = True
                self.health.answered(self.clock.now(), response.status)
                if self.registration is None:
                    self.servers.working = hop
                    self.note_error("")
                return
            words.append(f"{hop.transport} {address_text(hop.address)} says {response.status}")
        if self._is_deaf_to_options():
            self.health.passed(self.clock.now(), "registered; it does not answer OPTIONS")
            return
        self.health.failed("; ".join(words), self.clock.now())
        self.note_error(self.health.words)

    def _is_deaf_to_options(self) -> bool:
        """Some providers answer REGISTER and no OPTIONS: their silence says nothing then."""
        registration = self.registration
        return registration is not None and registration.is_registered(self.clock.now()) and not self._answers_options

    def _leave(self, hop: Hop) -> None:
        """The server that has our registration is silent: register at another one now, for calls would not come."""
        registration = self.registration
        if not self._answers_options or registration is None:
            return
        if hop == self.servers.working and registration.state is State.REGISTERED:
            self.servers.working = None
            registration.begin(self.clock.now())
            self._wake.set()

    def _question(self, flow: Flow) -> Request:
        us = NameAddr(None, SipUri("sip", escape_user(self.trunk.user), None, self.trunk.domain, None))
        target = SipUri("sip", None, None, self.trunk.domain, None)
        return make_request(
            "OPTIONS",
            target,
            from_=us.with_tag(self._chance.token(8)),
            to=NameAddr(None, target),
            call_id=self._chance.token(16),
            cseq=1,
            headers=[("Contact", self.contact(flow))],
        )

    def _seconds_until(self, due: float | None) -> float:
        return 3_600.0 if due is None else max(0.0, due - self.clock.now())


def _plain(host: str) -> str:
    """The IPv4 address within one of IPv6 (mapped, RFC 4291 §2.5.5.2, or NAT64, RFC 6052); any other stays as it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return str(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
