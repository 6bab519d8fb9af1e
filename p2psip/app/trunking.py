"""The world outside as the settings describe it: trunks, dial plan and DNS joined, for the calls of one node."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from p2psip.app.resolving import make_resolver
from p2psip.app.settings import Settings, SettingsError
from p2psip.base.chance import Chance
from p2psip.calls.addresses import Addresses
from p2psip.calls.ports import DirectoryPort
from p2psip.calls.server import CallServer
from p2psip.net.clock import Clock
from p2psip.sip.flow import Flow
from p2psip.sip.service import SipService
from p2psip.trunks.line import TrunkLine
from p2psip.trunks.outside import Outside
from p2psip.trunks.servers import LocatorPort

_log = logging.getLogger(__name__)


class Flows(Protocol):
    """What leads to other nodes; `p2psip.sip.service.SipService` fulfils it."""

    def overlay_flow(self, node_id: str) -> Flow:
        """The flow to a node."""


class MemberNodes:
    """Fulfils `p2psip.trunks.outside.OverlayPort` from the directory."""

    def __init__(self, directory: DirectoryPort, sip: Flows) -> None:
        self._directory = directory
        self._sip = sip

    async def flows(self, member: str) -> Sequence[Flow]:
        """See OverlayPort."""
        found = await self._directory.find(member)
        return [self._sip.overlay_flow(node_id) for node_id in found.node_ids]


class Trunking:
    """The trunks of one node. Without `[[trunk]]` and `[dial_plan]` calls stay within the overlay."""

    def __init__(
        self,
        settings: Settings,
        addresses: Sequence[str],
        *,
        home: Path | None,
        sip: SipService,
        calls: CallServer,
        directory: DirectoryPort,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self.outside: Outside | None = None
        self._settings = settings
        if not settings.trunk and settings.dial_plan is None:
            return
        overlay = addresses[0].partition("@")[2]
        own = Addresses(overlay, tuple(addresses))
        resolver = make_resolver(
            settings,
            own,
            clock=clock,
            chance=chance,
            own_numbers=own_numbers(settings, overlay),
            trunks=trunk_names(settings),
        )
        self.outside = Outside(
            make_lines(settings, overlay, home or Path(), sip=sip, locator=resolver, clock=clock, chance=chance),
            resolver=resolver,
            overlay=MemberNodes(directory, sip),
            sip=sip,
            incidents=calls.incidents,
            name=overlay,
            home=settings.domain.name,
        )
        calls.use_outside(self.outside)
        sip.on_flow_closed(self.outside.flow_closed)

    async def run(self) -> None:
        """Keep the trunks at work until cancelled."""
        if self.outside is None:
            return
        if self._settings.trunk and self._settings.dial_plan is None:
            _log.warning("trunks without [dial_plan]: providers can call in, and nobody can call out")
        await self.outside.run()

    async def close(self) -> None:
        """End what is registered at providers."""
        if self.outside is not None:
            await self.outside.close()

    def status(self) -> list[dict[str, Any]]:
        """The state of each trunk."""
        return [] if self.outside is None else self.outside.status()


def make_lines(
    settings: Settings,
    overlay: str,
    home: Path,
    *,
    sip: SipService,
    locator: LocatorPort,
    clock: Clock,
    chance: Chance,
) -> list[TrunkLine]:
    """The trunks of the settings; SettingsError when a file that they name cannot be used."""
    lines = []
    for each in settings.trunk:
        try:
            trunk, context = each.trunk(home, overlay), each.context(home)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        child = chance.child(f"trunk {trunk.name}")
        lines.append(TrunkLine(trunk, sip=sip, locator=locator, clock=clock, chance=child, context=context))
    return lines


def trunk_names(settings: Settings) -> Collection[str]:
    """The names of all trunks, for the dial plan."""
    return [trunk.name for trunk in settings.trunk]


def own_numbers(settings: Settings, overlay: str) -> dict[str, str]:
    """Every number that a trunk brings here, and whose it is: calls to them need no provider."""
    return {number: address for each in settings.trunk for number, address in each.numbers_of(overlay).items()}
