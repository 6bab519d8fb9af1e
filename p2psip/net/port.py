"""The node's one UDP port: overlay frames, STUN, DTLS, SRTP and TURN channels, told apart by the first byte (RFC 7983).

One socket per address family, all with the same number. A task per socket drains it by non-blocking calls, in batches when it is
busy; receivers are plain functions in a table of 256 entries, so that a packet never costs an `await`.
"""

import contextlib
import errno
import ipaddress
import itertools
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError
from p2psip.net.batch import BATCH_DATAGRAMS_MAX, DATAGRAM_BYTES_MAX, BatchReceiver
from p2psip.net.draining import drain_forever

Receiver = Callable[[bytes, Address], None]

BATCHES_MAX = 4
WAKES_PER_LOOK = 8
SOCKET_BUFFER_BYTES = 4 << 20
BIND_ATTEMPTS_MAX = 16
STREAM_PREFIX = int(ipaddress.IPv6Address("100::"))

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PortCounters:
    """What the port has seen since it was bound."""

    received: int = 0
    unroutable: int = 0
    send_dropped: int = 0
    failed: int = 0


class NodePort:
    """Sockets of one port number, a first-byte table of receivers, and a non-blocking `send`."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        self._by_family = {sock.family: sock for sock in self._sockets}
        self._v4 = self._by_family.get(socket.AF_INET)
        self._v6 = self._by_family.get(socket.AF_INET6)
        self._table: list[Receiver] = [self._unroutable] * 256
        self._batch_hooks: list[Callable[[], None]] = []
        self._has_bursts = False
        self._wakes = 0
        self.gathers = False  # a relay lets datagrams gather under load; for the bridging of calls that does not pay
        self._stream_numbers = itertools.count(1)
        self.streams: dict[Address, Callable[[bytes], None]] = {}
        self.counters = PortCounters()
        self.local: tuple[Address, ...] = tuple(sock.getsockname()[:2] for sock in self._sockets)

    @classmethod
    def bind(cls, hosts: Sequence[str], port: int) -> "NodePort":
        """Bind `port` (0: any free one, the same for all) on each of `hosts`; OSError words say which one failed."""
        for _attempt in range(BIND_ATTEMPTS_MAX if port == 0 else 1):
            sockets: list[socket.socket] = []
            try:
                for host in hosts:
                    number = port or (sockets[0].getsockname()[1] if sockets else 0)
                    sockets.append(open_udp((host, number)))
                return cls(sockets)
            except OSError as error:
                for sock in sockets:
                    sock.close()
                if error.errno != errno.EADDRINUSE or port != 0:
                    raise
        raise LocalError("no UDP port number is free on all of the wanted addresses")

    @property
    def number(self) -> int:
        """The port number."""
        return int(self.local[0][1])

    def route(self, first: int, last: int, receiver: Receiver) -> None:
        """Give datagrams whose first byte is in [first, last] to `receiver(data, source)`."""
        self._table[first : last + 1] = [receiver] * (last - first + 1)

    def on_batch_end(self, hook: Callable[[], None]) -> None:
        """Call `hook` after each drained batch of datagrams (to flush what they have caused)."""
        self._batch_hooks.append(hook)

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram without waiting; what the kernel does not take is dropped and counted, as UDP may."""
        if ":" in destination[0]:
            sock = self._v6
            if is_synthetic(destination[0]):
                return self._send_on_stream(data, destination)
        else:
            sock = self._v4
        try:
            if sock is None:
                self.counters.send_dropped += 1
            else:
                sock.sendto(data, destination)
        except (OSError, OverflowError):
            self.counters.send_dropped += 1

    def send_from_elsewhere(self, data: bytes, destination: Address) -> None:
        """Send one datagram from a throw-away socket: from the host of this port, but another port (RFC 5780 §7.2)."""
        host = next((host for host, _port in self.local if (":" in host) == (":" in destination[0])), None)
        if host is None or is_synthetic(destination[0]):
            return
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError, OverflowError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind((host, 0))
            sock.sendto(data, destination)

    def add_stream(self, send: Callable[[bytes], None]) -> Address:
        """A new address that stands for a stream: what is sent to it goes to `send`, until `remove_stream`."""
        address = (str(ipaddress.IPv6Address(STREAM_PREFIX + next(self._stream_numbers))), 1)
        self.streams[address] = send
        return address

    def remove_stream(self, address: Address) -> None:
        """Forget a stream; the address is never used again."""
        self.streams.pop(address, None)

    def deliver(self, data: bytes, source: Address, receiver: Receiver | None = None) -> None:
        """Give a datagram that came otherwise than by UDP to its receiver of the table, or to `receiver`; then `end_batch`."""
        if data:
            self.counters.received += 1
            self._deliver(receiver or self._table[data[0]], data, source)

    def end_batch(self) -> None:
        """Tell everybody that no more datagrams have come at this moment."""
        for hook in self._batch_hooks:
            hook()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive until cancelled; closes the sockets at the end."""
        try:
            async with trio.open_nursery() as nursery:
                for sock in self._sockets:
                    nursery.start_soon(self._drain_forever, sock)
                task_status.started()
        finally:
            self.close()

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    async def _drain_forever(self, sock: socket.socket) -> None:
        batch = BatchReceiver(sock.family)
        await drain_forever(sock, lambda is_busy: self._drain(sock, batch, is_busy), gathers=lambda: self.gathers)

    def _drain(self, sock: socket.socket, batch: BatchReceiver, is_busy: bool) -> int:
        """Read what is there. An idle port reads once, for to learn that nothing more has come costs a call; now and then
        it looks whether bursts come.
        """
        self._wakes += 1
        if is_busy or self._has_bursts or self._wakes % WAKES_PER_LOOK == 0:
            count = self._drain_all(sock, batch)
            self._has_bursts = count > 1
        else:
            count = self._drain_one(sock)
        self.end_batch()
        return count

    def _drain_one(self, sock: socket.socket) -> int:
        try:
            data, source = sock.recvfrom(DATAGRAM_BYTES_MAX + 1)
        except OSError:  # an ICMP error of an earlier send; the socket itself is well
            return 0
        if 0 < len(data) <= DATAGRAM_BYTES_MAX:
            self.counters.received += 1
            self._deliver(self._table[data[0]], data, source if len(source) == 2 else source[:2])
        return 1

    def _drain_all(self, sock: socket.socket, batch: BatchReceiver) -> int:
        table, deliver, counters, total = self._table, self._deliver, self.counters, 0
        for _ in range(BATCHES_MAX):
            try:
                found = batch.receive(sock)
            except OSError:
                continue
            for data, source in found:
                if data:
                    counters.received += 1
                    deliver(table[data[0]], data, source)
            total += len(found)
            if len(found) < BATCH_DATAGRAMS_MAX:
                break
        return total

    def _send_on_stream(self, data: bytes, destination: Address) -> None:
        send = self.streams.get(destination)
        if send is None:
            self.counters.send_dropped += 1
        else:
            send(data)

    def _deliver(self, receiver: Receiver, data: bytes, source: Address) -> None:
        try:
            receiver(data, source)
        except Exception:  # the driver loop is one of the two places that catch everything
            self.counters.failed += 1
            _log.exception("a datagram of %d bytes from %s made its receiver fail", len(data), source)

    def _unroutable(self, _data: bytes, _source: Address) -> None:
        self.counters.unroutable += 1


def open_udp(address: Address) -> socket.socket:
    """A bound, non-blocking UDP socket with large buffers; IPv6 sockets take IPv6 only."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot use UDP {address[0]} port {address[1]}: {error.strerror}") from error
    return sock
