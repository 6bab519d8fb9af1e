"""Pairs of UDP ports for phones: an even one for RTP and the next one for RTCP (RFC 3550 §11)."""

import errno
import socket
from collections.abc import Callable

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.net.port import open_udp

Bind = Callable[[Address], socket.socket]

_TAKEN = (errno.EADDRINUSE, errno.EACCES)


class RtpPorts:
    """The pairs between two port numbers, handed out in turn, so that a late packet of one call finds no other call."""

    def __init__(self, first: int, last: int, *, start: int = 0, bind: Bind | None = None) -> None:
        self._bind = bind or open_udp
        self._first = first + (first & 1)
        self._last = last
        self._pairs = max((last - self._first + 1) // 2, 0)
        self._next = start
        self._used: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        return len(self._used)

    def open(self, host: str) -> tuple[socket.socket, socket.socket]:
        """Sockets for RTP and RTCP on `host`; RemoteError(503) says why there are none."""
        for _ in range(self._pairs):
            number = self._first + 2 * (self._next % self._pairs)
            self._next += 1
            if (host, number) in self._used:
                continue
            try:
                found = self._open_pair(host, number)
            except OSError as error:
                if error.errno in _TAKEN:
                    continue
                raise RemoteError(str(error), status=503) from error
            self._used.add((host, number))
            return found
        raise RemoteError(
            f"no pair of RTP ports is free on {host} between {self._first} and {self._last}; "
            f"{len(self._used)} are in use by calls",
            status=503,
        )

    def close(self, host: str, rtp: socket.socket, rtcp: socket.socket) -> None:
        """Close a pair that `open` gave."""
        self._used.discard((host, rtp.getsockname()[1]))
        rtp.close()
        rtcp.close()

    def _open_pair(self, host: str, number: int) -> tuple[socket.socket, socket.socket]:
        rtp = self._bind((host, number))
        try:
            return rtp, self._bind((host, number + 1))
        except OSError:
            rtp.close()
            raise
