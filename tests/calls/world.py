"""A world of nodes and phones without sockets: real SIP services joined in memory, media and directory faked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.calls.ports import CallSettings, MediaPort
from p2psip.calls.server import CallServer
from p2psip.net.clock import Clock
from p2psip.sip.build import make_request, make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.digest import Challenge, respond
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.service import SipService
from p2psip.sip.uri import SipUri, parse_uri
from tests.calls.fakes import OVERLAY_NAME, PASSWORD, FakeAccounts, FakeDirectory, FakeMedia

WORLD_SECONDS_MAX = 4_000.0


class TrioClock(Clock):
    """Trio's clock, which tests let jump."""

    def now(self) -> float:
        return 1_000 + trio.current_time()

    def unix(self) -> float:
        return 1_800_000_000 + trio.current_time()


class MemorySip(SipService):
    """A SIP service whose messages travel through a `Network`."""

    def __init__(self, network: "Network", address: Address, node_id: str = "") -> None:
        super().__init__(trio.current_time, Chance.seeded(f"{address}".encode()))
        self.network = network
        self.address = address
        self.node_id = node_id
        self.sent: list[tuple[bytes, Flow]] = []
        self.closed: set[Flow] = set()

    async def connect(self, transport: str, remote: Address, **_proof: object) -> Flow:
        """UDP; nobody of this world listens on TCP."""
        if transport != "udp":
            raise RemoteError("nobody listens there", status=503)
        return Flow("udp", self.address, remote)

    def _transmit(self, data: bytes, flow: Flow) -> None:
        self.sent.append((data, flow))
        if flow in self.closed:
            self._layer.flow_closed(flow, self._now())
        else:
            self.network.carry(self, data, flow)

    def close_flow(self, flow: Flow) -> None:
        """As when a TCP connection ends."""
        self.closed.add(flow)
        self._flow_closed(flow)


@dataclass
class Network:
    """Carries messages in order, a moment later: `seconds` after the one before, or in bursts, as they are read from a socket."""

    services: dict[Address, MemorySip] = field(default_factory=dict)
    nodes: dict[str, MemorySip] = field(default_factory=dict)
    dead: set[object] = field(default_factory=set)
    outside_of: dict[Address, Address] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[tuple[MemorySip, bytes, Flow]](10_000)

    def carry(self, source: MemorySip, data: bytes, flow: Flow) -> None:
        if flow.transport == OVERLAY:
            target = self.nodes.get(flow.remote[0])
            arriving = Flow(OVERLAY, ("overlay", 0), (source.node_id, 0))
        else:
            target = self.services.get(flow.remote)
            arriving = Flow(flow.transport, flow.remote, self.outside_of.get(flow.local, flow.local), flow.serial)
            inside = next((each for each, seen in self.outside_of.items() if seen == flow.remote), None)
            if inside is not None:
                target, arriving = self.services.get(inside), Flow(flow.transport, inside, flow.local, flow.serial)
        if target is not None and target not in self.dead and source not in self.dead:
            self._send.send_nowait((target, data, arriving))

    def translate(self, inside: Address, outside: Address) -> None:
        """As a NAT does for one address."""
        self.outside_of[inside] = outside

    async def run(self) -> None:
        async for first in self._receive:
            await trio.sleep(self.seconds)
            arrived = [first]
            while not self.seconds and self._receive.statistics().current_buffer_used:
                arrived.append(self._receive.receive_nowait())
            for target, data, flow in arrived:
                target._receive(data, flow)


@dataclass
class Node:
    """One node of the world."""

    sip: MemorySip
    media: FakeMedia
    directory: FakeDirectory
    server: CallServer


SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
)


def sdp(port: int, formats: str = "0 8 101", direction: str = "sendrecv", host: str = "127.0.0.1") -> bytes:
    """What a phone says."""
    return SDP.format(port=port, formats=formats, direction=direction, host=host).encode()


class Phone:
    """A user agent for tests, on (127.0.0.1, port)."""

    def __init__(self, world: "World", node: Node, name: str, port: int, transport: str = "udp") -> None:
        self.node = node
        self.name = name
        self.sip = MemorySip(world.network, ("127.0.0.1", port))
        world.network.services[self.sip.address] = self.sip
        serial = port if transport == "tcp" else 0
        self.flow = Flow(transport, self.sip.address, node.sip.address, serial)
        self.contact = f"<sip:{name}@127.0.0.1:{port}>"
        self.call_id = f"register-{name}-{port}"
        self.cseq = 0
        self.port = port

    def request(self, method: str, uri: str, *, to: str | None = None, **more: object) -> Request:
        """A request of this phone, with a fresh Call-ID."""
        self.cseq += 1
        from_ = NameAddr(None, SipUri.of_address(f"{self.name}@{OVERLAY_NAME}")).with_tag(f"t{self.port}-{self.cseq}")
        values: dict[str, object] = {"call_id": f"{self.port}-{self.cseq}", "cseq": self.cseq, **more}
        target = parse_uri(uri)
        return make_request(method, target, from_=from_, to=NameAddr(None, parse_uri(to or uri)), **values)  # type: ignore[arg-type]

    async def ask(self, request: Request, *, password: str = PASSWORD) -> Response:
        """The final response, after an answer to a challenge."""
        response = await self.sip.start(request.copy(), self.flow).final_response()
        if response.status != 401:
            return response
        again = self.authorised(request, response, password)
        return await self.sip.start(again, self.flow).final_response()

    def authorised(self, request: Request, response: Response, password: str = PASSWORD) -> Request:
        """The request again, with credentials."""
        challenge = Challenge.parse(response.headers.get("WWW-Authenticate") or "")
        again = request.copy()
        self.cseq += 1
        again.headers.set("CSeq", f"{self.cseq} {request.method}")
        answer = respond(
            challenge, method=request.method, uri=str(request.uri), user=self.name, password=password, cnonce="c"
        )
        again.headers.set("Authorization", answer)
        return again

    def registration(self, *contacts: str, expires: int | None = 600) -> Request:
        """A REGISTER; without contacts a query."""
        headers = [("Contact", contact) for contact in contacts]
        if expires is not None:
            headers.append(("Expires", str(expires)))
        address = f"sip:{self.name}@{OVERLAY_NAME}"
        return self.request("REGISTER", f"sip:{OVERLAY_NAME}", to=address, call_id=self.call_id, headers=headers)

    async def register(self) -> None:
        response = await self.ask(self.registration(self.contact))
        assert response.status == 200, response.to_bytes()

    def invitation(self, uri: str, body: bytes | None = None, **more: object) -> Request:
        offer = sdp(self.port + 1) if body is None else body
        headers = [("Contact", self.contact)]
        content_type = "application/sdp" if offer else None
        return self.request("INVITE", uri, headers=headers, body=offer, content_type=content_type, **more)  # type: ignore[arg-type]

    async def call(self, uri: str, body: bytes | None = None, **more: object) -> "Outgoing":
        """An authorised INVITE under way."""
        request = self.invitation(uri, body, **more)
        response = await self.sip.start(request.copy(), self.flow).final_response()
        assert response.status == 401
        again = self.authorised(request, response)
        return Outgoing(self, again, self.sip.start(again, self.flow))

    async def invited(self) -> ServerExchange:
        """The next request that comes in."""
        exchange = await self.sip.incoming.receive()
        return exchange

    async def answer(self, exchange: ServerExchange, *, body: bytes | None = None) -> "Established":
        """200 to an INVITE; waits for the ACK."""
        answer = sdp(self.port + 1, "0 101") if body is None else body
        response = make_response(
            exchange.request,
            200,
            to_tag=f"callee{self.port}",
            headers=[("Contact", self.contact)],
            body=answer,
            content_type="application/sdp",
        )
        dialog = Dialog.of_server(exchange.request, response, self.contact)
        established = Established(self, dialog)
        established.ack = await exchange.accept(response)
        return established

    def ring(self, exchange: ServerExchange, status: int = 180) -> None:
        exchange.respond(
            make_response(exchange.request, status, to_tag=f"callee{self.port}", headers=[("Contact", self.contact)])
        )

    def refuse(self, exchange: ServerExchange, status: int) -> None:
        exchange.respond(make_response(exchange.request, status, to_tag=f"callee{self.port}"))


class Established:
    """A dialog of a phone."""

    def __init__(
        self, phone: Phone, dialog: Dialog, requests: trio.MemoryReceiveChannel[ServerExchange] | None = None
    ) -> None:
        self.phone = phone
        self.dialog = dialog
        self.requests = requests or phone.sip.open_dialog(dialog.id)
        self.ack: Request | None = None

    async def ask(self, method: str, **more: object) -> Response:
        request = self.dialog.request(method, **more)  # type: ignore[arg-type]
        exchange = self.phone.sip.start(request, self.phone.flow)
        response = await exchange.final_response()
        if method == "INVITE" and response.status == 200:
            exchange.acknowledge(response, self.dialog.acknowledge(request.cseq.number))
        return response

    async def expect(self, method: str, status: int = 200, body: bytes = b"") -> Request:
        """The next request in the dialog, answered."""
        exchange = await self.requests.receive()
        assert exchange.request.method == method
        content_type = "application/sdp" if body else None
        response = make_response(
            exchange.request, status, body=body, content_type=content_type, headers=[("Contact", self.phone.contact)]
        )
        if method == "INVITE" and status == 200:
            await exchange.accept(response)
        else:
            exchange.respond(response)
        return exchange.request


@dataclass
class Outgoing:
    """An INVITE of a phone under way."""

    phone: Phone
    request: Request
    exchange: ClientExchange
    answer: bytes = b""

    async def response(self, status: int) -> Response:
        """The responses up to the first with `status`; fails on a final one that is another."""
        while True:
            response = await self.exchange.next_response()
            if response.status == status:
                return response
            assert response.status < 200, f"{response.status} {response.headers.get('Warning')}"

    async def established(self, *, body: bytes = b"") -> Established:
        """The call once it is answered; the ACK is sent."""
        response = await self.response(200)
        dialog = Dialog.of_client(self.request, response, self.phone.contact)
        established = Established(self.phone, dialog)
        ack = dialog.acknowledge(self.request.cseq.number, body=body, content_type="application/sdp" if body else None)
        self.exchange.acknowledge(response, ack)
        self.answer = response.body
        return established


@dataclass
class World:
    """Everything; made by `world()`."""

    nursery: trio.Nursery
    network: Network
    shared: dict[str, list[str]] = field(default_factory=dict)
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def node(
        self,
        person: str,
        number: str,
        *more: tuple[str, str, str],
        node_id: str = "",
        plane: MediaPort | None = None,
        **settings: object,
    ) -> Node:
        """A node of one person with accounts `person` and `person-2`; `plane` in the place of faked media."""
        node_id = node_id or f"{len(self.network.nodes) + 1:040x}"
        addresses = (f"{person}@{OVERLAY_NAME}", f"{number}@{OVERLAY_NAME}")
        sip = MemorySip(self.network, (f"127.0.1.{len(self.network.nodes) + 1}", 5060), node_id)
        self.network.services[sip.address] = self.network.nodes[node_id] = sip
        self.known[node_id] = addresses
        directory = FakeDirectory(node_id, addresses, self.shared, self.known)
        media = FakeMedia()
        accounts = FakeAccounts((person, addresses[0], "MD5"), (f"{person}-2", addresses[0], "SHA-256"), *more)
        chance = Chance.seeded(node_id.encode())
        server = CallServer(
            settings=CallSettings(OVERLAY_NAME, addresses, node_id, **settings),  # type: ignore[arg-type]
            sip=sip,
            media=media if plane is None else plane,
            directory=directory,
            accounts=accounts,
            clock=TrioClock(),
            chance=chance,
        )
        await self.nursery.start(sip.run)
        await self.nursery.start(server.run)
        return Node(sip, media, directory, server)

    async def phone(
        self, node: Node, name: str, port: int, *, registered: bool = True, transport: str = "udp"
    ) -> Phone:
        phone = Phone(self, node, name, port, transport)
        await self.nursery.start(phone.sip.run)
        if registered:
            await phone.register()
        return phone


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A world that ends with the block."""
    with trio.fail_after(WORLD_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            network = Network()
            nursery.start_soon(network.run)
            yield World(nursery, network)
            nursery.cancel_scope.cancel()
