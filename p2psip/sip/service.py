"""The trio shell of SIP: sockets, the timer task, and requests as exchanges that a task can wait for."""

import logging
import math
import socket
from collections.abc import Callable

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError
from p2psip.net.port import open_udp
from p2psip.sip.build import make_response
from p2psip.sip.dialog import DialogId
from p2psip.sip.events import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    SipTransmit,
    TransactionEnded,
    TransactionFailed,
)
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.layer import TransactionLayer
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import MESSAGE_BYTES_MAX
from p2psip.sip.tcp import TcpTransport

BATCH_DATAGRAMS_MAX = 64
INCOMING_QUEUED_MAX = 1_024
DIALOG_QUEUED_MAX = 64

_log = logging.getLogger(__name__)

OverlaySend = Callable[[str, bytes], None]


class SipService:
    """SIP over UDP, TCP and the overlay. New requests arrive on `incoming`; those of an open dialog on its own channel."""

    def __init__(self, now: Callable[[], float], chance: Chance, *, user_agent: str = "p2psip") -> None:
        self._now = now
        self._layer = TransactionLayer(chance, server_name=user_agent)
        self._chance = chance
        self.user_agent = user_agent
        self._udp: dict[Address, socket.socket] = {}
        self._tcp: TcpTransport | None = None
        self._nursery: trio.Nursery | None = None
        self._overlay_send: OverlaySend | None = None
        self._clients: dict[str, ClientExchange] = {}
        self._servers: dict[str, ServerExchange] = {}
        self._acks: dict[tuple[str, str, int], ServerExchange] = {}
        self._dialogs: dict[DialogId, trio.MemorySendChannel[ServerExchange]] = {}
        self._closed_hooks: list[Callable[[Flow], None]] = []
        self._deadline = math.inf
        self._timer_scope: trio.CancelScope | None = None
        self._pumping = False
        self._incoming_send, self.incoming = trio.open_memory_channel[ServerExchange](INCOMING_QUEUED_MAX)
        self.on_message_trace: Callable[[bytes, Flow, bool], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; call `listen_udp` and `listen_tcp` once it has started."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._tcp = TcpTransport(nursery, self._receive_stream, self._flow_closed)
                nursery.start_soon(self._serve_timers)
                task_status.started()
        finally:
            for sock in self._udp.values():
                sock.close()

    async def listen_udp(self, host: str, port: int) -> Address:
        """Receive datagrams on (host, port); the address that is bound."""
        sock = open_udp((host, port))
        bound: Address = sock.getsockname()[:2]
        self._udp[bound] = sock
        assert self._nursery is not None
        self._nursery.start_soon(self._drain_forever, sock, bound)
        return bound

    def close_udp(self, bound: Address) -> None:
        """Stop receiving on a socket of `listen_udp`."""
        sock = self._udp.pop(bound)
        trio.lowlevel.notify_closing(sock)
        sock.close()

    async def listen_tcp(self, host: str, port: int) -> Address:
        """Accept connections on (host, port); the address that is bound."""
        assert self._tcp is not None
        return await self._tcp.listen(host, port)

    def attach_overlay(self, send: OverlaySend) -> None:
        """Let requests go over the overlay: `send(node_id_hex, message)`."""
        self._overlay_send = send

    def receive_overlay(self, node_id: str, data: bytes) -> None:
        """A SIP message came from the node `node_id` (hex), whose certificate was verified."""
        self._receive(data, self.overlay_flow(node_id))

    def overlay_flow(self, node_id: str) -> Flow:
        """The flow to a node of the overlay."""
        return Flow(OVERLAY, ("overlay", 0), (node_id, 0))

    async def connect(self, transport: str, remote: Address) -> Flow:
        """A flow to `remote`: UDP from our first socket of its family, or a TCP connection; RemoteError(503) if none."""
        if transport == "tcp":
            assert self._tcp is not None
            return await self._tcp.connect(remote)
        for local in self._udp:
            if (":" in local[0]) == (":" in remote[0]):
                return Flow("udp", local, remote)
        raise LocalError(f"no UDP socket can reach {remote[0]}")

    def start(self, request: Request, flow: Flow) -> ClientExchange:
        """Send `request` (a Via is added); its responses come from the exchange."""
        exchange = ClientExchange(request, flow, self, lambda: self._forget_client(exchange))
        exchange.key = self._layer.request(request, flow, self._now())
        self._clients[exchange.key] = exchange
        self._pump()
        return exchange

    def open_dialog(self, dialog_id: DialogId) -> trio.MemoryReceiveChannel[ServerExchange]:
        """Requests of the peer in this dialog, from now on; close it with `close_dialog`."""
        send, receive = trio.open_memory_channel[ServerExchange](DIALOG_QUEUED_MAX)
        self._dialogs[dialog_id] = send
        return receive

    def close_dialog(self, dialog_id: DialogId) -> None:
        """Forget a dialog; later requests in it get 481."""
        channel = self._dialogs.pop(dialog_id, None)
        if channel is not None:
            channel.close()

    def on_flow_closed(self, hook: Callable[[Flow], None]) -> None:
        """Call `hook(flow)` when a TCP connection has ended."""
        self._closed_hooks.append(hook)

    def statistics(self) -> dict[str, int]:
        """Sizes of the tables, and counts of what was not understood."""
        return {
            "transactions": len(self._layer),
            "dialogs": len(self._dialogs),
            "malformed": self._layer.malformed,
            "stray_responses": self._layer.stray_responses,
            "refused": self._layer.refused,
        }

    # What exchanges call (exchange.Sender)

    def respond(self, key: str, response: Response) -> None:
        """Send a response in its transaction."""
        response.headers.set("Server", self.user_agent)
        self._layer.respond(key, response, self._now())
        self._pump()

    def send_again(self, wire: bytes, flow: Flow) -> None:
        """Send bytes as they are."""
        self._layer.send_again(wire, flow)
        self._pump()

    def cancel(self, key: str) -> None:
        """CANCEL an INVITE."""
        self._layer.cancel(key, self._now())
        self._pump()

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        """Send the ACK of a 2xx."""
        wire = self._layer.send_ack(ack, flow)
        self._pump()
        return wire

    def expect_ack(self, exchange: ServerExchange, waiting: bool) -> None:
        """Begin or end to match ACKs to an INVITE that was answered with 2xx."""
        request = exchange.request
        key = (request.call_id, request.from_.tag or "", request.cseq.number)
        if waiting:
            self._acks[key] = exchange
        else:
            self._acks.pop(key, None)

    # Receiving

    async def _drain_forever(self, sock: socket.socket, local: Address) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(sock)
            except trio.ClosedResourceError:
                return
            for _ in range(BATCH_DATAGRAMS_MAX):
                try:
                    data, source = sock.recvfrom(MESSAGE_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error of an earlier send; the socket itself is well
                    continue
                self._receive(data, Flow("udp", local, source[:2]))

    def _receive_stream(self, data: bytes, flow: Flow) -> None:
        self._receive(data, flow)

    def _receive(self, data: bytes, flow: Flow) -> None:
        if not data.strip(b"\r\n\0"):
            return  # a keep-alive (RFC 5626 §3.5.1); over UDP it wants no answer
        if self.on_message_trace is not None:
            self.on_message_trace(data, flow, True)
        try:
            self._layer.receive(data, flow, self._now())
            self._pump()
        except Exception:  # the driver loop is one of the two places that catch everything
            _log.exception("a message of %d bytes over %s made the SIP layer fail", len(data), flow)

    def _flow_closed(self, flow: Flow) -> None:
        self._layer.flow_closed(flow, self._now())
        for hook in self._closed_hooks:
            hook(flow)
        self._pump()

    # Outputs and timers

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while (output := self._layer.poll_output()) is not None:
                self._handle(output)
        finally:
            self._pumping = False
        deadline = self._layer.poll_timeout()
        earlier = deadline is not None and deadline < self._deadline
        self._deadline = math.inf if deadline is None else deadline
        if earlier and self._timer_scope is not None:
            self._timer_scope.deadline = trio.current_time() + max(self._deadline - self._now(), 0.0)

    def _handle(self, output: object) -> None:
        match output:
            case SipTransmit(data, flow):
                self._transmit(data, flow)
            case RequestReceived(key, request, flow):
                self._offer(ServerExchange(key, request, flow, self))
            case ResponseReceived(key, response):
                if (client := self._clients.get(key)) is not None:
                    client.feed(response)
            case TransactionFailed(key, status):
                if (client := self._clients.get(key)) is not None:
                    client.fail(status)
            case AckReceived(request, _flow):
                ack_key = (request.call_id, request.from_.tag or "", request.cseq.number)
                if (waiting := self._acks.get(ack_key)) is not None:
                    waiting.take_ack(request)
            case CancelReceived(key, _cancel):
                if (server := self._servers.get(key)) is not None:
                    server.cancelled.set()
            case TransactionEnded(key):
                self._clients.pop(key, None)
                self._servers.pop(key, None)

    def _offer(self, exchange: ServerExchange) -> None:
        request = exchange.request
        self._servers[exchange.key] = exchange
        tag = request.to.tag
        channel: trio.MemorySendChannel[ServerExchange] | None = self._incoming_send
        if tag is not None:
            channel = self._dialogs.get((request.call_id, tag, request.from_.tag or ""))
        if channel is None:
            exchange.respond(make_response(request, 481))
            return
        try:
            channel.send_nowait(exchange)
        except (trio.WouldBlock, trio.BrokenResourceError):
            exchange.respond(make_response(request, 503, to_tag=self._chance.token(4), headers=[("Retry-After", "5")]))

    def _transmit(self, data: bytes, flow: Flow) -> None:
        if self.on_message_trace is not None:
            self.on_message_trace(data, flow, False)
        if flow.transport == "udp":
            sock = self._udp.get(flow.local)
            try:
                if sock is not None:
                    sock.sendto(data, flow.remote)
            except OSError as error:
                _log.debug("a message to %s was not sent: %s", flow, error)
        elif flow.transport == OVERLAY:
            if self._overlay_send is not None:
                self._overlay_send(flow.remote[0], data)
        elif self._tcp is not None and not self._tcp.send(data, flow):
            self._layer.flow_closed(flow, self._now())

    def _forget_client(self, exchange: ClientExchange) -> None:
        self._clients.pop(exchange.key, None)

    async def _serve_timers(self) -> None:
        while True:
            delay = self._deadline - self._now()
            if delay > 0:
                with trio.move_on_after(delay) as self._timer_scope:
                    await trio.sleep_forever()
                self._timer_scope = None
            else:
                await trio.lowlevel.checkpoint()
            if self._deadline <= self._now():
                self._layer.handle_timeout(self._now())
                self._deadline = math.inf
                self._pump()
