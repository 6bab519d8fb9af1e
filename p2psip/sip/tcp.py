"""TCP connections that carry SIP: framing, keep-alives, bounds, and a word when one ends."""

import logging
from collections.abc import Callable
from itertools import count

import trio

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.framing import PONG, StreamFramer

CONNECTIONS_MAX = 1_024
CONNECTIONS_PER_HOST_MAX = 256
IDLE_SECONDS_MAX = 3_700.0
MESSAGE_SECONDS_MAX = 32.0
WRITE_SECONDS_MAX = 32.0
QUEUED_MESSAGES_MAX = 256
RECEIVE_BYTES = 16_384
CONNECT_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


class TcpTransport:
    """All TCP connections of one SIP service, accepted and dialled."""

    def __init__(
        self, nursery: trio.Nursery, on_message: Callable[[bytes, Flow], None], on_closed: Callable[[Flow], None]
    ) -> None:
        self._nursery = nursery
        self._on_message = on_message
        self._on_closed = on_closed
        self._queues: dict[Flow, tuple[trio.MemorySendChannel[bytes], trio.CancelScope]] = {}
        self._serials = count(1)

    async def listen(self, host: str, port: int) -> Address:
        """Accept connections on (host, port); the address that is bound. OSError words say which one failed."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise OSError(error.errno, f"cannot use TCP {host} port {port}: {error.strerror}") from error
        self._nursery.start_soon(self._accept_forever, listeners)
        bound: Address = listeners[0].socket.getsockname()[:2]
        return bound

    async def connect(self, remote: Address) -> Flow:
        """A flow to `remote`, by a connection that is open already or a new one; RemoteError(503) when there is none."""
        for flow in self._queues:
            if flow.remote == remote:
                return flow
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                stream = await trio.open_tcp_stream(*remote)
        except (OSError, trio.TooSlowError) as error:
            raise RemoteError(f"no TCP connection to {remote[0]} port {remote[1]}", status=503) from error
        assert isinstance(stream, trio.SocketStream)
        found = await self._open(stream)
        if found is None:
            raise RemoteError(f"the TCP connection to {remote[0]} port {remote[1]} was lost at once", status=503)
        return await self._nursery.start(self._serve, stream, found)  # type: ignore[no-any-return]

    def send(self, data: bytes, flow: Flow) -> bool:
        """Queue one message; False when the connection is gone. One whose queue is full is closed: its peer does not read."""
        queue, scope = self._queues.get(flow, (None, None))
        if queue is None or scope is None:
            return False
        try:
            queue.send_nowait(data)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()
            return False
        return True

    async def _accept_forever(self, listeners: list[trio.SocketListener]) -> None:
        await trio.serve_listeners(self._accept, listeners, handler_nursery=self._nursery)

    async def _accept(self, stream: trio.SocketStream) -> None:
        flow = await self._open(stream)
        if flow is None:
            return
        same = sum(1 for each in self._queues if each.remote[0] == flow.remote[0])
        if len(self._queues) >= CONNECTIONS_MAX or same >= CONNECTIONS_PER_HOST_MAX:
            _log.warning("a TCP connection from %s is refused: too many at once", flow.remote[0])
            await stream.aclose()
            return
        await self._serve(stream, flow)

    async def _open(self, stream: trio.SocketStream) -> Flow | None:
        """The flow of a new connection; None when its peer has reset it already."""
        try:
            local, remote = stream.socket.getsockname()[:2], stream.socket.getpeername()[:2]
        except OSError:
            await stream.aclose()
            return None
        return Flow("tcp", local, remote, next(self._serials))

    async def _serve(
        self, stream: trio.SocketStream, flow: Flow, *, task_status: trio.TaskStatus[Flow] = trio.TASK_STATUS_IGNORED
    ) -> None:
        send, receive = trio.open_memory_channel[bytes](QUEUED_MESSAGES_MAX)
        try:
            async with stream, trio.open_nursery() as nursery:
                self._queues[flow] = send, nursery.cancel_scope
                task_status.started(flow)
                nursery.start_soon(self._write, stream, flow, receive, nursery.cancel_scope)
                await self._read(stream, flow, send)
                nursery.cancel_scope.cancel()
        finally:
            if self._queues.pop(flow, None) is not None:
                self._on_closed(flow)

    async def _read(self, stream: trio.SocketStream, flow: Flow, send: trio.MemorySendChannel[bytes]) -> None:
        framer = _Framer()
        deadline = trio.current_time() + IDLE_SECONDS_MAX
        try:
            while True:
                with trio.fail_at(deadline):
                    data = await stream.receive_some(RECEIVE_BYTES)
                if not data:
                    return
                was_unfinished = framer.is_unfinished
                framer.feed(data)
                while (message := framer.next_message()) is not None:
                    was_unfinished = False
                    self._on_message(message, flow)
                while framer.pings:
                    framer.pings -= 1
                    send.send_nowait(PONG)
                if not framer.is_unfinished:
                    deadline = trio.current_time() + IDLE_SECONDS_MAX
                elif not was_unfinished:
                    deadline = trio.current_time() + MESSAGE_SECONDS_MAX
        except (SipSyntaxError, trio.BrokenResourceError, trio.TooSlowError, trio.WouldBlock) as error:
            _log.info("the connection %s is closed: %s", flow, error or type(error).__name__)

    async def _write(
        self, stream: trio.SocketStream, flow: Flow, queue: trio.MemoryReceiveChannel[bytes], scope: trio.CancelScope
    ) -> None:
        try:
            async for data in queue:
                with trio.fail_after(WRITE_SECONDS_MAX):
                    await stream.send_all(data)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            _log.info("the connection %s is closed: %s", flow, error or type(error).__name__)
            scope.cancel()


class _Framer(StreamFramer):
    """One that says whether it waits for the rest of a message."""

    __slots__ = ()

    @property
    def is_unfinished(self) -> bool:
        return bool(self._buffer[:4].strip(b"\r\n"))
