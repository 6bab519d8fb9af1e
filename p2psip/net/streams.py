"""TCP and TLS connections that carry the datagrams of the node's port where UDP does not pass.

A link has an address in 100::/64 (see `is_synthetic`): what is sent to that address through the port goes over the link, and
what comes over the link is delivered into the port's table of first bytes with that address as its source. So no core knows
of streams. Foreign TURN clients (RFC 8656 over TCP and TLS) connect to the same listener.
"""

import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Collection

import trio

from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort, Receiver
from p2psip.net.stream_link import Peer, StreamBounds, StreamCounters, StreamLink, tune
from p2psip.net.tls import dialling_context, self_signed_context

TLS_FIRST_BYTE = b"\x16"

_log = logging.getLogger(__name__)


class StreamLinks:
    """All connections of one port, dialled and accepted. `run` owns their tasks.

    When there are as many as may be, the oldest that is not `in_use` (by somebody who has shown credentials) makes room.
    """

    def __init__(
        self,
        port: NodePort,
        *,
        receive: Receiver | None = None,
        bounds: StreamBounds | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._port = port
        self._receiver = receive
        self._bounds = bounds or StreamBounds()
        self._clock = clock or Clock()
        self._nursery: trio.Nursery | None = None
        self._links: dict[Address, StreamLink] = {}
        self._sources: Counter[str] = Counter()
        self._accepted = 0
        self._dials = 0
        self._closed_hooks: list[Callable[[Address], None]] = []
        self._self_signed: ssl.SSLContext | None = None
        self._dialling = dialling_context()
        self.in_use: Callable[[], Collection[Address]] | None = None
        self.counters = StreamCounters()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep listeners and links until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def dial(self, host: str, port: int, *, tls: bool, server_name: str | None = None) -> Address:
        """The address of a new connection; RemoteError(503) when there is none. The caller bounds the time.

        `server_name` is what TLS shows to those on the path (RFC 6066 §3), in place of `host`; it is not verified.
        """
        if is_synthetic(host):
            raise LocalError("an address of a stream cannot be dialled")
        if self._dials + sum(link.is_dialled for link in self._links.values()) >= self._bounds.dialled_max:
            raise LocalError("too many connections are dialled at once")
        self._dials += 1
        try:
            return await self._dial(host, port, server_name or host if tls else None)
        finally:
            self._dials -= 1

    async def listen(self, host: str, port: int, *, context: ssl.SSLContext | None = None) -> Address:
        """Accept plain TCP and TLS on one port; the address that is bound. OSError words say which one failed.

        Without a `context` the certificate is self-signed.
        """
        nursery = self._running()
        if context is None:
            self._self_signed = context = self._self_signed or self_signed_context(self._clock.unix())
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise OSError(error.errno, f"cannot use TCP {host} port {port}: {error.strerror}") from error
        bound: Address = listeners[0].socket.getsockname()[:2]

        async def accept(stream: trio.SocketStream) -> None:
            await self._accept(stream, context)

        async def accept_forever() -> None:
            await trio.serve_listeners(accept, listeners, handler_nursery=nursery)

        nursery.start_soon(accept_forever)
        return bound

    def close(self, address: Address) -> None:
        """Close a link after what is queued for it; nothing happens when it is closed already."""
        link = self._links.get(address)
        if link is not None:
            link.finish("we closed it")

    def on_closed(self, hook: Callable[[Address], None]) -> None:
        """Call `hook(address)` whenever a link has ended, whoever has ended it."""
        self._closed_hooks.append(hook)

    def peer_of(self, address: Address) -> Peer | None:
        """(IP address, port, "tcp" or "tls") of the other side of an open link."""
        link = self._links.get(address)
        return link.peer if link else None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The open links."""
        return tuple(self._links)

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise LocalError("the streams of a node are not running")
        return self._nursery

    async def _dial(self, host: str, port: int, server_name: str | None) -> Address:
        nursery = self._running()
        stream: trio.abc.Stream | None = None
        try:
            stream = tcp = await trio.open_tcp_stream(host, port)
            assert isinstance(tcp, trio.SocketStream)
            tune(tcp)
            peer = _peer(tcp, "tls" if server_name else "tcp")
            if server_name:
                stream = secured = trio.SSLStream(
                    tcp, self._dialling, server_hostname=server_name, https_compatible=True
                )
                await secured.do_handshake()
            link = StreamLink(stream, peer, self._bounds, self.counters, is_dialled=True)
            link.scope.deadline = trio.current_time() + self._bounds.idle_seconds_max
            address: Address = await nursery.start(self._serve, link)
        except (OSError, trio.BrokenResourceError, ValueError) as error:
            await _drop(stream)
            raise RemoteError(f"no connection to {host} port {port}: {error.__cause__ or error}", status=503) from error
        except BaseException:
            await _drop(stream)
            raise
        self.counters.dialled += 1
        return address

    async def _accept(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        try:
            peer = _peer(stream, "tcp")
        except OSError:  # reset already
            return await trio.aclose_forcefully(stream)
        source = source_of(peer[0])
        bounds = self._bounds
        is_greedy = self._sources[source] >= bounds.links_per_source_max
        if is_greedy or (self._accepted >= bounds.links_max and not self._makes_room()):
            self.counters.refused += 1
            _log.debug("a connection from %s is refused: too many at once", peer[0])
            return await trio.aclose_forcefully(stream)
        self._accepted += 1
        self._sources[source] += 1
        try:
            tune(stream)
            deadline = trio.current_time() + bounds.first_seconds_max
            link = await self._greet(stream, peer, context, deadline)
            if link is not None:
                self.counters.accepted += 1
                link.scope.deadline = deadline
                await self._serve(link)
        finally:
            self._accepted -= 1
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
            await trio.aclose_forcefully(stream)

    def _makes_room(self) -> bool:
        """End the oldest accepted link that nobody needs; False when there is none. It is gone before others are accepted."""
        kept = self._links if self.in_use is None else frozenset(self.in_use())
        for address, link in self._links.items():
            if address not in kept and not link.is_dialled and not link.scope.cancel_called:
                link.reason = "others need its place"
                link.scope.cancel()
                return True
        return False

    async def _greet(
        self, stream: trio.SocketStream, peer: Peer, context: ssl.SSLContext, deadline: float
    ) -> StreamLink | None:
        """The link of a connection whose first byte has told what it is, after TLS's handshake if it is that."""
        reason = "it says nothing"
        with trio.CancelScope(deadline=deadline):
            try:
                first = await stream.socket.recv(1, socket.MSG_PEEK)
                if first == TLS_FIRST_BYTE:
                    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
                    await secured.do_handshake()
                    return StreamLink(secured, (*peer[:2], "tls"), self._bounds, self.counters)
                if first:
                    return StreamLink(stream, peer, self._bounds, self.counters)
                reason = "the other side closed it"
            except (OSError, trio.BrokenResourceError) as error:
                reason = str(error.__cause__ or error)
        _log.debug("a connection from %s is closed: %s", peer[0], reason)
        return None

    async def _serve(
        self, link: StreamLink, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED
    ) -> None:
        link.address = address = self._port.add_stream(link.send)
        self._links[address] = link
        try:
            task_status.started(address)
            await link.run(self._receive, self._port.end_batch)
        finally:
            del self._links[address]
            self._port.remove_stream(address)
            self.counters.closed += 1
            _log.debug("the connection %s %s port %d is closed: %s", link.peer[2], *link.peer[:2], link.reason)
            for hook in self._closed_hooks:
                hook(address)
            await trio.aclose_forcefully(link.stream)

    def _receive(self, data: bytes, source: Address) -> None:
        self._port.deliver(data, source, self._receiver)


def source_of(host: str) -> str:
    """The network that an address counts for: its IPv4 /24 or IPv6 /64."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))


def _peer(stream: trio.SocketStream, transport: str) -> Peer:
    host, port = stream.socket.getpeername()[:2]
    return host, port, transport


async def _drop(stream: trio.abc.Stream | None) -> None:
    if stream is not None:
        await trio.aclose_forcefully(stream)
