"""What ties a node to the network around it: streams where UDP does not pass, relays ahead of calls, the router, changes.

nobody answers by UDP        -> a TCP or TLS connection to a super-node becomes the gateway for all frames
attached to super-nodes      -> an allocation at each (`p2psip.app.relays`)
behind a NAT                 -> the router is asked to let others in (PCP, NAT-PMP, UPnP)
the addresses of the machine change, or it has slept -> all of it anew, calls included
"""

import logging
from collections.abc import Sequence
from functools import partial

import trio

from media.service import MediaService
from overlay.reachability import Mapping, Verdict
from overlay.service import OverlayService
from p2psip.app.relays import RelayKeeper
from p2psip.app.volunteer import SuperNode
from p2psip.base.chance import Chance
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.port_mapping import Mapping as Mapped
from p2psip.net.port_mapping import PortMapper
from p2psip.net.streams import StreamLinks
from p2psip.net.watch import NetworkWatch

TLS_PORT = 443
GATEWAY_TRIES_MAX = 16
DIAL_SECONDS_MAX = 5.0
GREET_SECONDS_MAX = 3.0
STAGGER_SECONDS = 0.1
REFLEXIVE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Connectivity:
    """Keeps one node connected. `run` serves; `find_gateway` is called when a join found nobody."""

    def __init__(
        self,
        *,
        port: NodePort,
        links: StreamLinks,
        overlay: OverlayService,
        media: MediaService,
        supernode: SuperNode | None,
        port_mapping: bool,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._port, self._links, self._overlay, self._media = port, links, overlay, media
        self._supernode = supernode
        self._relays = RelayKeeper(overlay, media, links, clock)
        self.mapper = PortMapper(port.number, clock, chance) if port_mapping else None
        self._watch = NetworkWatch(clock)
        self._behind_nat = trio.Event()
        self.gateway: tuple[bytes, Address] | None = None
        overlay.on_verdict(self._take_verdict)
        overlay.on_rendezvous(self._relays.note_change)
        links.on_closed(self._stream_closed)
        self._watch.on_change(self._network_changed)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._links.run)
            if self._supernode is not None:
                await nursery.start(self._supernode.run)
            nursery.start_soon(self._relays.run)
            nursery.start_soon(self._watch.run)
            nursery.start_soon(self._tell_reflexive)
            if self.mapper is not None:
                nursery.start_soon(self._map_port, self.mapper)
            task_status.started()

    async def find_gateway(self, introducers: Sequence[tuple[bytes, Address]]) -> bool:
        """Reach a super-node by TCP or TLS, the first that answers; False when no introducer is one."""
        if self.gateway is not None:
            return True
        tries = [
            (node_key, host, number, tls)
            for node_key, (host, port) in introducers
            if not is_synthetic(host)
            for number, tls in ((port, False), (TLS_PORT, True))
        ][:GATEWAY_TRIES_MAX]
        async with trio.open_nursery() as nursery:
            for node_key, host, number, tls in tries:
                nursery.start_soon(partial(self._try_gateway, nursery, node_key, host, number, tls=tls))
                await trio.sleep(STAGGER_SECONDS)
        return self.gateway is not None

    async def _try_gateway(self, nursery: trio.Nursery, node_key: bytes, host: str, number: int, *, tls: bool) -> None:
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                stream = await self._links.dial(host, number, tls=tls)
        except (RemoteError, LocalError, trio.TooSlowError):
            return
        answered = False
        try:
            with trio.move_on_after(GREET_SECONDS_MAX):
                answered = await self._overlay.greet(node_key, stream)
        finally:
            if not answered or self.gateway is not None:
                self._links.close(stream)
        if answered and self.gateway is None:
            self.gateway = node_key, stream
            self._overlay.use_gateway(node_key, stream)
            _log.info("UDP does not pass: all goes through %s by %s", host, "TLS" if tls else "TCP")
            nursery.cancel_scope.cancel()

    def _stream_closed(self, address: Address) -> None:
        if self.gateway is not None and self.gateway[1] == address:
            _log.info("the connection to the super-node that everything went through has ended")
            self.gateway = None
            self._overlay.use_gateway(None, None)
        self._relays.note_change()

    def _take_verdict(self, verdict: Verdict) -> None:
        if verdict.address is not None and self._supernode is not None:
            self._supernode.reachable_at([verdict.address])
        if verdict.mapping in (Mapping.ENDPOINT_INDEPENDENT, Mapping.DEPENDENT):
            self._behind_nat.set()
        self._set_reflexive()

    def _set_reflexive(self) -> None:
        verdict = self._overlay.verdict
        mapping = self.mapper.mapping if self.mapper is not None else None
        mapped = [mapping.external] if mapping is not None else []
        seen = [verdict.address] if verdict.address is not None else []
        candidates = dict.fromkeys([*mapped, *seen, *self._overlay.seen_addresses()])
        self._media.set_reflexive([address for address in candidates if not is_synthetic(address[0])])

    async def _tell_reflexive(self) -> None:
        while True:
            self._set_reflexive()
            await trio.sleep(REFLEXIVE_SECONDS)

    async def _map_port(self, mapper: PortMapper) -> None:
        """Only behind a NAT: nobody else's router is asked for anything."""
        await self._behind_nat.wait()
        async with trio.open_nursery() as nursery:

            def note(_mapping: Mapped | None) -> None:
                self._set_reflexive()
                nursery.start_soon(self._overlay.retest)  # whom the router lets in to, others may reach unasked

            mapper.on_change(note)
            await mapper.run()

    def _network_changed(self, local: Sequence[str]) -> None:
        _log.info("the network has changed: %s", ", ".join(local) or "no address")
        self._overlay.network_changed([(host, self._port.number) for host in local])
        self._media.network_changed()
        self._relays.note_change()
        if self.mapper is not None:
            self.mapper.network_changed()
