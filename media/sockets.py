"""The data plane's loop towards phones: many UDP sockets in one epoll, drained by non-blocking calls, never an await per packet."""

import logging
import select
import socket
from collections.abc import Callable

import trio

from p2psip.base.core import Address

SOCKETS_MAX = 8_192
DATAGRAM_BYTES_MAX = 2_048
ROUNDS_MAX = 8

Receiver = Callable[[bytes, Address], None]

_log = logging.getLogger(__name__)


class SocketPlane:
    """Sockets and the plain functions that take their datagrams."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._receivers: dict[int, tuple[Callable[[int], tuple[bytes, Address]], Receiver]] = {}
        self.failed = 0

    def __len__(self) -> int:
        return len(self._receivers)

    def add(self, sock: socket.socket, receiver: Receiver) -> bool:
        """Watch a non-blocking socket; False when there are SOCKETS_MAX, or the loop has ended."""
        if len(self._receivers) >= SOCKETS_MAX or self._epoll.closed:
            return False
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._receivers[sock.fileno()] = (sock.recvfrom, receiver)
        return True

    def remove(self, sock: socket.socket) -> None:
        """Stop watching a socket, which must still be open."""
        if self._receivers.pop(sock.fileno(), None) is not None and not self._epoll.closed:
            self._epoll.unregister(sock.fileno())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the sockets stay their owners'."""
        task_status.started()
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self.drain()
        finally:
            self._epoll.close()

    def drain(self) -> None:
        """Take what waits now: a datagram from each socket that has one, for ROUNDS_MAX rounds at most.

        A phone sends a packet every 20 ms. To read each socket until it is empty would cost a second call for each packet.
        """
        receivers = self._receivers
        for _ in range(ROUNDS_MAX):
            events = self._epoll.poll(0)
            if not events:
                return
            for fileno, _event in events:
                found = receivers.get(fileno)
                if found is None:
                    continue
                receive, receiver = found
                try:
                    data, source = receive(DATAGRAM_BYTES_MAX)
                except OSError:  # an ICMP error of an earlier send, or a socket closed meanwhile
                    continue
                try:
                    receiver(data, source if len(source) == 2 else source[:2])
                except Exception:  # the driver loop is one of the two places that catch everything
                    self.failed += 1
                    _log.exception("a media datagram made its receiver fail")
