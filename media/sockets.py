"""The data plane's loop towards phones: many UDP sockets in one epoll, drained by non-blocking calls, never an await per packet."""

import errno
import logging
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

import trio

from p2psip.base.core import Address

SOCKETS_MAX = 8_192
DATAGRAM_BYTES_MAX = 2_048
ROUNDS_MAX = 8
ERRORS_MAX = 64

Receiver = Callable[[bytes, Address], None]
_ReceiveMessage = Callable[[int, int, int], tuple[bytes, list[tuple[int, int, bytes]], int, Any]]

_IP_RECVERR, _IPV6_RECVERR, _MSG_ERRQUEUE = 11, 25, 0x2000  # linux/in.h, linux/in6.h, linux/socket.h
_ERROR_BYTES = 512
_REFUSED = errno.ECONNREFUSED.to_bytes(4, sys.byteorder)

_log = logging.getLogger(__name__)


class SocketPlane:
    """Sockets and the plain functions that take their datagrams."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._receivers: dict[int, tuple[Callable[[int], tuple[bytes, Address]], Receiver]] = {}
        self._refused: dict[int, tuple[_ReceiveMessage, Callable[[int], None]]] = {}
        self.failed = 0

    def __len__(self) -> int:
        return len(self._receivers)

    def add(self, sock: socket.socket, receiver: Receiver, refused: Callable[[int], None] | None = None) -> bool:
        """Watch a non-blocking socket; False when there are SOCKETS_MAX, or the loop has ended.

        `refused` is told how often somebody has answered that nobody listens where this socket sends to (ICMP).
        """
        if len(self._receivers) >= SOCKETS_MAX or self._epoll.closed:
            return False
        if refused is not None:
            level, option = (socket.IPPROTO_IPV6, _IPV6_RECVERR) if _is_ipv6(sock) else (socket.IPPROTO_IP, _IP_RECVERR)
            sock.setsockopt(level, option, 1)
            self._refused[sock.fileno()] = (sock.recvmsg, refused)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._receivers[sock.fileno()] = (sock.recvfrom, receiver)
        return True

    def remove(self, sock: socket.socket) -> None:
        """Stop watching a socket, which must still be open."""
        self._refused.pop(sock.fileno(), None)
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
            for fileno, event in events:
                found = receivers.get(fileno)
                if found is None:
                    continue
                if event & select.EPOLLERR:
                    self._take_errors(fileno)
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

    def _take_errors(self, fileno: int) -> None:
        """Empty a socket's queue of errors: while one waits there, the socket is always ready and sends nothing."""
        found = self._refused.get(fileno)
        if found is None:
            return
        receive, refused = found
        count = 0
        for _ in range(ERRORS_MAX):
            try:
                _data, ancillary, _flags, _address = receive(0, _ERROR_BYTES, _MSG_ERRQUEUE)
            except OSError:
                break
            count += any(data[:4] == _REFUSED for _level, _kind, data in ancillary)
        if count:
            refused(count)


def _is_ipv6(sock: socket.socket) -> bool:
    return sock.family == socket.AF_INET6
