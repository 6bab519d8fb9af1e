"""UDP sockets that carry SIP: receiving in batches, sending, and which of our addresses the other end sees."""

import contextlib
import errno
import logging
import math
import socket
from collections.abc import Callable

import trio

from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.port import open_udp
from p2psip.sip.flow import Flow
from p2psip.sip.parser import MESSAGE_BYTES_MAX
from p2psip.sip.stun_keepalive import keepalive_answer

BATCH_DATAGRAMS_MAX = 64
LOCAL_ADDRESSES_MAX = 1_024
LOCAL_ADDRESS_SECONDS = 30.0
WILDCARDS = ("0.0.0.0", "::")

_HOPELESS = frozenset(
    (
        errno.EACCES,
        errno.EAFNOSUPPORT,
        errno.EHOSTUNREACH,
        errno.EINVAL,
        errno.EMSGSIZE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    )
)

_log = logging.getLogger(__name__)


class UdpTransport:
    """All UDP sockets of one SIP service.

    A flow over a socket that is bound to every address names the one address that packets to its remote end leave from,
    so that Via, Contact and session descriptions never say 0.0.0.0.
    """

    def __init__(self, nursery: trio.Nursery, on_message: Callable[[bytes, Flow], None]) -> None:
        self._nursery = nursery
        self._on_message = on_message
        self._sockets: dict[Address, socket.socket] = {}
        self._towards: dict[str, tuple[str | None, float]] = {}

    def listen(self, host: str, port: int) -> Address:
        """Receive datagrams on (host, port); the address that is bound."""
        sock = open_udp((host, port))
        bound: Address = sock.getsockname()[:2]
        self._sockets[bound] = sock
        self._nursery.start_soon(self._drain_forever, sock, bound)
        return bound

    def close(self, bound: Address) -> None:
        """Stop receiving on a socket of `listen`."""
        sock = self._sockets.pop(bound)
        trio.lowlevel.notify_closing(sock)
        sock.close()

    def close_all(self) -> None:
        """Close every socket, at the end of all."""
        for bound in list(self._sockets):
            self.close(bound)

    def flow(self, remote: Address) -> Flow:
        """A flow to `remote` from our first socket that leads there; RemoteError(503) when no route or no socket does.

        A socket on loopback leads to loopback only. One on the address to leave from goes before one on another address.
        """
        family = [bound for bound in self._sockets if (":" in bound[0]) == (":" in remote[0])]
        if not family:
            raise LocalError(f"no UDP socket can reach {remote[0]}")
        local = self._address_towards(remote)
        if local is None:
            raise RemoteError(f"no route to {remote[0]}", status=503)
        for bound in family:
            if bound[0] in WILDCARDS or bound[0] == local or (_is_loopback(bound[0]) and _is_loopback(local)):
                return self._flow(bound, remote)
        for bound in family:
            if not _is_loopback(bound[0]):  # the network may carry it all the same
                return self._flow(bound, remote)
        raise RemoteError(f"no UDP socket of this node leads to {remote[0]}", status=503)

    def send(self, data: bytes, flow: Flow) -> bool:
        """Send one datagram; False when none like it can reach `flow`. What the kernel has no room for is lost, as UDP may."""
        wildcard = WILDCARDS[":" in flow.local[0]]
        sock = self._sockets.get(flow.local) or self._sockets.get((wildcard, flow.local[1]))
        if sock is None:
            return False
        try:
            sock.sendto(data, flow.remote)
        except OverflowError:
            return False
        except OSError as error:
            _log.debug("a message to %s was not sent: %s", flow, error)
            return error.errno not in _HOPELESS
        return True

    def _flow(self, bound: Address, remote: Address) -> Flow:
        if bound[0] not in WILDCARDS:
            return Flow("udp", bound, remote)
        return Flow("udp", (self._address_towards(remote) or bound[0], bound[1]), remote)

    def _address_towards(self, remote: Address) -> str | None:
        """Remembered for a while, since every datagram asks; routes change when a machine moves to another network."""
        now = trio.current_time()
        found, until = self._towards.get(remote[0], (None, -math.inf))
        if until <= now:
            found = local_address_towards(remote)
            self._towards.pop(remote[0], None)
            if len(self._towards) >= LOCAL_ADDRESSES_MAX:
                del self._towards[next(iter(self._towards))]
            self._towards[remote[0]] = (found, now + LOCAL_ADDRESS_SECONDS)
        return found

    async def _drain_forever(self, sock: socket.socket, bound: Address) -> None:
        while sock.fileno() >= 0:
            try:
                await trio.lowlevel.wait_readable(sock)
            except trio.ClosedResourceError:
                return
            for _ in range(BATCH_DATAGRAMS_MAX):
                try:
                    data, source = sock.recvfrom(MESSAGE_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error of an earlier send; the socket itself is well
                    continue
                if (answer := keepalive_answer(data, source[:2])) is not None:
                    with contextlib.suppress(OSError):
                        sock.sendto(answer, source)
                else:
                    self._on_message(data, self._flow(bound, source[:2]))


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def local_address_towards(remote: Address) -> str | None:
    """The address of ours that packets to `remote` leave from, None without a route or a free socket: ask by connecting one.

    Nothing is sent by that.
    """
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((remote[0], remote[1] or 1))
            local: str = sock.getsockname()[0]
    except (OSError, OverflowError):
        return None
    return None if local in WILDCARDS else local
