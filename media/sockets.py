"""The data plane's loop towards phones: many UDP sockets in one epoll, drained by non-blocking calls, never an await per packet."""

import logging
import select
import socket
from collections.abc import Callable

import trio

from p2psip.base.core import Address

SOCKETS_MAX = 8_192
DATAGRAM_BYTES_MAX = 2_048
DATAGRAMS_PER_SOCKET_MAX = 32

Receiver = Callable[[bytes, Address], None]

_log = logging.getLogger(__name__)


class SocketPlane:
    """Sockets and the plain functions that take their datagrams."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._receivers: dict[int, tuple[socket.socket, Receiver]] = {}
        self.failed = 0

    def __len__(self) -> int:
        return len(self._receivers)

    def add(self, sock: socket.socket, receiver: Receiver) -> bool:
        """Watch a non-blocking socket; False when there are SOCKETS_MAX."""
        if len(self._receivers) >= SOCKETS_MAX:
            return False
        self._receivers[sock.fileno()] = (sock, receiver)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return True

    def remove(self, sock: socket.socket) -> None:
        """Stop watching a socket, which must still be open."""
        if self._receivers.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self.drain()
                await trio.lowlevel.checkpoint()
        finally:
            self._epoll.close()

    def drain(self) -> None:
        """Take all that waits now, a bounded number of datagrams from each socket."""
        for fileno, _events in self._epoll.poll(0):
            found = self._receivers.get(fileno)
            if found is None:
                continue
            sock, receiver = found
            try:
                for _ in range(DATAGRAMS_PER_SOCKET_MAX):
                    data, source = sock.recvfrom(DATAGRAM_BYTES_MAX)
                    receiver(data, source)
            except BlockingIOError:
                continue
            except OSError:  # an ICMP error of an earlier send, or a socket closed meanwhile
                continue
            except Exception:  # the driver loop is one of the two places that catch everything
                self.failed += 1
                _log.exception("a media datagram made its receiver fail")
