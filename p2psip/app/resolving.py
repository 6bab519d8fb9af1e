"""One resolver out of the dial plan, the DNS and the names of trunks: fulfils `p2psip.naming.routing.ResolverPort`.

Each stage is asked only when the caller wants the next step. What strangers write into the DNS cannot lead to this machine or
into the owner's own network, unless the settings allow that, and never to addresses that stand for ways of the overlay.
"""

import ipaddress
import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from p2psip.app.settings import Settings
from p2psip.app.settings_dial_plan import dial_plan_of
from p2psip.base.chance import Chance
from p2psip.base.core import address_text, is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import EMERGENCY, EMERGENCY_URN, Addresses
from p2psip.naming.dial_plan import Choice, DialPlan, Plan, Refusal
from p2psip.naming.enum import Enumeration, Found, enumerate_number
from p2psip.naming.locating import Destination, Located, Reach, locate
from p2psip.naming.numbers import is_e164, read_tel
from p2psip.naming.questions import Outcome
from p2psip.naming.routing import Hop, Route, Step, Transport
from p2psip.net.dns import DnsClient, DnsClock, system_servers
from p2psip.sip.uri import OtherUri, SipUri, escape_user, parse_uri, unescape

TRANSPORTS: tuple[Transport, ...] = ("tls", "tcp", "udp")
"""What this node sends over, the preferred one first, where a domain names servers for several (RFC 3263 §4.1)."""
PORTED_MAX = 3
"""Numbers that lead to numbers by ENUM, one after the other."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_STATUS: dict[Outcome, int] = {"found": 404, "no such name": 404, "no data": 404, "timeout": 504, "bogus": 502}


_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asked:
    """What one resolution has been through: numbers, trees and URIs, so that nothing is asked twice and no loop goes on."""

    caller: str
    uris: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    is_looked_up: bool = False


class Resolver:
    """Resolution for one node. `trunks` are the names of its trunks, `own_domain` is the domain that its public door serves."""

    def __init__(
        self,
        plan: DialPlan,
        *,
        addresses: Addresses,
        dns: DnsClient,
        chance: Chance,
        trunks: Collection[str] = (),
        reach: Reach | None = None,
        private_hosts: bool = False,
        own_domain: str = "",
    ) -> None:
        self.plan = plan
        self.dns = dns
        self._addresses = addresses
        self._chance = chance.child("resolver")
        self._trunks = trunks
        self._reach = reach or Reach(transports=TRANSPORTS)
        self._private_hosts = private_hosts
        self._ours = frozenset(filter(None, (plan.overlay, own_domain)))

    async def routes(self, target: str, caller: str) -> AsyncGenerator[Step, None]:
        """See ResolverPort."""
        try:
            plan, is_looked_up = self.plan_for(target, caller)
        except RemoteError as error:
            yield Step("refused", target, str(error), status=error.status)
            return
        async with aclosing(self._steps(plan, _Asked(caller, is_looked_up=is_looked_up))) as steps:
            async for step in steps:
                if not step.found:  # what works is in the record of the call
                    _log.info("%s called by %s: %s %s: %s", target, caller, step.stage, step.what, step.reason)
                yield step

    def plan_for(self, target: str, caller: str) -> tuple[Plan, bool]:
        """The plan for a URI as text, and whether a portability database was asked already; RemoteError for what is no target."""
        uri = parse_uri(target)
        if isinstance(uri, OtherUri):
            if uri.scheme == "tel":
                tel = read_tel(target)
                return self.plan.plan(tel.number, caller), tel.is_looked_up
            if uri.scheme == "urn" and uri.rest.lower().startswith(EMERGENCY_URN):
                return self.plan.plan(EMERGENCY, caller), False
            raise RemoteError(f"the scheme {uri.scheme!r} is not supported", status=416)
        address = self._addresses.of_ours(uri) or self._person(uri)
        if address is not None:
            return self.plan.plan(address.rpartition("@")[0], caller), False
        maddr = uri.parameter("maddr")
        refused = None if maddr is None else self.plan.plan_domain(str(uri), maddr).refused
        if refused is not None:  # where the URI is sent to is not what its name says
            return Plan(str(uri), None, (), refused), False
        return self.plan.plan_domain(str(uri), uri.host), False

    async def locate(self, uri: SipUri) -> tuple[Hop, ...]:
        """The servers of a URI that the owner of this node has configured (RFC 3263); RemoteError(404, 502-504) without any."""
        located = await self._located(uri)
        hops = tuple([hop for hop in located.hops if not is_synthetic(hop.address[0])])
        if not hops:
            raise RemoteError(_why(located, uri.host), status=_status(located.outcome))
        return hops

    async def _steps(self, plan: Plan, asked: _Asked) -> AsyncGenerator[Step, None]:
        notes = plan.notes
        for choice in plan.choices:
            if choice.stage == "enum":
                async with aclosing(self._enum(plan, choice, asked)) as steps:
                    async for step in steps:
                        yield replace(step, trail=(*notes, *step.trail))
                        notes = ()
                continue
            if choice.stage == "domain":
                step = await self._domain(choice)
            elif choice.stage == "trunk":
                step = self._trunk(plan, choice)
            else:
                step = Step(choice.stage, choice.what, choice.reason, (_people(choice),))
            yield replace(step, trail=(*notes, *step.trail), is_emergency=plan.is_emergency)
            notes = ()
        if plan.refused is not None:
            yield replace(_refused(plan.dialled, plan.refused, notes), is_emergency=plan.is_emergency)

    # ENUM

    async def _enum(self, plan: Plan, choice: Choice, asked: _Asked) -> AsyncGenerator[Step, None]:
        """The results of one tree, each located when it is asked for."""
        number = plan.number
        assert number is not None
        asked.numbers.add(number)
        if asked.is_looked_up:
            yield Step("enum", choice.what, "the tel URI says that it was looked up already (npdi)", status=404)
            return
        enumeration = await self.dns.run(enumerate_number(number, choice.what))
        if not enumeration.found:
            reason = f"no URI for {number} in {choice.what}: {_told(enumeration)}"
            yield Step("enum", enumeration.name, reason, status=_status(enumeration.outcome), trail=enumeration.trail)
            return
        trail = enumeration.trail
        for found in enumeration.found:
            async with aclosing(self._found(number, found, enumeration, asked)) as steps:
                async for step in steps:
                    yield replace(step, trail=(*trail, *step.trail))
                    trail = ()

    async def _found(
        self, number: str, found: Found, enumeration: Enumeration, asked: _Asked
    ) -> AsyncGenerator[Step, None]:
        what = f"{enumeration.name}: {found.uri}"
        if found.uri in asked.uris:
            yield Step("enum", what, "it was tried already", status=404)
            return
        asked.uris.add(found.uri)
        try:
            uri = parse_uri(found.uri)
        except RemoteError as error:
            yield Step("enum", what, f"it cannot be used: {error}", status=404)
            return
        if isinstance(uri, SipUri):
            yield await self._found_sip(what, uri)
            return
        async with aclosing(self._found_tel(number, found.uri, what, asked)) as steps:
            async for step in steps:
                yield step

    async def _found_sip(self, what: str, uri: SipUri) -> Step:
        address = self._person(uri)
        if address is not None:
            route = Route("overlay", str(SipUri.of_address(address)))
            return Step("overlay", what, f"ENUM names {address} of this overlay", (route,))
        return await self._server("enum", what, "ENUM names it", uri, private=self._private_hosts)

    async def _found_tel(self, number: str, text: str, what: str, asked: _Asked) -> AsyncGenerator[Step, None]:
        """A tel URI: the same number (it may be ported: RFC 4769), or another one, which has the whole plan before it."""
        try:
            tel = read_tel(text)
        except RemoteError as error:
            yield Step("enum", what, f"it cannot be used: {error}", status=404)
            return
        routed = f", ported to {tel.routing_number}" if tel.routing_number else ""
        if tel.number == number:
            yield Step("enum", what, f"it is the number itself{routed}: for the telephone network", status=404)
        elif tel.number in asked.numbers:
            yield Step("enum", what, f"it leads back to {tel.number}: a loop", status=404)
        elif len(asked.numbers) > PORTED_MAX:
            yield Step("enum", what, f"{PORTED_MAX} numbers have led to others already", status=404)
        elif not is_e164(tel.number):
            yield Step("enum", what, f"{tel.number} is no E.164 number", status=404)
        else:
            yield Step("enum", what, f"the number stands for {tel.number}{routed}", status=404)
            asked.numbers.add(tel.number)
            further = _Asked(asked.caller, asked.uris, asked.numbers, tel.is_looked_up)
            async with aclosing(self._steps(self.plan.plan_further(tel.number, asked.caller), further)) as steps:
                async for step in steps:
                    yield step

    # Servers

    def _person(self, uri: SipUri) -> str | None:
        """Somebody of the overlay, by its name or by the name of the domain that leads here; None for all others."""
        if uri.host.lower().rstrip(".") not in self._ours or not uri.user:
            return None
        return f"{unescape(uri.user).lower()}@{self.plan.overlay}"

    async def _domain(self, choice: Choice) -> Step:
        try:
            uri = SipUri.parse(choice.what)
        except RemoteError as error:
            return Step("domain", choice.what, f"it cannot be called: {error}", status=error.status)
        address = self._person(uri)
        if address is not None:
            return Step("overlay", choice.what, choice.reason, (Route("overlay", str(SipUri.of_address(address))),))
        private = self._private_hosts or choice.is_own
        return await self._server("domain", choice.what, choice.reason, uri, private=private)

    async def _server(
        self, stage: Literal["enum", "domain"], what: str, reason: str, uri: SipUri, *, private: bool
    ) -> Step:
        located = await self._located(uri)
        trail = list(located.trail)
        hops = []
        for hop in located.hops:
            why = _why_closed(hop, private)
            if why is None:
                hops.append(hop)
            else:
                trail.append(f"{address_text(hop.address)}: passed over, {why}")
        if not hops:
            is_closed = bool(located.hops)
            words = (
                "its addresses are not for the open world ([dial_plan] private_hosts)"
                if is_closed
                else _why(located, "")
            )
            status = 403 if is_closed else _status(located.outcome)
            return Step(stage, what, f"no server for {uri.host}: {words}", status=status, trail=tuple(trail))
        places = ", ".join(f"{hop.transport} {address_text(hop.address)}" for hop in hops)
        route = Route(stage, str(replace(uri, headers=())), tuple(hops))
        return Step(stage, what, f"{reason}; {places}", (route,), trail=tuple(trail))

    async def _located(self, uri: SipUri) -> Located:
        host = uri.parameter("maddr") or uri.host
        transport = uri.parameter("transport")
        destination = Destination(unescape(host), uri.port, transport, uri.scheme == "sips")
        return await self.dns.run(locate(destination, self._reach, self._chance))

    # Trunks

    def _trunk(self, plan: Plan, choice: Choice) -> Step:
        number = SipUri("sip", escape_user(choice.user), None, self.plan.overlay, None, (("user", "phone"),))
        if choice.is_via:
            route = Route("trunk", str(number), via=choice.what, is_emergency=plan.is_emergency)
            return Step("trunk", choice.what, f"{choice.reason}: {choice.user} over a trunk of {choice.what}", (route,))
        if choice.what not in self._trunks:
            known = ", ".join(sorted(self._trunks)) or "none"
            return Step("trunk", choice.what, f"this node has no trunk of this name; there is {known}", status=503)
        route = Route("trunk", str(number), trunk=choice.what, is_emergency=plan.is_emergency)
        return Step("trunk", choice.what, f"{choice.reason}: {choice.user}", (route,))


def _why_closed(hop: Hop, private: bool) -> str | None:
    """Why a stranger's DNS may not send us there (RFC 1918 and the like); None where it may."""
    host = hop.address[0]
    address = ipaddress.ip_address(host)
    if is_synthetic(host) or address.is_unspecified or address.is_multicast:
        return "nobody has this address"
    if not private and not _embedded(address).is_global:
        return "it is a private address"
    return None


def _embedded(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4 (RFC 3056) or NAT64; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _people(choice: Choice) -> Route:
    return Route(choice.stage, str(SipUri.of_address(choice.what)))


def _refused(dialled: str, refusal: Refusal, notes: tuple[str, ...]) -> Step:
    return Step("refused", dialled, refusal.words, status=refusal.status, trail=notes)


def _status(outcome: Outcome) -> int:
    return _STATUS.get(outcome, 503)


def _told(enumeration: Enumeration) -> str:
    return f"{enumeration.outcome} ({enumeration.words})" if enumeration.words else enumeration.outcome


def _why(located: Located, host: str) -> str:
    last = located.trail[-1] if located.trail else "nothing was asked"
    words = last if located.outcome in last else f"{located.outcome}: {last}"
    return f"no server for {host}: {words}" if host else words


def make_resolver(
    settings: Settings,
    addresses: Addresses,
    *,
    clock: DnsClock,
    chance: Chance,
    own_numbers: Mapping[str, str] | None = None,
    trunks: Collection[str] = (),
    reach: Reach | None = None,
) -> Resolver:
    """The resolver that the settings describe. `own_numbers` are the E.164 numbers of this node's trunks, and who has them."""
    plan = dial_plan_of(settings.dial_plan, addresses.overlay, own_numbers or {})
    chosen = settings.dns.addresses()
    dns = DnsClient(chosen, clock=clock, chance=chance, find_servers=None if chosen else system_servers)
    private = settings.dial_plan is not None and settings.dial_plan.private_hosts
    return Resolver(
        plan,
        addresses=addresses,
        dns=dns,
        chance=chance,
        trunks=trunks,
        reach=reach,
        private_hosts=private,
        own_domain=settings.domain.name,
    )
