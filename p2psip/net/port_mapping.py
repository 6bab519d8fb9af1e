"""Keeps the router of a home letting others in to the node's port, as long as the node runs.

Tries PCP, NAT-PMP and UPnP-IGD in turn and stays with the one that works. It asks again every minute, because a router that
has restarted tells nobody that it has forgotten (RFC 6887 §8.5 has an epoch for that; to ask again repairs at once).
"""

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port_control import NO_ADDRESS, REFUSED, Granted
from p2psip.net.routers import Gateway, NatPmpRouter, PcpRouter, Router, UpnpRouter, Wanted, default_gateway

PROTOCOLS = ("PCP", "NAT-PMP", "UPnP")
LIFETIME_SECONDS = 900  # short, because a node that is killed removes nothing and PCP guards its mapping until then
REMOVE_SECONDS_MAX = 2.0
HOOKS_MAX = 16

_BEHIND = "is behind a NAT of the provider (carrier-grade NAT)"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A port that the router lets others in to. `protocol` is the one that was asked by; `lifetime` in seconds."""

    external: Address
    protocol: str
    lifetime: float


@dataclass(frozen=True, slots=True)
class MappingTimes:
    """How often the router is asked: while a mapping stands, and again after a failure (doubling)."""

    check_seconds: float = 60.0
    retry_seconds_min: float = 15.0
    retry_seconds_max: float = 900.0


RoutersOf = Callable[[Gateway | None, Chance], Sequence[Router]]


def routers_of(gateway: Gateway | None, chance: Chance, protocols: Sequence[str] = PROTOCOLS) -> list[Router]:
    """All ways to ask the router here, best first."""
    found: list[Router] = [UpnpRouter(gateway, chance)]
    if gateway is not None:
        found = [PcpRouter(gateway, chance), NatPmpRouter(gateway), *found]
    return [router for router in found if router.name in protocols]


class PortMapper:
    """One UDP mapping, and one TCP mapping if a TCP port is given. `run` never fails; it explains."""

    def __init__(
        self,
        number: int,
        clock: Clock,
        chance: Chance,
        *,
        tcp_number: int | None = None,
        routers: RoutersOf = routers_of,
        gateway: Callable[[], Gateway | None] = default_gateway,
        times: MappingTimes | None = None,
    ) -> None:
        self._wanted = [Wanted("udp", number, number)]
        if tcp_number is not None:
            self._wanted.append(Wanted("tcp", tcp_number, tcp_number))
        self._clock = clock
        self._chance = chance
        self._routers_of = routers
        self._find_gateway = gateway
        self._times = times or MappingTimes()
        self._gateway: Gateway | None = None
        self._routers: Sequence[Router] = ()
        self._router: Router | None = None
        self._mappings: dict[str, Mapping] = {}
        self._expires = 0.0
        self._hooks: list[Callable[[Mapping | None], None]] = []
        self._nudge = trio.Event()
        self.explanation = "the router has not been asked yet"
        self.outer_host: str | None = None  # the router's own external address, which may be behind a NAT itself

    @property
    def mapping(self) -> Mapping | None:
        """The UDP mapping, when others can use it."""
        return self._mappings.get("udp")

    @property
    def tcp_mapping(self) -> Mapping | None:
        """The TCP mapping, when others can use it."""
        return self._mappings.get("tcp")

    def on_change(self, hook: Callable[[Mapping | None], None]) -> None:
        """Call `hook(mapping)` whenever an external address has come, changed or gone."""
        assert len(self._hooks) < HOOKS_MAX
        self._hooks.append(hook)

    def network_changed(self) -> None:
        """Ask again at once: another network may have another router."""
        self._nudge.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the mappings until cancelled, then remove them."""
        task_status.started()
        failures = 0
        try:
            while True:
                self._nudge = trio.Event()
                failures = 0 if await self._refresh() else failures + 1
                with trio.move_on_after(self._pause(failures)):
                    await self._nudge.wait()
                    failures = 0
        finally:
            with trio.move_on_after(REMOVE_SECONDS_MAX) as scope:
                scope.shield = True
                await self._remove()

    def _pause(self, failures: int) -> float:
        times = self._times
        if not failures:
            return min(times.check_seconds, max(1.0, (self._expires - self._clock.now()) / 2))
        pause = min(times.retry_seconds_max, times.retry_seconds_min * 2.0 ** min(failures - 1, 16))
        return pause * self._chance.uniform(0.8, 1.2)

    async def _refresh(self) -> bool:
        """Whether the router could be asked; the one that has granted before comes first."""
        gateway = self._find_gateway()
        if gateway != self._gateway or not self._routers:
            self._gateway, self._router, self.outer_host = gateway, None, None
            self._routers = self._routers_of(gateway, self._chance)
            self._note({})
        refusals: list[RemoteError] = []
        for router in sorted(self._routers, key=lambda router: router is not self._router):
            if await self._ask(router, refusals):
                return True
        name = f"the router {gateway.host}" if gateway else "the router"
        if any(error.status == NO_ADDRESS for error in refusals):
            self._explain(f"{name} has no public address of its own: it {_BEHIND}, or is not connected")
        elif refusals:
            self._explain(f"{name} does not let others in: {refusals[0]}")
        else:
            hint = "" if gateway else "; this machine has no default route"
            self._explain(f"no router answers to {', '.join(PROTOCOLS)}{hint}")
        if refusals or self._clock.now() >= self._expires:
            self._router = self.outer_host = None
            self._note({})
        return False

    async def _ask(self, router: Router, refusals: list[RemoteError]) -> bool:
        """Whether `router` has granted what others can use. It is remembered even if not: its mapping must be removed."""
        granted: dict[str, Mapping] = {}
        for index, wanted in enumerate(self._wanted):
            try:
                answer = await router.map(wanted, LIFETIME_SECONDS)
                mapping = _mapping(answer, router.name)
            except RemoteError as error:
                if error.status in (REFUSED, NO_ADDRESS):
                    refusals.append(RemoteError(f"{error} ({router.name})", status=error.status))
                if wanted.transport == "udp":
                    return False
                continue
            self._wanted[index] = replace(wanted, external=mapping.external[1])
            granted[wanted.transport] = mapping
        self._router = router
        udp = granted["udp"]
        host = self.outer_host = udp.external[0]
        self._expires = self._clock.now() + min(mapping.lifetime for mapping in granted.values())
        if not ipaddress.ip_address(host).is_global:
            self._note({})
            self._explain(f"the router's own external address {host} is private: it {_BEHIND}, which nobody can ask")
            return True
        self._explain(f"the router lets others in at {address_text(udp.external)} ({router.name})")
        self._note(granted)
        return True

    async def _remove(self) -> None:
        router, self._router = self._router, None
        self._note({})
        if router is None:
            return
        for wanted in self._wanted:
            try:
                await router.unmap(wanted)
            except RemoteError as error:
                _log.debug("a mapping was not removed: %s", error)

    def _note(self, mappings: dict[str, Mapping]) -> None:
        before = {transport: mapping.external for transport, mapping in self._mappings.items()}
        self._mappings = mappings
        if before != {transport: mapping.external for transport, mapping in mappings.items()}:
            for hook in self._hooks:
                hook(self.mapping)

    def _explain(self, words: str) -> None:
        if words != self.explanation:
            self.explanation = words
            _log.info("%s", words)


def _mapping(granted: Granted, protocol: str) -> Mapping:
    """What a router has granted, checked: it is only a machine on the local network that says so."""
    try:
        address = ipaddress.ip_address(granted.host)
    except ValueError as error:
        raise RemoteError("it tells no external address", status=NO_ADDRESS) from error
    if address.is_unspecified or not 0 < granted.port < 65_536 or not granted.lifetime_seconds > 0:
        raise RemoteError("it has no external address", status=NO_ADDRESS)
    return Mapping((str(address), granted.port), protocol, granted.lifetime_seconds)
