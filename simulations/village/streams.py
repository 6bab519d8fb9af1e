"""TCP and TLS between simulated nodes where UDP does not pass: ordered, without loss, after handshakes of one or two round trips.

What is left out: congestion, queues, the time that a retransmission takes, and bytes. Who listens must be public.
"""

from typing import Any, cast

import trio

from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.stream_link import Peer, StreamBounds, StreamCounters, StreamLink
from p2psip.net.streams import StreamLinks
from simulations.network.endpoint import Endpoint
from simulations.village.wire import Wire

FIRST_CLIENT_PORT = 40_000
CLIENT_PORTS = 20_000
REFUSED_SECONDS = 0.1
"""How soon a machine answers that nobody listens, where the network does not tell."""


class VirtualLink(StreamLink):
    """One end of a connection. `other` is the end at `seconds` from here."""

    def __init__(self, links: "VirtualLinks", peer: Peer, seconds: float, *, is_dialled: bool) -> None:
        super().__init__(cast(Any, None), peer, StreamBounds(), StreamCounters(), is_dialled)
        self.links, self.seconds = links, seconds
        self.other: VirtualLink | None = None
        self.is_open = True

    def send(self, datagram: bytes) -> None:
        """It arrives `seconds` later."""
        if self.is_open and self.other is not None:
            self.links.carry(datagram, self.other, self.seconds)

    def finish(self, reason: str) -> None:
        """Close it; the other end learns that later."""
        if self.is_open:
            other = self.other
            self.links.forget(self, reason)
            if other is not None:
                self.links.after(self.seconds, lambda: other.links.forget(other, "the other side closed it"))


class VirtualLinks(StreamLinks):
    """`StreamLinks` on the timeline of a village."""

    def __init__(self, wire: Wire, endpoint: Endpoint, port: NodePort, clock: Clock) -> None:
        super().__init__(port, clock=clock)
        self._wire, self._endpoint = wire, endpoint
        self._ends: dict[Address, VirtualLink] = {}
        self._dialled = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then all connections end."""
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            for address in [address for address, links in self._wire.listeners.items() if links is self]:
                del self._wire.listeners[address]
            for end in list(self._ends.values()):
                end.finish("the node is going down")

    async def listen(self, host: str, port: int, *, context: Any = None) -> Address:
        """Accept connections on (host, port)."""
        self._wire.listeners[host, port] = self
        return host, port

    async def dial(self, host: str, port: int, *, tls: bool, server_name: str | None = None) -> Address:
        """The address of a new connection; RemoteError(503) when nobody listens there."""
        if is_synthetic(host):
            raise LocalError("an address of a stream cannot be dialled")
        there = self._wire.listeners.get((host, port))
        seconds = None if there is None else self._wire.way_seconds(self._endpoint, there._endpoint)
        await trio.sleep(REFUSED_SECONDS if seconds is None else 2 * seconds * (2 if tls else 1))
        if there is None or seconds is None or not there._endpoint.kind.is_public:
            raise RemoteError(f"no connection to {host} port {port}: nobody listens there", status=503)
        transport = "tls" if tls else "tcp"
        self._dialled += 1
        own = (self._outer_host(), FIRST_CLIENT_PORT + self._dialled % CLIENT_PORTS)
        here = VirtualLink(self, (host, port, transport), seconds, is_dialled=True)
        accepted = VirtualLink(there, (*own, transport), seconds, is_dialled=False)
        here.other, accepted.other = accepted, here
        there.keep(accepted)
        return self.keep(here)

    def keep(self, link: VirtualLink) -> Address:
        """A connection stands; its address."""
        link.address = self._port.add_stream(link.send)
        self._links[link.address] = self._ends[link.address] = link
        return link.address

    def forget(self, link: VirtualLink, reason: str) -> None:
        """A connection has ended."""
        if not link.is_open:
            return
        link.is_open, link.reason = False, reason
        del self._links[link.address], self._ends[link.address]
        self._port.remove_stream(link.address)
        for hook in self._closed_hooks:
            hook(link.address)

    def carry(self, datagram: bytes, end: VirtualLink, seconds: float) -> None:
        """Hand a datagram to the other end of a connection."""
        self._wire.note_stream(self._endpoint, datagram, end.peer[:2])
        self.after(seconds, lambda: end.links.take(datagram, end))

    def take(self, datagram: bytes, end: VirtualLink) -> None:
        """A datagram has come over a connection of ours."""
        if end.is_open:
            self._port.deliver(datagram, end.address)
            self._port.end_batch()

    def after(self, seconds: float, action: Any) -> None:
        """Call `action()` so much later."""
        timeline = self._wire.timeline
        timeline.at(timeline.seconds + seconds, action)

    def _outer_host(self) -> str:
        """Where connections of ours are seen to come from: the outermost NAT."""
        host, box = self._endpoint.address[0], self._endpoint.box
        while box is not None:
            host = box.host if box.kind.mapping is not None else host
            box = box.outside
        return host
