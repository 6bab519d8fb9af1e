"""Connections that carry SIP (TCP, TLS, WebSockets): framing, keep-alives, bounds, and a word when one ends."""

import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import trio

from p2psip.base.core import Address, host_key
from p2psip.base.errors import RemoteError
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.framing import Framing, StreamFramer
from p2psip.sip.tls import TLS_FIRST_BYTE, accept, secure, trusting_context
from p2psip.sip.websocket import WebSocketFraming

CONNECTIONS_MAX = 1_024
CONNECTIONS_PER_HOST_MAX = 256
PUBLIC_CONNECTIONS_MAX = 256
PUBLIC_CONNECTIONS_PER_HOST_MAX = 16
"""Apart from those of phones, for the open world never to lock phones out; networks of IPv6 are one host there."""
DIALLED_MAX = 512
IDLE_SECONDS_MAX = 3_700.0
STRANGER_IDLE_SECONDS_MAX = 600.0
MESSAGE_SECONDS_MAX = 32.0
WRITE_SECONDS_MAX = 32.0
HANDSHAKE_SECONDS_MAX = 10.0
FIRST_SECONDS_MAX = 32.0
CLOSE_SECONDS_MAX = 1.0
QUEUED_MESSAGES_MAX = 256
RECEIVE_BYTES = 16_384
CONNECT_SECONDS_MAX = 5.0
COMPLAINTS_MAX = 256

_log = logging.getLogger(__name__)

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True, slots=True)
class Door:
    """What is spoken on a port that we listen on: "tcp", "tls", "ws" or "wss". TLS needs a `context`.

    One for the open world has `accepts`, which is asked whether a host may connect.
    """

    transport: str = "tcp"
    context: ssl.SSLContext | None = None
    accepts: Callable[[str], bool] | None = None


@dataclass(slots=True)
class _Connection:
    """One open connection, which is idle for so long at most.

    `proved` is what a TLS one was dialled with: the name in its certificate, and whom we trust.
    """

    framing: Framing
    queue: trio.MemorySendChannel[bytes]
    scope: trio.CancelScope
    reading: trio.CancelScope = field(default_factory=trio.CancelScope)
    idle_seconds: float = STRANGER_IDLE_SECONDS_MAX
    proved: tuple[str, ssl.SSLContext | None] | None = None
    is_dialled: bool = False


class StreamTransport:
    """All connections of one SIP service, accepted and dialled."""

    def __init__(
        self, nursery: trio.Nursery, on_message: Callable[[bytes, Flow], None], on_closed: Callable[[Flow], None]
    ) -> None:
        self._nursery = nursery
        self._on_message = on_message
        self._on_closed = on_closed
        self._connections: dict[Flow, _Connection] = {}
        self._accepted: Counter[str] = Counter()
        self._accepted_in_public: Counter[str] = Counter()
        self._dialling = 0
        self._serials = count(1)
        self._trusting: ssl.SSLContext | None = None
        self._complaints: set[tuple[str, str]] = set()

    async def listen(self, host: str, port: int, door: Door | None = None) -> Address:
        """Accept connections on (host, port); the address that is bound. OSError words say which one failed."""
        door = door or Door()
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise OSError(error.errno, f"cannot use TCP {host} port {port}: {error.strerror}") from error
        self._nursery.start_soon(self._accept_forever, listeners, door)
        bound: Address = listeners[0].socket.getsockname()[:2]
        return bound

    async def connect(
        self, remote: Address, transport: str = "tcp", *, host: str = "", context: ssl.SSLContext | None = None
    ) -> Flow:
        """A flow to `remote`, by a connection that is open already or a new one; RemoteError(503) when there is none.

        Over "tls" the certificate must be one of `host` (default: the address itself) and be trusted by `context`
        (default: the authorities of the machine); a connection is shared by those who ask for the same proof.
        """
        proof = None
        if transport == "tls":
            proof = (host or remote[0]).lower(), context or self._authorities()
        elif transport != "tcp":
            raise RemoteError(f"nobody can be called over {transport}: such connections come from phones", status=503)
        for flow, connection in self._connections.items():
            if flow.remote == remote and flow.transport == transport and connection.proved == proof:
                return flow
        if self._dialling + sum(each.is_dialled for each in self._connections.values()) >= DIALLED_MAX:
            raise RemoteError("this node has dialled as many connections as it may", status=503)
        self._dialling += 1
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                stream = await self._dial(remote, proof)
        except (OSError, trio.TooSlowError) as error:
            name = transport.upper()
            raise RemoteError(f"no {name} connection to {remote[0]} port {remote[1]}", status=503) from error
        finally:
            self._dialling -= 1
        ends = _ends(stream)
        if ends is None:
            await trio.aclose_forcefully(stream)
            raise RemoteError(f"the connection to {remote[0]} port {remote[1]} was lost at once", status=503)
        flow = Flow(transport, *ends, next(self._serials))
        return await self._nursery.start(self._serve, stream, flow, True, proof)  # type: ignore[no-any-return]

    def send(self, data: bytes, flow: Flow) -> bool:
        """Queue one message; False when the connection is gone. One whose queue is full is closed: its peer does not read."""
        connection = self._connections.get(flow)
        if connection is None:
            return False
        return _put(connection, connection.framing.encode(data))

    def is_dialled(self, flow: Flow) -> bool:
        """Whether `flow` is an open connection that we have dialled."""
        connection = self._connections.get(flow)
        return connection is not None and connection.is_dialled

    def expect_within(self, flow: Flow, seconds: float) -> None:
        """From now on, close the connection of `flow` when nothing comes over it for `seconds` (IDLE_SECONDS_MAX at most)."""
        connection = self._connections.get(flow)
        if connection is not None:
            connection.idle_seconds = min(seconds, IDLE_SECONDS_MAX)
            connection.reading.deadline = trio.current_time() + connection.idle_seconds

    def _authorities(self) -> ssl.SSLContext:
        self._trusting = self._trusting or trusting_context()
        return self._trusting

    async def _dial(self, remote: Address, proof: tuple[str, ssl.SSLContext] | None) -> Stream:
        stream = await trio.open_tcp_stream(*remote)
        assert isinstance(stream, trio.SocketStream)
        if proof is None:
            return stream
        host, context = proof
        try:
            return await secure(stream, context, host)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _accept_forever(self, listeners: list[trio.SocketListener], door: Door) -> None:
        async def accept_one(stream: trio.SocketStream) -> None:
            await self._accept(stream, door)

        await trio.serve_listeners(accept_one, listeners, handler_nursery=self._nursery)

    async def _accept(self, stream: trio.SocketStream, door: Door) -> None:
        ends = _ends(stream)
        if ends is None:
            await stream.aclose()
            return
        flow = Flow(door.transport, *ends, next(self._serials))
        host, accepted = flow.remote[0], self._accepted
        of_all, of_host = CONNECTIONS_MAX, CONNECTIONS_PER_HOST_MAX
        if door.accepts is not None:
            if not door.accepts(host):
                await trio.aclose_forcefully(stream)
                return
            host, accepted = host_key(host), self._accepted_in_public
            of_all, of_host = PUBLIC_CONNECTIONS_MAX, PUBLIC_CONNECTIONS_PER_HOST_MAX
        if accepted.total() >= of_all or accepted[host] >= of_host:
            self._complain(flow, "there are too many at once")
            await stream.aclose()
            return
        accepted[host] += 1
        try:
            found = stream if door.context is None else await self._greet(stream, door.context, flow)
            if found is not None:
                await self._serve(found, flow)
        finally:
            accepted[host] -= 1
            if not accepted[host]:
                del accepted[host]
            await trio.aclose_forcefully(stream)

    async def _greet(self, stream: trio.SocketStream, context: ssl.SSLContext, flow: Flow) -> Stream | None:
        """The TLS handshake with who has connected; None when it fails."""
        words = "TLS was not set up in time"
        with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
            try:
                first = await stream.socket.recv(1, socket.MSG_PEEK)
                if first == TLS_FIRST_BYTE:
                    return await accept(stream, context)
                words = "it speaks without TLS on the port for TLS" if first else ""
            except OSError:
                words = ""
            except RemoteError as error:
                words = str(error)
        if words:
            self._complain(flow, words)
        return None

    async def _serve(
        self,
        stream: Stream,
        flow: Flow,
        is_dialled: bool = False,
        proved: tuple[str, ssl.SSLContext | None] | None = None,
        *,
        task_status: trio.TaskStatus[Flow] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        send, receive = trio.open_memory_channel[bytes](QUEUED_MESSAGES_MAX)
        try:
            async with trio.open_nursery() as nursery:
                framing = WebSocketFraming() if flow.transport in ("ws", "wss") else StreamFramer()
                connection = _Connection(framing, send, nursery.cancel_scope, proved=proved, is_dialled=is_dialled)
                connection.idle_seconds = IDLE_SECONDS_MAX if is_dialled else STRANGER_IDLE_SECONDS_MAX
                self._connections[flow] = connection
                task_status.started(flow)
                nursery.start_soon(self._write, stream, flow, receive, nursery.cancel_scope)
                await self._read(stream, flow, connection)
                send.close()  # what is queued still goes out, to a peer that reads
                nursery.cancel_scope.deadline = trio.current_time() + CLOSE_SECONDS_MAX
        finally:
            if self._connections.pop(flow, None) is not None:
                self._on_closed(flow)
            with trio.move_on_after(CLOSE_SECONDS_MAX):  # TLS says goodbye, to a peer that may not read
                await stream.aclose()

    async def _read(self, stream: Stream, flow: Flow, connection: _Connection) -> None:
        framing = connection.framing
        deadline = trio.current_time() + _first_seconds(connection)
        is_first = True
        try:
            while True:
                with trio.CancelScope(deadline=deadline) as connection.reading:
                    data = await stream.receive_some(RECEIVE_BYTES)
                if connection.reading.cancelled_caught:
                    raise trio.TooSlowError("nothing has come for too long")
                if not data:
                    return
                if is_first and flow.transport in ("tcp", "ws") and data.startswith(TLS_FIRST_BYTE):
                    self._complain(flow, f"it speaks TLS on the port for {flow.transport.upper()}, which has none")
                    return
                is_first, was_unfinished = False, framing.is_unfinished
                framing.feed(bytes(data))
                if (answer := framing.replies()) and not _put(connection, answer):
                    return
                while (message := framing.next_message()) is not None:
                    was_unfinished = False
                    self._on_message(message, flow)
                if (answer := framing.replies()) and not _put(connection, answer):
                    return
                if not framing.is_unfinished:
                    deadline = trio.current_time() + connection.idle_seconds
                elif not was_unfinished:
                    deadline = trio.current_time() + MESSAGE_SECONDS_MAX
        except (SipSyntaxError, trio.BrokenResourceError, trio.TooSlowError) as error:
            _log.info("the connection %s is closed: %s", flow, error or type(error).__name__)

    async def _write(
        self, stream: Stream, flow: Flow, queue: trio.MemoryReceiveChannel[bytes], scope: trio.CancelScope
    ) -> None:
        try:
            async for data in queue:
                with trio.fail_after(WRITE_SECONDS_MAX):
                    await stream.send_all(data)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            _log.info("the connection %s is closed: %s", flow, error or type(error).__name__)
            scope.cancel()

    def _complain(self, flow: Flow, words: str) -> None:
        """Once for each host and reason: a phone that is set up wrongly tries again for ever."""
        complaint = flow.remote[0], words
        if complaint not in self._complaints and len(self._complaints) < COMPLAINTS_MAX:
            self._complaints.add(complaint)
            _log.warning("no connection for %s from %s: %s", flow.transport.upper(), flow.remote[0], words)


def _put(connection: _Connection, data: bytes) -> bool:
    """Queue bytes; a connection whose queue is full is closed."""
    try:
        connection.queue.send_nowait(data)
    except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
        connection.scope.cancel()
        return False
    return True


def _first_seconds(connection: _Connection) -> float:
    """How long a connection may take for its first message: one that we dialled has nothing to say before we ask."""
    if connection.framing.is_unfinished:
        return HANDSHAKE_SECONDS_MAX
    return IDLE_SECONDS_MAX if connection.is_dialled else FIRST_SECONDS_MAX


def _ends(stream: Stream) -> tuple[Address, Address] | None:
    """Our address and the peer's; None when the peer has reset the connection already."""
    plain = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
    try:
        return plain.socket.getsockname()[:2], plain.socket.getpeername()[:2]
    except OSError:
        return None
