"""What ties a node to the network around it: streams where UDP does not pass, relays ahead of calls, the router, changes.

nobody answers by UDP        -> a TCP or TLS connection to a super-node becomes the gateway for all frames
no route for IPv4            -> the overlay makes super-nodes that have both families its gateways; routes are looked at here
attached to super-nodes      -> an allocation at each (`p2psip.app.relays`)
behind a NAT                 -> the router is asked to let others in (PCP, NAT-PMP, UPnP)
the addresses of the machine change, or it has slept -> all of it anew, calls included
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from media.service import MediaService
from overlay.paths import Gateway
from overlay.reachability import Mapping, Role, Verdict
from overlay.service import OverlayService
from p2psip.app.relays import RelayKeeper, short_name
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
DOORS_MAX = 16
GATEWAYS_WANTED = 3
SPARE_SECONDS = 2.0
SPARE_RETRY_SECONDS = 30.0
DIAL_SECONDS_MAX = 5.0
GREET_SECONDS_MAX = 3.0
STAGGER_SECONDS = 0.1
REFLEXIVE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """Where a super-node may be reached by a stream."""

    node_key: bytes
    host: str
    port: int
    tls: bool


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
        watch: NetworkWatch | None = None,
    ) -> None:
        self._port, self._links, self._overlay, self._media = port, links, overlay, media
        self._supernode = supernode
        self._relays = RelayKeeper(overlay, media, links, clock)
        self.mapper = PortMapper(port.number, clock, chance) if port_mapping else None
        self._watch = NetworkWatch(clock) if watch is None else watch
        self._behind_nat = trio.Event()
        self._gateways: dict[bytes, Address] = {}
        self._introducers: list[Door] = []
        self._is_without_udp = False
        overlay.on_verdict(self._take_verdict)
        self._was_attached = False
        overlay.on_rendezvous(self._flows_changed)
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
            nursery.start_soon(self._keep_spares)
            if self.mapper is not None:
                nursery.start_soon(self._map_port, self.mapper)
            task_status.started()

    @property
    def gateway(self) -> tuple[bytes, Address] | None:
        """The super-node, and our stream to it, that everything goes through for lack of UDP."""
        return next(iter(self._gateways.items()), None)

    async def find_gateway(self, introducers: Sequence[tuple[bytes, Address]]) -> bool:
        """Reach a super-node by TCP or TLS, the first that answers; False when no introducer is one."""
        families = self._overlay.look_at_routes()
        self._introducers = [
            Door(node_key, host, number, tls=tls)
            for node_key, (host, port) in introducers
            if not is_synthetic(host) and (6 if ":" in host else 4) in families
            for number, tls in ((port, False), (TLS_PORT, True))
        ][:DOORS_MAX]
        if not self._gateways:
            await self._knock(self._introducers, 1)
        self._is_without_udp = bool(self._gateways)
        return self._is_without_udp

    async def _keep_spares(self) -> None:
        """Who has one gateway wants GATEWAYS_WANTED: when it dies in a call, the others carry on."""
        while True:
            await trio.sleep(SPARE_SECONDS)
            before = set(self._gateways)
            if self._is_without_udp and len(before) < GATEWAYS_WANTED:
                doors = self._spare_doors() if before else [*self._spare_doors(), *self._introducers]
                await self._knock(doors[:DOORS_MAX], GATEWAYS_WANTED)
                if doors and self._gateways and set(self._gateways) == before:
                    await trio.sleep(SPARE_RETRY_SECONDS)

    def _spare_doors(self) -> list[Door]:
        others = [each for each in self._overlay.supernodes() if each.node_key not in self._gateways]
        return [
            Door(each.node_key, host, number, tls=tls)
            for each in others
            for host in dict.fromkeys(host for host, _port in each.addresses)
            for number, tls in ((each.tls_port, True), (each.tcp_port, False))
            if number
        ]

    async def _knock(self, doors: Sequence[Door], wanted: int) -> None:
        """Try doors side by side, each a moment after the one before, until so many gateways stand."""
        async with trio.open_nursery() as nursery:
            for door in doors:
                nursery.start_soon(self._try_door, nursery.cancel_scope, door, wanted)
                await trio.sleep(STAGGER_SECONDS)

    async def _try_door(self, others: trio.CancelScope, door: Door, wanted: int) -> None:
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                stream = await self._links.dial(door.host, door.port, tls=door.tls)
        except (RemoteError, LocalError, trio.TooSlowError):
            return
        answered = False
        try:
            with trio.move_on_after(GREET_SECONDS_MAX):
                answered = await self._overlay.greet(door.node_key, stream)
        finally:
            if not answered or door.node_key in self._gateways:
                self._links.close(stream)
        if not answered or door.node_key in self._gateways:
            return
        _log.info("UDP does not pass: %s is reached by %s", door.host, "TLS" if door.tls else "TCP")
        self._gateways[door.node_key] = stream
        self._use_gateways()
        if len(self._gateways) >= wanted:
            others.cancel()

    def _stream_closed(self, address: Address) -> None:
        for node_key in [node_key for node_key, stream in self._gateways.items() if stream == address]:
            _log.info("the connection to super-node %s has ended", short_name(node_key))
            del self._gateways[node_key]
            self._use_gateways()
        self._relays.note_change()

    def _use_gateways(self) -> None:
        self._overlay.use_gateways([Gateway(node_key, stream) for node_key, stream in self._gateways.items()])
        self._relays.note_change()

    def _flows_changed(self) -> None:
        self._relays.note_change()
        is_attached = bool(self._overlay.rendezvous())
        if self._was_attached and not is_attached and self._overlay.verdict.role is Role.CLIENT:
            _log.warning("no super-node answers any more: nobody can call this node until one does")
        elif is_attached and not self._was_attached:
            _log.info("attached to super-nodes: others can call this node through them")
        self._was_attached = is_attached

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
            self._overlay.look_at_routes()  # a route may come or go while the addresses stay
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
        self._is_without_udp = False  # unless a join finds nobody again
        self._overlay.network_changed([(host, self._port.number) for host in local])
        self._media.network_changed()
        self._relays.note_change()
        if self.mapper is not None:
            self.mapper.network_changed()
