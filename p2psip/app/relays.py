"""Relays ahead of calls: one allocation at each super-node that this node keeps a flow to, so that gathering costs a call nothing.

The overlay says which super-nodes (`rendezvous`), each grants credentials, and the media service asks for the allocation and
keeps it. A relay of a super-node that was left stays as long as there are calls, for one of them may be using it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from media.service import MediaService
from overlay.probing import may_probe
from overlay.rendezvous import Flow
from overlay.service import OverlayService
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.grants import Grant, TurnServer
from p2psip.base.keys import node_id_of
from p2psip.net.clock import Clock
from p2psip.net.streams import StreamLinks

LOOK_SECONDS = 10.0
RETRY_SECONDS = 5.0
GRANT_SECONDS_MAX = 5.0
DIAL_SECONDS_MAX = 5.0
RENEW_AT_SHARE = 0.5

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """A relay of ours: its number in the media service, the flow and the server that it was asked for over (either may be a
    stream), and when to ask for new credentials or to try again (steady seconds)."""

    number: int | None
    flow: Address
    server: Address
    again: float


class RelayKeeper:
    """Keeps the media service's relays in step with the overlay's flows."""

    def __init__(self, overlay: OverlayService, media: MediaService, links: StreamLinks, clock: Clock) -> None:
        self._overlay, self._media, self._links, self._clock = overlay, media, links, clock
        self._kept: dict[bytes, _Kept] = {}
        self._changed = trio.Event()
        media.on_relay(self._relay_changed)

    def note_change(self) -> None:
        """The flows are other ones, or the network is."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed = trio.Event()
            flows = {flow.node_key: flow for flow in self._overlay.rendezvous()}
            self._let_go(flows)
            async with trio.open_nursery() as nursery:
                for flow in flows.values():
                    nursery.start_soon(self._keep, flow)
            with trio.move_on_after(LOOK_SECONDS):
                await self._changed.wait()

    def _relay_changed(self, number: int, state: str) -> None:
        """A relay that is lost may have forgotten us in a restart: it wants new credentials."""
        for kept in self._kept.values():
            if state == "lost" and kept.number == number:
                kept.again = self._clock.now() + RETRY_SECONDS

    def _let_go(self, flows: dict[bytes, Flow]) -> None:
        """Of super-nodes that we are no longer attached to; while there are calls, these only move elsewhere."""
        has_calls = self._media.statistics()["overlay_legs"] > 0
        used = {kept.number for node_key, kept in self._kept.items() if node_key in flows}
        for node_key in [node_key for node_key in self._kept if node_key not in flows]:
            kept = self._kept[node_key]
            if not has_calls:
                self._drop(node_key)
            elif kept.number is not None and kept.number not in used:
                self._media.leave_relay(kept.number)
                kept.again = 0.0  # attached again, it is wanted again

    def _drop(self, node_key: bytes) -> None:
        """Give a relay back, unless another super-node announces the same; a connection of its own ends with it."""
        kept = self._kept.pop(node_key)
        if kept.number is not None and all(each.number != kept.number for each in self._kept.values()):
            self._media.remove_relay(kept.number)
            if is_synthetic(kept.server[0]) and kept.server != kept.flow:
                self._links.close(kept.server)

    async def _keep(self, flow: Flow) -> None:
        kept, now = self._kept.get(flow.node_key), self._clock.now()
        if kept is not None and self._has_moved(kept, flow):
            self._drop(flow.node_key)
            kept = None
        if kept is None:
            kept = self._kept[flow.node_key] = _Kept(None, flow.address, flow.address, now)
        if now < kept.again:
            return
        kept.again = now + RETRY_SECONDS
        try:
            with trio.fail_after(GRANT_SECONDS_MAX + DIAL_SECONDS_MAX):
                grant = await self._overlay.grant(flow.node_key)
                server = await self._server(flow, grant, kept)
                number = self._media.add_relay(
                    server, grant, name=short_name(flow.node_key), is_stream=is_synthetic(server[0])
                )
        except (RemoteError, LocalError, trio.TooSlowError) as error:
            _log.info("no relay at super-node %s: %s", short_name(flow.node_key), error or "it did not answer in time")
            return
        if number != kept.number and kept.number is not None:  # over the other address family now
            self._drop(flow.node_key)
        self._kept[flow.node_key] = kept = _Kept(number, flow.address, server, now)
        life = max(grant.expires - self._clock.unix(), 0.0)
        kept.again = now + max(life * RENEW_AT_SHARE, RETRY_SECONDS)

    def _has_moved(self, kept: _Kept, flow: Flow) -> bool:
        """Whether the relay has to be asked for anew elsewhere: its connection has ended, or UDP no longer passes."""
        if kept.number is None:
            return kept.flow != flow.address
        if not is_synthetic(kept.server[0]):
            return is_synthetic(flow.address[0])
        if self._links.peer_of(kept.server) is None:
            return True
        return kept.server == kept.flow and is_synthetic(flow.address[0]) and flow.address != kept.flow

    async def _server(self, flow: Flow, grant: Grant, kept: _Kept) -> Address:
        """Where to ask: by UDP, if the flow runs over UDP; else on the flow's own connection, or one to the server named."""
        if is_synthetic(flow.address[0]):
            return await self._stream(flow, grant, kept)
        datagrams = [each.address for each in servers_to_trust(grant, flow.address[0]) if each.transport == "udp"]
        families = self._overlay.look_at_routes()
        usable = [address for address in datagrams if (6 if ":" in address[0] else 4) in families]
        if not usable:
            raise RemoteError("the super-node names no relay server that can be reached by UDP")
        return min(usable, key=lambda address: (":" in address[0]) != (":" in flow.address[0]))

    async def _stream(self, flow: Flow, grant: Grant, kept: _Kept) -> Address:
        if kept.number is not None:
            return kept.server
        peer = self._links.peer_of(flow.address)
        named = [each for each in servers_to_trust(grant, peer[0] if peer else None) if each.transport != "udp"]
        if peer is not None and any(server.address == peer[:2] for server in named):
            return flow.address
        return await self._dial(named)

    async def _dial(self, servers: Sequence[TurnServer]) -> Address:
        """Connect to the first that lets us in: a firewall swallows what it does not like, so all are tried side by side."""
        found: list[Address] = []
        async with trio.open_nursery() as nursery:

            async def attempt(server: TurnServer) -> None:
                try:
                    stream = await self._links.dial(*server.address, tls=server.transport == "tls")
                except (RemoteError, LocalError):
                    return
                if found:
                    self._links.close(stream)
                else:
                    found.append(stream)
                    nursery.cancel_scope.cancel()

            for server in servers:
                nursery.start_soon(attempt, server)
        if not found:
            raise RemoteError("the super-node names no relay server that can be reached by TCP or TLS")
        return found[0]


def servers_to_trust(grant: Grant, supernode: str | None) -> list[TurnServer]:
    """The servers of a grant but for those in this node's own networks that a super-node elsewhere could not know of."""
    return [each for each in grant.servers if supernode is not None and may_probe(each.address[0], supernode)]


def short_name(node_key: bytes) -> str:
    """What people call a node: the beginning of its Node-ID."""
    return node_id_of(node_key).hex()[:8]
