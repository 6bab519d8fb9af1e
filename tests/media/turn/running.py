"""A whole TURN service on loopback: UDP, TCP and TLS on one port, IPv4 and IPv6, private peers allowed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from p2psip.base.chance import Chance
from p2psip.base.grants import Grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks

REALM = "example.org"
SETTINGS = TurnSettings(allows_private=True, allocations_per_user_max=64, requests_per_second_per_user_max=1_000.0)


@dataclass
class Running:
    """A service and its port."""

    service: TurnService
    port: NodePort
    links: StreamLinks

    @property
    def grant(self) -> Grant:
        return self.service.grant("ab" * 20)


@asynccontextmanager
async def running(month_file: Path | None = None, **changes: object) -> AsyncIterator[Running]:
    """Serve until the end of the block."""
    port = NodePort.bind(["127.0.0.1", "::1"], 0)
    links = StreamLinks(port)
    service = TurnService(
        port,
        Clock(),
        Chance.system(),
        replace(SETTINGS, **changes),  # type: ignore[arg-type]
        b"secret",
        REALM,
        peer_of=links.peer_of,
        month_file=month_file,
    )
    links.on_closed(service.stream_closed)
    port.route(0, 3, service.receive_stun)
    try:
        async with trio.open_nursery() as nursery:
            for run in (service.run, port.run, links.run):
                await nursery.start(run)
            for host in ("127.0.0.1", "::1"):
                await links.listen(host, port.number)
            service.announce_streams(tcp_port=port.number, tls_port=port.number)
            try:
                yield Running(service, port, links)
            finally:
                nursery.cancel_scope.cancel()
    finally:
        port.close()
