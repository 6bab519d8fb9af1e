"""The network at home, between a node and its phones: sockets for SIP and RTP on virtual time."""

import errno
import socket
import ssl
from collections.abc import Callable
from typing import cast

import trio

from media.sockets import SOCKETS_MAX, Receiver, SocketPlane
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.connections import Door, StreamTransport
from p2psip.sip.flow import Flow
from p2psip.sip.sockets import UdpTransport
from simulations.village.wire import Wire

NODE_HOST = "192.168.1.2"
PHONE_HOSTS_MAX = 200
FIRST_FREE_PORT = 30_000


class LanSocket:
    """One UDP socket at home, with the methods of `socket.socket` that production calls."""

    family = socket.AF_INET

    def __init__(self, lan: "Lan", address: Address) -> None:
        self._lan, self._address = lan, address
        self.receiver: Receiver | None = None
        self.is_closed = False

    def getsockname(self) -> Address:
        """Where it is bound."""
        return self._address

    def fileno(self) -> int:
        """-1 once it is closed; no number of a file otherwise."""
        return -1 if self.is_closed else self._address[1]

    def sendto(self, data: bytes, destination: Address) -> int:
        """Send one datagram."""
        self._lan.carry(data, self._address, destination)
        return len(data)

    def close(self) -> None:
        """Nothing arrives any more."""
        self.is_closed = True
        self._lan.release(self._address)


class Lan:
    """One home's network. Addresses are private to it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sockets: dict[Address, LanSocket] = {}
        self._next = FIRST_FREE_PORT
        self._phones = 0

    def phone_host(self) -> str:
        """The address of one more phone."""
        assert self._phones < PHONE_HOSTS_MAX, "more phones at home than PHONE_HOSTS_MAX"
        self._phones += 1
        return f"192.168.1.{19 + self._phones}"

    def bind(self, address: Address) -> socket.socket:
        """A socket at this address, or at a free port if it is 0; OSError when it is taken."""
        host, port = address
        if not port:
            port, self._next = self._next, self._next + 2
        if (host, port) in self._sockets:
            raise OSError(errno.EADDRINUSE, "the address is taken")
        found = self._sockets[host, port] = LanSocket(self, (host, port))
        return cast(socket.socket, found)

    def carry(self, data: bytes, source: Address, destination: Address) -> None:
        """Take a datagram to whoever listens when it arrives."""
        self._wire.hand_over(data, source, destination, lambda data, source: self._arrive(data, source, destination))

    def release(self, address: Address) -> None:
        """Free an address."""
        self._sockets.pop(address, None)

    def _arrive(self, data: bytes, source: Address, destination: Address) -> None:
        found = self._sockets.get(destination)
        if found is not None and found.receiver is not None:
            found.receiver(data, source)


def listen(sock: socket.socket, receiver: Receiver | None) -> None:
    """Hand what arrives at a socket of a `Lan` to `receiver`."""
    cast(LanSocket, sock).receiver = receiver


class LanUdp(UdpTransport):
    """SIP over the LAN."""

    def __init__(self, lan: Lan, nursery: trio.Nursery, on_message: Callable[[bytes, Flow], None]) -> None:
        super().__init__(nursery, on_message)
        self._lan = lan

    def listen(self, host: str, port: int) -> Address:
        """Receive datagrams on (host, port); the address that is bound."""
        sock = self._lan.bind((host, port))
        bound: Address = sock.getsockname()
        listen(sock, lambda data, source: self._on_message(data, self._flow(bound, source)))
        self._sockets[bound] = sock
        return bound

    def close(self, bound: Address) -> None:
        """Stop receiving on a socket of `listen`."""
        self._sockets.pop(bound).close()


class NoStreams(StreamTransport):
    """Phones of a village speak UDP."""

    async def listen(self, host: str, port: int, door: Door | None = None) -> Address:
        """Nobody comes."""
        return host, port

    async def connect(
        self, remote: Address, transport: str = "tcp", *, host: str = "", context: ssl.SSLContext | None = None
    ) -> Flow:
        """RemoteError(503)."""
        raise RemoteError(f"no connection to {remote[0]} port {remote[1]}", status=503)


class LanPlane(SocketPlane):
    """`SocketPlane` without an epoll: the LAN calls receivers itself."""

    def __init__(self) -> None:
        self.failed = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sock: socket.socket, receiver: Receiver, refused: Callable[[int], None] | None = None) -> bool:
        """Watch a socket; False when there are SOCKETS_MAX."""
        if self._count >= SOCKETS_MAX:
            return False
        self._count += 1
        listen(sock, receiver)
        return True

    def remove(self, sock: socket.socket) -> None:
        """Stop watching a socket."""
        self._count -= 1
        listen(sock, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        await trio.sleep_forever()
