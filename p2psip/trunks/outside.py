"""All trunks of a node together with its dial plan: who calls from outside, and the servers of a route one after the other."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.incidents import Incidents
from p2psip.calls.outside import Arrival, Line, OutsideTarget
from p2psip.naming.routing import Hop, ResolverPort, Route, Step
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import OtherUri, SipUri, escape_user, parse_uri, unescape
from p2psip.trunks.direct import DirectCall
from p2psip.trunks.exits import UdpExit
from p2psip.trunks.identity import callee_of, caller_of
from p2psip.trunks.line import SipPort, TrunkLine
from p2psip.trunks.numbering import is_number, written
from p2psip.trunks.placed import PlacedCall

TRUNKS_MAX = 32
LOOK_UP_SECONDS_MAX = 3.0
TOLL_FRAUD = "toll fraud"


class OverlayPort(Protocol):
    """The devices of a member, for calls over their trunk."""

    async def flows(self, member: str) -> Sequence[Flow]:
        """The ways to the nodes of `member`; RemoteError when the overlay cannot be asked."""


class Outside:
    """Fulfils `p2psip.calls.outside.OutsidePort`. `name` is the overlay's."""

    reaches_out = True

    def __init__(
        self,
        lines: Sequence[TrunkLine],
        *,
        resolver: ResolverPort,
        overlay: OverlayPort,
        sip: SipPort,
        incidents: Incidents,
        name: str,
        home: str = "",
    ) -> None:
        self.lines: Mapping[str, TrunkLine] = {line.trunk.name: line for line in lines[:TRUNKS_MAX]}
        self.is_offered = any(line.members for line in self.lines.values())
        self._resolver = resolver
        self._overlay = overlay
        self._sip = sip
        self._incidents = incidents
        self._name = name
        self._home = home  # the domain under which the open world calls our people; "" where it does not
        self._exit = UdpExit(sip)

    async def run(self) -> None:
        """Keep all trunks at work until cancelled."""
        async with trio.open_nursery() as nursery:
            for line in self.lines.values():
                nursery.start_soon(line.run)

    async def close(self) -> None:
        """End all registrations."""
        async with trio.open_nursery() as nursery:
            for line in self.lines.values():
                nursery.start_soon(line.close)

    def status(self) -> list[dict[str, Any]]:
        """The state of each trunk."""
        return [line.status() for line in self.lines.values()]

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended."""
        for line in self.lines.values():
            line.flow_closed(flow)

    # From the outside

    def is_provider(self, flow: Flow) -> bool:
        """See OutsidePort."""
        return any(line.leads_here(flow) for line in self.lines.values())

    def admit(self, flow: Flow) -> None:
        """See OutsidePort."""
        is_socket = self._exit.owns(flow) or any(line.is_own_socket(flow) for line in self.lines.values())
        if (is_socket or self._sip.is_dialled(flow)) and not self.is_provider(flow):
            raise RemoteError("only the provider is heard here", status=403)

    def arrival(self, request: Request, flow: Flow) -> Arrival | None:
        """See OutsidePort."""
        lines = [line for line in self.lines.values() if line.leads_here(flow)]
        if not lines:
            return None
        failure: RemoteError | None = None
        for line in sorted(lines, key=lambda line: not _names(line, request)):
            try:
                callee = callee_of(line.trunk, request)
            except RemoteError as error:
                failure = failure or error
                continue
            caller, display = caller_of(line.trunk, request)
            return Arrival(PlacedCall(line, is_arrival=True), caller, display, callee)
        assert failure is not None
        raise failure

    # To the outside

    def may_use(self, member: str, address: str) -> bool:
        """See OutsidePort."""
        number = address.rpartition("@")[0]
        if not self.lines or not is_number(number):
            return False
        if any(member in line.members for line in self.lines.values()):
            return True
        words = f"no trunk of this node is offered to {member}"
        unix = next(iter(self.lines.values())).clock.unix()
        self._incidents.note(TOLL_FRAUD, member, f"{words}, who dialled {number}", unix)
        raise RemoteError(words, status=403)

    def steps(self, dialled: str, caller: str) -> AsyncIterator[Step]:
        """See OutsidePort. A number at a provider's domain, as phones keep it of calls that came in, is that number."""
        uri = parse_uri(dialled)
        if isinstance(uri, SipUri) and any(line.is_named(uri.host) for line in self.lines.values()):
            number = unescape(uri.user or "").partition(";")[0]
            if is_number(number):
                dialled = str(SipUri("sip", escape_user(number), None, self._name, None))
        return self._resolver.routes(dialled, caller)

    def targets(self, route: Route, caller: str, member: str | None) -> AsyncIterator[OutsideTarget | RemoteError]:
        """See OutsidePort."""
        if member is not None and route.trunk is None:
            return _only(RemoteError("this node calls for other members over its trunks only", status=403))
        if route.via is not None:
            return self._over_member(route, route.via)
        if route.trunk is not None:
            return self._over_trunk(route, route.trunk, caller, member)
        return self._over_hops(route)

    async def _over_member(self, route: Route, via: str) -> AsyncIterator[OutsideTarget | RemoteError]:
        """The number goes to the node of the member as it stands; that node has the trunk, and the say."""
        try:
            flows = await self._overlay.flows(via)
        except RemoteError as error:
            yield error
            return
        if not flows:
            yield RemoteError(f"no node of {via}, whose trunk is to be used, is there now", status=503)
        for flow in flows:
            yield OutsideTarget(route.uri, flow, None, f"trunk of {via}")

    async def _over_trunk(
        self, route: Route, name: str, caller: str, member: str | None
    ) -> AsyncIterator[OutsideTarget | RemoteError]:
        line = self.lines.get(name)
        if line is None:
            yield RemoteError(f"there is no trunk {name} here", status=503)
            return
        if member is not None and member not in line.members:
            words = f"trunk {name} is not offered to {member}"
            self._incidents.note(TOLL_FRAUD, member, f"{words}: {route.uri}", line.clock.unix())
            yield RemoteError(words, status=403)
            return
        if not line.health.is_up and not route.is_emergency:
            yield RemoteError(f"trunk {name} is down: {line.health.words}", status=503)
            return
        uri = _request_uri(route.uri, line)
        try:
            hops = await (line.servers.hops() if route.is_emergency else line.servers.willing())
        except RemoteError as error:
            yield RemoteError(f"trunk {name}: {error}", status=503)
            return
        number = unescape(uri.user or "")
        caps = None if member is None else line.members[member]
        try:
            placed = PlacedCall(line, caps, number=number, is_emergency=route.is_emergency)
        except RemoteError as error:
            self._incidents.note("cap of a trunk", member or caller, f"{error} ({number})", line.clock.unix())
            yield error
            return
        is_taken = False  # from then on it is the call that closes it
        try:
            for hop in hops:
                target = await _server(placed, str(uri), hop)
                is_taken = is_taken or isinstance(target, OutsideTarget)
                yield target
        finally:
            if not is_taken:
                placed.close()

    async def redirected(self, line: Line, uri: SipUri | OtherUri) -> AsyncIterator[OutsideTarget | RemoteError]:
        """See OutsidePort."""
        assert isinstance(line, PlacedCall)
        assert isinstance(uri, SipUri)
        transport = tuple(each for each in line.line.trunk.server.parameters if each[0] == "transport")
        uri = SipUri(line.line.trunk.server.scheme, uri.user, None, uri.host, uri.port, transport)
        try:
            hops = await line.line.servers.located(uri)
        except RemoteError as error:
            yield error
            return
        for hop in hops:
            yield await _server(line, str(uri), hop)

    async def _over_hops(self, route: Route) -> AsyncIterator[OutsideTarget | RemoteError]:
        await self._look_up_servers()
        for hop in route.hops:
            line = self._line_at(hop)
            if line is None:
                yield await self._direct(route.uri, hop)
            else:
                words = f"{route.uri} leads to the provider of trunk {line.trunk.name}, which is called as a trunk only"
                yield RemoteError(words, status=403)

    async def _look_up_servers(self) -> None:
        """Learn where the providers are now; what takes too long is as it was known last."""
        with trio.move_on_after(LOOK_UP_SECONDS_MAX):
            async with trio.open_nursery() as nursery:
                for line in self.lines.values():
                    nursery.start_soon(_look_up, line)

    def _line_at(self, hop: Hop) -> TrunkLine | None:
        """The trunk whose provider, which knows us by our address, is at `hop`: a call past the dial plan and the caps."""
        lines = self.lines.values()
        return next((line for line in lines if line.is_named(hop.host) or line.is_at(hop.address[0])), None)

    async def _direct(self, uri: str, hop: Hop) -> OutsideTarget | RemoteError:
        try:
            if hop.transport == "udp":
                flow = await self._exit.flow(hop.address)
            else:
                flow = await self._sip.connect(hop.transport, hop.address, host=hop.host)
        except RemoteError as error:
            return error
        server = hop.host or hop.address[0]
        return OutsideTarget(uri, flow, DirectCall(self._home, server) if self._home else None, server)


async def _look_up(line: TrunkLine) -> None:
    with suppress(RemoteError):
        await line.servers.hops()


async def _server(placed: PlacedCall, uri: str, hop: Hop) -> OutsideTarget | RemoteError:
    try:
        flow = await placed.line.flow(hop)
    except RemoteError as error:
        placed.note_failed(503, str(error))
        return RemoteError(f"{placed.name}: {error}", status=503)
    return OutsideTarget(uri, flow, placed, placed.name)


async def _only(error: RemoteError) -> AsyncIterator[OutsideTarget | RemoteError]:
    yield error


def _names(line: TrunkLine, request: Request) -> bool:
    """Whether the Request-URI names the account of a trunk: two accounts at one provider share its address."""
    uri = request.uri
    return isinstance(uri, SipUri) and unescape(uri.user or "") in (line.trunk.user, *line.trunk.numbers)


def _request_uri(text: str, line: TrunkLine) -> SipUri:
    """The number of a route as the provider wants it, at the provider's domain."""
    uri = SipUri.parse(text)
    number = written(unescape(uri.user or "").partition(";")[0], line.trunk.number_style, line.trunk.country)
    return SipUri("sip", escape_user(number), None, line.trunk.domain, None, uri.parameters)
