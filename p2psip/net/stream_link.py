"""One connection that carries datagrams: a reader, a writer with a short queue, and the reason why it ended.

Sending never waits. What does not fit into the queue is lost, as UDP loses it; what has waited for too long is voice that
nobody wants any more, and makes room. STUN is spared from the latter, for on streams nobody repeats it (RFC 8489 §6.2.2).
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.framing import StreamFramer

QUEUED_BYTES_MAX = 128 << 10
QUEUED_SECONDS_MAX = 1.0
BATCH_BYTES_MAX = 16 << 10
RECEIVE_BYTES = 32 << 10
FLUSH_SECONDS_MAX = 1.0
DEADLINE_GRAIN_SECONDS = 1.0

_FIRST_BYTE_OF_CHANNELS = 64
_OPTIONS = (
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", 15),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 15_000),
    ("TCP_NOTSENT_LOWAT", 32 << 10),
)

Peer = tuple[str, int, str]
"""The other side's IP address and port, and "tcp" or "tls"."""


@dataclass(slots=True)
class StreamCounters:
    """What all links together have seen."""

    accepted: int = 0
    refused: int = 0
    dialled: int = 0
    closed: int = 0
    received: int = 0
    sent: int = 0
    send_dropped: int = 0
    too_large: int = 0


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """Bounds of the links of a node; a source is an IPv4 /24 or an IPv6 /64."""

    links_max: int = 1_024
    links_per_source_max: int = 64
    dialled_max: int = 64
    first_seconds_max: float = 10.0
    idle_seconds_max: float = 700.0
    write_seconds_max: float = 10.0


@dataclass(slots=True, eq=False)
class StreamLink:
    """A connection after its handshakes. `address` is the one that stands for it in the node's port."""

    stream: trio.abc.Stream
    peer: Peer
    bounds: StreamBounds
    counters: StreamCounters
    is_dialled: bool = False
    address: Address = ("", 0)
    reason: str = ""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    _queued_bytes: int = 0
    _wake: trio.Event = field(default_factory=trio.Event)
    _is_ending: bool = False

    def send(self, datagram: bytes) -> None:
        """Queue one datagram, or drop and count it."""
        try:
            data = StreamFramer.frame(datagram)
        except LocalError:
            self.counters.send_dropped += 1
            return
        if self._queued_bytes + len(data) > QUEUED_BYTES_MAX or self._is_ending:
            self.counters.send_dropped += 1
            return
        self._queue.append((trio.current_time(), data))
        self._queued_bytes += len(data)
        self._wake.set()

    def finish(self, reason: str) -> None:
        """Close when what is queued has been sent, or soon anyhow."""
        self.reason = self.reason or reason
        self._is_ending = True
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + FLUSH_SECONDS_MAX)
        self._wake.set()

    async def run(self, receive: Callable[[bytes, Address], None], end_batch: Callable[[], None]) -> None:
        """Carry datagrams until either side closes; then `reason` tells why."""
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read(receive, end_batch)
                self.scope.cancel()
        self.reason = self.reason or "nothing was heard in time"

    async def _read(self, receive: Callable[[bytes, Address], None], end_batch: Callable[[], None]) -> None:
        framer, address = StreamFramer(), self.address
        try:
            while data := await self.stream.receive_some(RECEIVE_BYTES):
                framer.feed(data)
                count = 0
                while (datagram := framer.next()) is not None:
                    count += 1
                    receive(datagram, address)
                if count:
                    self._heard(count)
                    end_batch()
            self._end("the other side closed it")
        except (RemoteError, trio.BrokenResourceError) as error:
            self._end(str(error.__cause__ or error))
        finally:
            self.counters.too_large += framer.skipped

    def _heard(self, count: int) -> None:
        self.counters.received += count
        deadline = trio.current_time() + self.bounds.idle_seconds_max
        if abs(deadline - self.scope.deadline) > DEADLINE_GRAIN_SECONDS and not self._is_ending:
            self.scope.deadline = deadline

    async def _write(self) -> None:
        try:
            while self._queue or not self._is_ending:
                if self._queue:
                    data = self._next_batch(trio.current_time())
                    with trio.fail_after(self.bounds.write_seconds_max):
                        await self.stream.send_all(data)
                else:
                    self._wake = trio.Event()
                    await self._wake.wait()
        except trio.BrokenResourceError as error:
            self._end(str(error.__cause__ or error))
        except trio.TooSlowError:
            self._end("the other side does not read")
        self.scope.cancel()

    def _next_batch(self, now: float) -> bytes:
        batch: list[bytes] = []
        size, oldest = 0, now - QUEUED_SECONDS_MAX
        while self._queue and size < BATCH_BYTES_MAX:
            since, data = self._queue.popleft()
            self._queued_bytes -= len(data)
            if since < oldest and data[0] >= _FIRST_BYTE_OF_CHANNELS:
                self.counters.send_dropped += 1
                continue
            self.counters.sent += 1
            size += len(data)
            batch.append(data)
        return b"".join(batch)

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason


def tune(stream: trio.SocketStream) -> None:
    """No delay for small writes, little unsent in the kernel, and a dead peer noticed within half a minute."""
    with contextlib.suppress(OSError):  # a connection that is reset already; or an option that this system lacks
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                stream.setsockopt(socket.IPPROTO_TCP, option, value)
