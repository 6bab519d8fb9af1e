"""The trio shell of a STUN and TURN server: it sits on the node's port, on streams and on relay sockets."""

import contextlib
import dataclasses
import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path

import ifaddr
import trio

from media.turn import metrics
from media.turn.allocation import Tables, family_of
from media.turn.month import MonthRecord
from media.turn.plane import RelayPlane
from media.turn.policy import PeerPolicy, is_public
from media.turn.quota import Allowance, Meter
from media.turn.server import TurnServerCore
from media.turn.settings import TurnSettings
from media.turn.web import serve_metrics
from p2psip.base.chance import Chance
from p2psip.base.core import Address, is_synthetic
from p2psip.base.grants import Grant, TurnServer, make_grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

SWEEP_SECONDS = 1.0
SWEEPS_PER_RECORD = 10
BURST_SECONDS = 1.0

_log = logging.getLogger(__name__)

PeerOf = Callable[[Address], tuple[str, int, str] | None]


class TurnService:
    """A relay server for users with grants of `secret`. STUN that is no ICE agent's is to be handed to `receive_stun`.

    `peer_of` tells the real address and transport ("tcp", "tls") behind a stream's; without it streams are not served.
    `month_file` keeps the month's bytes over restarts. Clients whose first request is as small as can be (28 bytes) are answered
    within three times its size for a `realm` of up to 32 bytes; over a longer one they need TCP.
    """

    def __init__(
        self,
        port: NodePort,
        clock: Clock,
        chance: Chance,
        settings: TurnSettings,
        secret: bytes,
        realm: str,
        *,
        peer_of: PeerOf | None = None,
        month_file: Path | None = None,
        plane: Callable[..., RelayPlane] = RelayPlane,
    ) -> None:
        self._port, self._clock = port, clock
        self._secret, self._realm, self._peer_of = secret, realm, peer_of
        self._stream_ports: dict[str, int] = {}
        hosts = {family_of(host): host for host, _ in port.local if family_of(host) in settings.families}
        self._announced = _announced(hosts, settings)
        self._settings = settings = dataclasses.replace(settings, families=tuple(hosts))
        own_hosts = {*_interface_hosts(), *settings.external_hosts, *self._announced.values()}
        self._policy = PeerPolicy(
            allows_private=settings.allows_private,
            own_hosts=own_hosts,
            own_ports={port.number, *settings.own_ports},
            relay_ports=(settings.first_port, settings.last_port),
        )
        rate = settings.bytes_per_second_max
        self.tables = Tables(Allowance(rate, BURST_SECONDS, clock.now()), Meter(end=settings.bytes_per_month_max))
        self.plane = plane(
            tables=self.tables,
            send=port.send,
            clock=clock,
            chance=chance.child("relays"),
            hosts=hosts,
            announced=self._announced,
            ports=(settings.first_port, settings.last_port),
        )
        self.core = TurnServerCore(
            settings=settings,
            policy=self._policy,
            tables=self.tables,
            relays=self.plane,
            secret=secret,
            realm=realm,
            chance=chance.child("turn"),
        )
        claim = int(rate * SWEEP_SECONDS * SWEEPS_PER_RECORD * 4)
        self._record = MonthRecord(month_file, self.tables.meter, claim, clock.unix()) if month_file else None
        self.metrics_port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        self._port.route(64, self._settings.channel_last >> 8, self.plane.from_client)
        self._port.gathers = True
        await self._keep_record()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.plane.run)
                if self._settings.metrics_port:
                    self.metrics_port = await nursery.start(serve_metrics, self._settings.metrics_port, self.metrics)
                nursery.start_soon(self._sweep)
                task_status.started()
        finally:
            if self._record:
                with contextlib.suppress(OSError):  # what was claimed stands in the file
                    self._record.close()

    def receive_stun(self, data: bytes, source: Address) -> None:
        """A STUN message that is for no ICE agent of this node, from the port or from a stream."""
        transport, seen = "udp", source
        if is_synthetic(source[0]):
            peer = self._peer_of(source) if self._peer_of else None
            if peer is None:
                return
            seen, transport = peer[:2], peer[2]
        answer = self.core.receive(data, source, self._clock.now(), self._clock.unix(), transport=transport, seen=seen)
        if answer is not None:
            self._port.send(answer, source)

    def stream_closed(self, address: Address) -> None:
        """A stream has ended; so has the allocation of its client."""
        self.core.allocations.remove(address, self._clock.now())

    def drain(self) -> None:
        """Take no new allocations from now on."""
        self.core.allocations.drain(self._clock.now())

    @property
    def is_draining(self) -> bool:
        """Whether new allocations are refused: `drain` was called, or the month's bytes are nearly used up."""
        return self.core.allocations.is_draining

    @property
    def free(self) -> int:
        """How many relayed addresses may still be handed out."""
        return self.core.allocations.free

    def announce_host(self, host: str) -> None:
        """Others see this node at `host`: new relayed addresses of its family carry it, unless the settings name another."""
        family = family_of(host)
        if family in self._announced and not any(family_of(each) == family for each in self._settings.external_hosts):
            self._announced[family] = host
            self._policy.add_own_host(host)

    def announce_streams(self, *, tcp_port: int = 0, tls_port: int = 0) -> None:
        """Name the ports that take TCP and TLS in every grant from now on; 0: none."""
        self._stream_ports = {name: port for name, port in (("tcp", tcp_port), ("tls", tls_port)) if port}

    def servers(self) -> tuple[TurnServer, ...]:
        """Where clients may come to."""
        hosts = self._announced.values()
        datagrams = [TurnServer("udp", (host, self._port.number)) for host in hosts]
        return (
            *datagrams,
            *(TurnServer(name, (host, port)) for name, port in self._stream_ports.items() for host in hosts),
        )

    def grant(self, node_id: str) -> Grant:
        """Credentials for the node `node_id` (hexadecimal)."""
        seconds = self._settings.grant_seconds
        return make_grant(self._secret, node_id, self._realm, self._clock.unix(), seconds, self.servers())

    def charge(self, count: int) -> bool:
        """Count bytes that are passed on otherwise than by TURN for the month; False when it has no room for them."""
        meter = self.tables.meter
        if meter.used + count > meter.end:
            return False
        meter.used += count
        return True

    def statistics(self) -> dict[str, int]:
        """Sizes and counts, for whoever shows them."""
        counted = metrics.traffic(self.tables)
        return {
            "allocations": len(self.tables.allocations),
            "relayed_addresses": self.core.allocations.in_use,
            "users": len(self.core.allocations.users),
            "packets": counted.to_peer + counted.to_client,
            "bytes": counted.to_peer_bytes + counted.to_client_bytes,
            "over_quota": counted.over_quota,
            "dropped": counted.dropped,
            "silenced": self.core.silenced,
            "month_bytes": self.tables.meter.used,
        }

    def metrics(self) -> str:
        """All figures in Prometheus' text format."""
        return metrics.text(self.core, self.tables)

    async def _sweep(self) -> None:
        sweeps = 0
        while True:
            await trio.sleep(SWEEP_SECONDS)
            self.core.handle_timeout(self._clock.now())
            sweeps += 1
            if sweeps % SWEEPS_PER_RECORD == 0:
                await self._keep_record()

    async def _keep_record(self) -> None:
        claim = self._record.claim(self._clock.unix()) if self._record else None
        if self._record is None or claim is None:
            return
        try:
            await trio.to_thread.run_sync(self._record.store, claim)
        except OSError as error:
            _log.warning("the bytes relayed this month cannot be written down: %s", error)


def _announced(hosts: dict[int, str], settings: TurnSettings) -> dict[int, str]:
    """The host to announce for each family: the operator's, the bound one, or for a wildcard the best of this machine.

    A family without such an address is left out of `hosts`, too.
    """
    external = {family_of(host): host for host in settings.external_hosts}
    found: dict[int, str] = {}
    for family, host in list(hosts.items()):
        own = [each for each in _interface_hosts() if family_of(each) == family]
        candidates = [external.get(family), None if _is_wildcard(host) else host]
        candidates += [each for each in own if is_public(each)]
        candidates += [each for each in own if not ipaddress.ip_address(each).is_loopback]
        candidates += own if settings.allows_private else []
        chosen = next((each for each in candidates if each is not None), None)
        if chosen is None:
            del hosts[family]
        else:
            found[family] = chosen
    return found


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def _interface_hosts() -> list[str]:
    """The addresses of this machine but for link-local ones."""
    texts = [str(ip.ip[0] if ip.is_IPv6 else ip.ip) for card in ifaddr.get_adapters() for ip in card.ips]
    return [text for text in texts if not text.startswith(("fe80", "169.254."))]
