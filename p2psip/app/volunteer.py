"""A node that volunteers as a super-node: STUN and TURN on its port, TCP and TLS beside it, what it announces, what it may cost.

What is relayed for others is bounded by the `[relay]` settings. On a battery a node volunteers only if it is told to; when the
power fails later, it drains: it keeps whom it serves and takes nobody new.
"""

import errno
import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from media.turn.plane import RelayPlane
from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from overlay.crossing import Volunteering
from overlay.relay_record import ADDRESSES_MAX, Announcement, uptime_class_of
from p2psip.app.settings import RelaySettings, SettingsError
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address, address_text, is_synthetic
from p2psip.base.grants import Grant, TurnServer, make_grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from p2psip.net.tls import listening_context, why_unusable

SECRET_BYTES = 32
GRANT_SECONDS = 1_800
LEAVE_SECONDS_MAX = 4.0
QUIET_SECONDS = 0.5
MONTH_FILE = "relayed.json"
POWER_SUPPLIES = Path("/sys/class/power_supply")
POWER_LOOK_SECONDS = 30.0
BYTES_PER_MEGABIT = 125_000.0
MEGABITS_PER_CALL = 0.35  # G.711 with 20 ms packets, both directions in and out

_log = logging.getLogger(__name__)


class SuperNode:
    """What a volunteering node runs beside the overlay. `run` serves; the overlay asks `volunteering` for the rest."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        port: NodePort,
        links: StreamLinks,
        clock: Clock,
        chance: Chance,
        node_key: bytes,
        overlay: str,
        home: Path | None,
        plane: Callable[..., RelayPlane] = RelayPlane,
    ) -> None:
        self._settings = settings
        self._port, self._links, self._clock = port, links, clock
        self._node_key, self._overlay = node_key, overlay
        self._started = clock.now()
        self._is_draining = False
        self._stream_ports = {"tcp": 0, "tls": 0}
        self._reachable: tuple[Address, ...] = ()
        self.turn: TurnService | None = None
        if settings.coturn_host is None:
            self.turn = TurnService(
                port,
                clock,
                chance,
                turn_settings(settings),
                chance.bytes(SECRET_BYTES),
                overlay,
                peer_of=links.peer_of,
                month_file=None if home is None else home / MONTH_FILE,
                plane=plane,
            )
            links.on_closed(self.turn.stream_closed)

    def volunteering(self) -> Volunteering:
        """What the overlay needs: credentials, the announcement, bounds."""
        return Volunteering(
            grants=self._grant,
            announcement=self._announcement,
            clients_max=self._settings.clients_max,
            allows_private=self._settings.allow_private_peers,
            charge=bool if self.turn is None else self.turn.charge,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what cannot be listened on is said in the log and left out."""
        await self._listen()
        async with trio.open_nursery() as nursery:
            if self.turn is not None:
                await nursery.start(self.turn.run)
                self.turn.announce_streams(tcp_port=self._stream_ports["tcp"], tls_port=self._stream_ports["tls"])
            nursery.start_soon(self._watch_power)
            task_status.started()

    def reachable_at(self, addresses: Sequence[Address]) -> None:
        """Where others have seen this node."""
        self._reachable = tuple(address for address in addresses if not is_synthetic(address[0]))
        if self.turn is not None:
            for host, _port in self._reachable:
                self.turn.announce_host(host)

    def drain(self) -> None:
        """Keep whom we serve, take nobody new."""
        self._is_draining = True
        if self.turn is not None:
            self.turn.drain()

    async def leave(self) -> None:
        """We end: take nobody new, and relay until those who were told to move have done so, LEAVE_SECONDS_MAX at most."""
        self.drain()
        with trio.move_on_after(0 if self.turn is None else LEAVE_SECONDS_MAX):
            passed = -1
            while self.turn is not None and passed != (now := self.turn.statistics()["packets"]):
                passed = now
                await trio.sleep(QUIET_SECONDS)

    @property
    def is_draining(self) -> bool:
        """Whether nobody new is taken."""
        return self._is_draining or (self.turn is not None and self.turn.is_draining)

    def status(self) -> dict[str, object]:
        """Facts for the command line."""
        relayed = {} if self.turn is None else self.turn.statistics()
        host, port = self._settings.coturn_host, self._settings.coturn_port
        coturn = None if host is None else address_text((host, port))
        return {"volunteers": True, "draining": self.is_draining, "coturn": coturn, **self._stream_ports, **relayed}

    async def _listen(self) -> None:
        """TCP and TLS on the port's own number, and TLS where firewalls let it pass."""
        context = _operators_context(self._settings)
        for name, number in (("tcp", self._port.number), ("tls", self._settings.tls_port)):
            refused: OSError | None = None
            for host, _port in self._port.local if number else ():
                try:
                    await self._links.listen(host, number, context=context)
                    self._stream_ports[name] = number
                except OSError as error:
                    refused = refused or error
            if refused is not None:
                _log.warning(
                    "%s; people behind strict firewalls may not get here: %s", _words(refused), _way_out(refused)
                )

    async def _watch_power(self) -> None:
        while True:
            if not self._settings.on_battery and is_on_battery(POWER_SUPPLIES) and not self._is_draining:
                _log.warning("on battery: no new clients are taken ([relay] on_battery = true changes that)")
                self.drain()
            await trio.sleep(POWER_LOOK_SECONDS)

    def _grant(self, certificate: DeviceCertificate, unix: float) -> Grant:
        node_id = certificate.node_id.hex()
        if self.turn is not None:
            return self.turn.grant(node_id)
        servers = _coturn_servers(self._settings)
        secret = self._settings.coturn_secret.encode()
        return make_grant(secret, node_id, self._overlay, unix, GRANT_SECONDS, servers)

    def _announcement(self) -> Announcement:
        own = tuple((host, self._port.number) for host in self._settings.external_hosts)
        if not own and self.turn is not None:
            own = tuple(server.address for server in self.turn.servers() if server.transport == "udp")
        return Announcement(
            node_key=self._node_key,
            addresses=tuple(dict.fromkeys((*own, *self._reachable)))[:ADDRESSES_MAX],
            tcp_port=self._stream_ports["tcp"],
            tls_port=self._stream_ports["tls"],
            capacity=self._settings.allocations_max if self.turn is None else self.turn.free,
            uptime_class=uptime_class_of(self._clock.now() - self._started),
            draining=self.is_draining,
        )


def _operators_context(settings: RelaySettings) -> ssl.SSLContext | None:
    """What `[relay] certificate` and `key` name; None without them, SettingsError when they cannot be used."""
    if settings.certificate is None or settings.key is None:
        return None
    try:
        return listening_context(settings.certificate, settings.key)
    except OSError as error:
        raise SettingsError(
            f"[relay] certificate {settings.certificate} and key {settings.key} cannot be used: "
            f"{why_unusable(settings.certificate, settings.key)}"
        ) from error


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _way_out(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "give p2psip the right to ports below 1024 (CAP_NET_BIND_SERVICE), or set [relay] tls_port to a higher one"
        )
    if error.errno == errno.EADDRINUSE:
        return "stop the program that has the port, or set [relay] tls_port to another one"
    return "set [relay] tls_port to a port that this machine lets p2psip use, or to 0"


def turn_settings(settings: RelaySettings) -> TurnSettings:
    """The bounds of the TURN server from the person's settings."""
    return TurnSettings(
        external_hosts=tuple(settings.external_hosts),
        first_port=settings.first_port,
        last_port=settings.last_port,
        allows_private=settings.allow_private_peers,
        own_ports=(settings.tls_port,) if settings.tls_port else (),
        allocations_max=min(settings.allocations_max, settings.last_port - settings.first_port + 1),
        allocations_per_user_max=settings.allocations_per_user_max,
        bytes_per_second_max=settings.megabits_max * BYTES_PER_MEGABIT,
        bytes_per_second_per_user_max=settings.megabits_per_user_max * BYTES_PER_MEGABIT,
        bytes_per_month_max=settings.gigabytes_per_month_max * 1e9,
        metrics_port=settings.metrics_port,
    )


def cost_in_words(settings: RelaySettings) -> str:
    """What volunteering may cost its person at most."""
    calls = int(settings.megabits_max / MEGABITS_PER_CALL)
    return (
        f"You relay for others: at most {settings.megabits_max:g} Mbit/s at a time (some {calls} calls), "
        f"{settings.megabits_per_user_max:g} Mbit/s for one person, {settings.gigabytes_per_month_max:g} GB a month; "
        "nobody's words can be heard here. `--no-volunteer` ends it."
    )


def is_on_battery(supplies: Path) -> bool:
    """Whether this machine runs on a battery: one is discharging, and no mains supply is online."""
    found = {path: _read(path / "type") for path in supplies.glob("*")} if supplies.is_dir() else {}
    mains = any(kind in ("Mains", "USB") and _read(path / "online") == "1" for path, kind in found.items())
    return not mains and any(
        kind == "Battery" and _read(path / "status") == "Discharging" for path, kind in found.items()
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _coturn_servers(settings: RelaySettings) -> tuple[TurnServer, ...]:
    host = settings.coturn_host
    assert host is not None
    plain = tuple(TurnServer(name, (host, settings.coturn_port)) for name in ("udp", "tcp"))
    sealed = (TurnServer("tls", (host, settings.coturn_tls_port)),) if settings.coturn_tls_port else ()
    return plain + sealed
