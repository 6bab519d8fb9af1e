"""A provider in memory: it answers as the test says, knows one password, and carries calls of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.calls.incidents import Incidents
from p2psip.naming.routing import Hop, Route, Step, Transport
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.digest import DigestServer, digest_secret, parse_fields
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from p2psip.trunks.line import TrunkLine
from p2psip.trunks.outside import Outside
from p2psip.trunks.trunk import Trunk
from tests.calls.fakes import OVERLAY_NAME
from tests.calls.world import MemorySip, Network, Node, TrioClock, World, sdp, world
from tests.trunks.values import trunk

PASSWORD = "s3cret"
TRUNK_PORT = 5090


class Provider:
    """A server at `address`. `refuse` is asked first: (status, headers), or None to go on as usual."""

    def __init__(self, network: Network, address: Address, algorithm: str = "SHA-256") -> None:
        self.sip = MemorySip(network, address)
        network.services[address] = self.sip
        self.address = address
        self.algorithm = algorithm
        self.asks = True
        self.early = b""
        self.seen: list[Request] = []
        self.calls: list[tuple[ServerExchange, Dialog]] = []
        self.refuse: Callable[[Request], tuple[int, list[tuple[str, str]]] | None] = lambda _request: None
        self.in_call: Callable[[ServerExchange], Awaitable[None]] | None = None
        self._digest = DigestServer("provider.example", Chance.seeded(b"provider"))

    async def run(self) -> None:
        """Serve."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.sip.run)
            async for exchange in self.sip.incoming:
                nursery.start_soon(self._serve, exchange)

    def count(self, method: str) -> int:
        """How many requests of `method` came."""
        return sum(request.method == method for request in self.seen)

    async def _serve(self, exchange: ServerExchange) -> None:
        request = exchange.request
        self.seen.append(request)
        refusal = self.refuse(request)
        if refusal is not None:
            if refusal[0]:
                exchange.respond(make_response(request, refusal[0], to_tag="p", headers=refusal[1]))
        elif request.method == "OPTIONS" or self._is_authorised(exchange, request):
            await self._accept(exchange)

    async def _accept(self, exchange: ServerExchange) -> None:
        request = exchange.request
        if request.method == "INVITE":
            contact = f"<sip:gw@{self.address[0]}:{self.address[1]}>"
            body = sdp(7000, "8 101")
            if self.early:
                early = make_response(request, 183, to_tag="p", body=self.early, content_type="application/sdp")
                exchange.respond(early)
                await trio.sleep(1.0)
                body = self.early
            response = make_response(
                request, 200, to_tag="p", headers=[("Contact", contact)], body=body, content_type="application/sdp"
            )
            dialog = Dialog.of_server(request, response, contact)
            requests = self.sip.open_dialog(dialog.id)
            await exchange.accept(response)
            self.calls.append((exchange, dialog))
            async for each in requests:
                self.seen.append(each.request)
                if self._is_authorised(each, each.request):
                    each.respond(make_response(each.request, 200))
        else:
            contacts = [("Contact", value) for value in request.headers.all("Contact")[:1]]
            exchange.respond(make_response(request, 200, to_tag="p", headers=contacts))

    def _is_authorised(self, exchange: ServerExchange, request: Request) -> bool:
        if not self.asks:
            return True
        name = "Authorization" if request.method == "REGISTER" else "Proxy-Authorization"
        secret = digest_secret(self.algorithm, "4930123", "provider.example", PASSWORD)
        now = trio.current_time()
        stale = False
        for value in request.headers.all(name):
            verdict = self._digest.check(parse_fields(value), request.method, secret, self.algorithm, now)
            if verdict.accepted:
                return True
            stale = verdict.stale
        asked = ("WWW-Authenticate", 401) if request.method == "REGISTER" else ("Proxy-Authenticate", 407)
        challenge = (asked[0], self._digest.challenge(self.algorithm, now, stale=stale))
        exchange.respond(make_response(request, asked[1], to_tag="p", headers=[challenge]))
        return False


DIALLED = 77
"""The number of every connection that is dialled."""


class TrunkSip(MemorySip):
    """A SIP service whose trunk sockets are ports of its own address."""

    next_port = TRUNK_PORT

    async def listen_udp(self, host: str, port: int) -> Address:
        bound = (self.address[0], self.next_port)
        self.next_port += 1
        self.network.services[bound] = self
        return bound

    async def connect(self, transport: str, remote: Address, **_more: Any) -> Flow:
        if remote not in self.network.services:
            raise RemoteError("no connection", status=503)
        return Flow(transport, self.address, remote, 0 if transport == "udp" else DIALLED)

    def is_dialled(self, flow: Flow) -> bool:
        return flow.serial == DIALLED


@dataclass
class Locator:
    """Servers by the host of a URI."""

    servers: dict[str, list[Address]]
    error: RemoteError | None = None
    transport: Transport = "udp"

    async def locate(self, uri: SipUri) -> Sequence[Hop]:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return [Hop(self.transport, address, uri.host) for address in self.servers.get(uri.host, [])]


@dataclass
class Plan:
    """A dial plan: the steps for each number, after local and overlay."""

    steps: dict[str, list[Step]] = field(default_factory=dict)

    async def routes(self, target: str, caller: str) -> AsyncIterator[Step]:
        uri = SipUri.parse(target)
        yield Step("local", target, "", (Route("local", target),))
        yield Step("overlay", target, "", (Route("overlay", target),))
        for step in self.steps.get(uri.user or "", []):
            yield step


def over(*trunks: str, number: str = "+4989") -> list[Step]:
    """One step for each trunk."""
    uri = f"sip:{number}@home.example;user=phone"
    return [Step("trunk", name, "", (Route("trunk", uri, trunk=name),)) for name in trunks]


@dataclass
class Members:
    """Who is where in the overlay."""

    world: World
    node: Node

    async def flows(self, member: str) -> list[Flow]:
        await trio.lowlevel.checkpoint()
        return [self.node.sip.overlay_flow(node_id) for node_id in self.world.shared.get(member, ())]


@dataclass
class Country:
    """A world with providers."""

    world: World
    locator: Locator

    async def provider(self, host: str = "provider.example", number: int = 9) -> Provider:
        """One more server of `host`."""
        found = Provider(self.world.network, (f"192.0.2.{number}", 5060))
        self.locator.servers.setdefault(host, []).append(found.address)
        self.world.nursery.start_soon(found.run)
        return found

    async def connect(self, node: Node, plan: Plan, *trunks: Trunk) -> Outside:
        """Give `node` trunks, and wait until they are registered."""
        node.sip.__class__ = TrunkSip
        clock = TrioClock()
        lines = [
            TrunkLine(each, sip=node.sip, locator=self.locator, clock=clock, chance=Chance.seeded(each.name.encode()))
            for each in trunks
        ]
        incidents: Incidents = node.server.incidents
        outside = Outside(
            lines,
            resolver=plan,
            overlay=Members(self.world, node),
            sip=node.sip,
            incidents=incidents,
            name=OVERLAY_NAME,
        )
        node.server.use_outside(outside)
        self.world.nursery.start_soon(outside.run)
        await trio.sleep(1.0)
        return outside


@asynccontextmanager
async def country() -> AsyncIterator[Country]:
    """A world without providers yet."""
    async with world() as w:
        yield Country(w, Locator({}))


def static(name: str = "static", **changes: Any) -> Trunk:
    """A trunk without registration and password."""
    return replace(trunk(**changes), name=name, registers=False, password="")
