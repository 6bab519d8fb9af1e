"""The trio shell of SIP: sockets, the timer task, and requests as exchanges that a task can wait for."""

import logging
import math
import ssl
from collections.abc import Callable

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.connections import Door, StreamTransport
from p2psip.sip.dialog import DialogId
from p2psip.sip.dialog_table import DialogTable, Take
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
from p2psip.sip.sockets import UdpTransport
from p2psip.sip.ways import FLOW_FAILED, Successor, Ways

INCOMING_QUEUED_MAX = 1_024
TCP_INSTEAD_SECONDS_MAX = 1.0

_log = logging.getLogger(__name__)

OverlaySend = Callable[[str, bytes], bool]
_Receive = Callable[[bytes, Flow], None]
MakeUdp = Callable[[trio.Nursery, _Receive], UdpTransport]
MakeStreams = Callable[[trio.Nursery, _Receive, Callable[[Flow], None]], StreamTransport]


class SipService:
    """SIP over UDP, TCP, TLS and the overlay. New requests arrive on `incoming`; those of an open dialog on its own channel."""

    def __init__(
        self,
        now: Callable[[], float],
        chance: Chance,
        *,
        user_agent: str = "p2psip",
        udp: MakeUdp = UdpTransport,
        streams: MakeStreams = StreamTransport,
    ) -> None:
        self._now = now
        self._make_udp, self._make_streams = udp, streams
        self._layer = TransactionLayer(chance, server_name=user_agent)
        self._chance = chance
        self.user_agent = user_agent
        self._udp: UdpTransport | None = None
        self._streams: StreamTransport | None = None
        self._nursery: trio.Nursery | None = None
        self.ways = Ways()
        self._overlay_send: OverlaySend | None = None
        self._clients: dict[str, ClientExchange] = {}
        self._servers: dict[str, ServerExchange] = {}
        self._acks: dict[tuple[str, str, int], ServerExchange] = {}
        self._dialogs = DialogTable()
        self._closed_hooks: list[Callable[[Flow], None]] = []
        self._deadline = math.inf
        self._timer_scope: trio.CancelScope | None = None
        self._pumping = False
        self._incoming_send, self.incoming = trio.open_memory_channel[ServerExchange](INCOMING_QUEUED_MAX)
        self.on_message_trace: Callable[[bytes, Flow, bool], None] | None = None
        self._at_once: Callable[[ServerExchange], bool] | None = None
        self.gate: Callable[[bytes, Flow], bool] | None = None
        self.on_malformed: Callable[[Flow], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; call `listen_udp` and `listen_door` once it has started."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._udp = self._make_udp(nursery, self._receive)
                self._streams = self._make_streams(nursery, self._receive, self._flow_closed)
                nursery.start_soon(self._serve_timers)
                task_status.started()
        finally:
            if self._udp is not None:
                self._udp.close_all()

    async def listen_udp(self, host: str, port: int) -> Address:
        """Receive datagrams on (host, port); the address that is bound."""
        assert self._udp is not None
        return self._udp.listen(host, port)

    def close_udp(self, bound: Address) -> None:
        """Stop receiving on a socket of `listen_udp`."""
        assert self._udp is not None
        self._udp.close(bound)

    async def listen_tcp(self, host: str, port: int) -> Address:
        """Accept plain connections on (host, port); the address that is bound."""
        return await self.listen_door(host, port, Door("tcp"))

    async def listen_door(self, host: str, port: int, door: Door) -> Address:
        """Accept connections of the kind `door` on (host, port); the address that is bound."""
        assert self._streams is not None
        return await self._streams.listen(host, port, door)

    def answer_at_once(self, answer: Callable[[ServerExchange], bool]) -> None:
        """Offer new requests to `answer` before they are put on `incoming`; True when it has taken one."""
        self._at_once = answer

    def distrust(self, port: int) -> None:
        """What arrives at `port` of ours is of strangers: refusals over UDP are repeated but twice."""
        self._layer.public_ports.add(port)

    def attach_overlay(self, send: OverlaySend) -> None:
        """Let requests go over the overlay: `send(node_id_hex, message)`, False when that node cannot be told this."""
        self._overlay_send = send

    def receive_overlay(self, node_id: str, data: bytes) -> None:
        """A SIP message came from the node `node_id` (hex), whose certificate was verified."""
        self._receive(data, self.overlay_flow(node_id))

    def overlay_flow(self, node_id: str) -> Flow:
        """The flow to a node of the overlay."""
        return Flow(OVERLAY, ("overlay", 0), (node_id, 0))

    def follow_flows(self, successor: Successor) -> None:
        """Ask `successor` for another flow when one has failed (RFC 5626 §5.3)."""
        self.ways.successor = successor

    def watch_flow(self, flow: Flow, seconds: float) -> None:
        """Close the connection of `flow` when nothing comes over it for `seconds` (RFC 5626 §4.4.1): a phone is dead then."""
        if self._streams is not None:
            self._streams.expect_within(flow, seconds)

    async def connect(
        self, transport: str, remote: Address, *, host: str = "", context: ssl.SSLContext | None = None
    ) -> Flow:
        """A flow to `remote`: UDP from our first socket of its family, or a connection; RemoteError(503) if none.

        Over "tls" the certificate must be one of `host` (RFC 5922) and be trusted by `context`, by default by the machine
        (`p2psip.sip.tls.trusting_context` makes others); the words of the error say what was wrong with it.
        """
        if transport == "udp":
            assert self._udp is not None
            return self._udp.flow(remote)
        assert self._streams is not None
        return await self._streams.connect(remote, transport, host=host, context=context)

    def is_dialled(self, flow: Flow) -> bool:
        """Whether `flow` is a connection of `connect`, and not one that came in."""
        return self._streams is not None and self._streams.is_dialled(flow)

    def instead_of(self, flow: Flow) -> Flow | None:
        """The UDP flow in whose place this node has dialled the connection `flow`; None for every other flow."""
        return self.ways.instead_of(flow)

    def start(self, request: Request, flow: Flow) -> ClientExchange:
        """Send `request` (a Via is added); its responses come from the exchange."""
        exchange = ClientExchange(request, flow, self)
        if self._nursery is not None and self.ways.wants_tcp(request, flow, self._now()):
            self._nursery.start_soon(self._start_over_tcp, exchange)
        else:
            self.repeat(exchange, request)
        return exchange

    def open_dialog(self, dialog_id: DialogId) -> trio.MemoryReceiveChannel[ServerExchange]:
        """Requests of the peer in this dialog, from now on; close it with `close_dialog`.

        With an empty remote tag: of whoever answers our request, as a NOTIFY that overtakes the answer to SUBSCRIBE.
        """
        return self._dialogs.open(dialog_id)

    def serve_dialog(self, dialog_id: DialogId, take: Take) -> None:
        """Give each request of the peer in this dialog to `take`, from now on; close it with `close_dialog`."""
        self._dialogs.serve(dialog_id, take)

    def close_dialog(self, dialog_id: DialogId) -> None:
        """Forget a dialog; requests in it that nobody took, and later ones, get 481."""
        self._dialogs.close(dialog_id)

    def on_flow_closed(self, hook: Callable[[Flow], None]) -> None:
        """Call `hook(flow)` when a connection has ended."""
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
        if response.status >= 200:
            self._servers.pop(key, None)  # too late for a CANCEL
        self._pump()

    def send_again(self, wire: bytes, flow: Flow) -> None:
        """Send bytes as they are."""
        self._layer.send_again(wire, flow)
        self._pump()

    def cancel(self, key: str) -> None:
        """CANCEL an INVITE."""
        self._layer.cancel(key, self._now())
        self._pump()

    def repeat(self, exchange: ClientExchange, request: Request) -> None:
        """Send `request`, over the exchange's flow, in the place of the one before."""
        self._clients.pop(exchange.key, None)
        exchange.request = request
        exchange.key = self._layer.request(request, exchange.flow, self._now())
        self._clients[exchange.key] = exchange
        self._pump()

    def forget(self, exchange: ClientExchange) -> None:
        """Drop the responses that are still to come."""
        self._clients.pop(exchange.key, None)

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

    def _receive(self, data: bytes, flow: Flow) -> None:
        if not data.strip(b"\r\n\0"):
            return  # a keep-alive (RFC 5626 §3.5.1); over UDP it wants no answer
        if self.on_message_trace is not None:
            self.on_message_trace(data, flow, True)
        try:
            if self.gate is not None and not self.gate(data, flow):
                return
            malformed = self._layer.malformed
            self._layer.receive(data, flow, self._now())
            if self.on_malformed is not None and self._layer.malformed != malformed:
                self.on_malformed(flow)
            self._pump()
        except Exception:  # the driver loop is one of the two places that catch everything
            _log.exception("a message of %d bytes over %s made the SIP layer fail", len(data), flow)

    def _flow_closed(self, flow: Flow) -> None:
        self.ways.forget(flow)
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
                client = self._clients.get(key)
                if client is not None and not (response.status == FLOW_FAILED and self._go_another_way(client)):
                    client.feed(response)
            case TransactionFailed(key, status):
                client = self._clients.get(key)
                if client is not None and not (status == 503 and self._go_another_way(client)):
                    client.fail(status)
            case AckReceived(request, flow):
                ack_key = (request.call_id, request.from_.tag or "", request.cseq.number)
                if (waiting := self._acks.get(ack_key)) is not None and _may_speak_for(flow, waiting.flow):
                    waiting.take_ack(request)
            case CancelReceived(key, cancel):
                if (server := self._servers.get(key)) is not None:
                    server.cancel(cancel.headers.get("Reason"))
            case TransactionEnded(key):
                self._clients.pop(key, None)
                self._servers.pop(key, None)

    def _offer(self, exchange: ServerExchange) -> None:
        request = exchange.request
        if request.method == "INVITE":
            self._servers[exchange.key] = exchange  # for CANCEL
        tag = request.to.tag
        if tag is None and self._at_once is not None and self._at_once(exchange):
            return
        take = self._incoming_send.send_nowait if tag is None else self._dialogs.taker(request, tag)
        if take is None:
            exchange.respond(make_response(request, 481))
            return
        try:
            take(exchange)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            exchange.respond(make_response(request, 503, to_tag=self._chance.token(4), headers=[("Retry-After", "5")]))

    def _transmit(self, data: bytes, flow: Flow) -> None:
        if self.on_message_trace is not None:
            self.on_message_trace(data, flow, False)
        if flow.transport == OVERLAY:
            is_sent = self._overlay_send is not None and self._overlay_send(flow.remote[0], data)
        else:
            transport = self._udp if flow.transport == "udp" else self._streams
            is_sent = transport is not None and transport.send(data, flow)
        if not is_sent:
            self._layer.flow_closed(flow, self._now())

    def _go_another_way(self, client: ClientExchange) -> bool:
        again = self.ways.next_request(client)
        if again is not None:
            self.repeat(client, again)
        return again is not None

    async def _start_over_tcp(self, exchange: ClientExchange) -> None:
        """RFC 3261 §18.1.1: what is too large for a datagram goes over TCP, and over UDP where there is none."""
        udp = exchange.flow
        try:
            with trio.fail_after(TCP_INSTEAD_SECONDS_MAX):
                exchange.flow = await self.connect("tcp", udp.remote)
            exchange.fallback = udp
            self.ways.note_instead(exchange.flow, udp)
        except (RemoteError, trio.TooSlowError):
            self.ways.note_without_tcp(udp.remote, self._now())
        if exchange.is_cancelled:
            exchange.fail(487)
        else:
            self.repeat(exchange, exchange.request)

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


def _may_speak_for(flow: Flow, first: Flow) -> bool:
    """Whether what comes over `flow` may belong to a call from `first`: a node only for itself, phones may move."""
    if OVERLAY in (flow.transport, first.transport):
        return (flow.transport, flow.remote) == (first.transport, first.remote)
    return True
