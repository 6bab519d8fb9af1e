"""What a node takes from the machine that it runs on: sockets, files, the door for commands, the bootstrap server over HTTPS.

A simulation hands in another machine (`simulations.village.machine`); all that stands on it is the same there.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bootstrap.client import fetch_clock_late, fetch_introducers, renew
from bootstrap.invite import Invite
from bootstrap.messages import Enrolment
from media.service import MediaService
from media.turn.plane import RelayPlane
from p2psip.app.control import Command, ControlServer
from p2psip.app.settings import OverlaySettings, Settings
from p2psip.app.state import State, StateError
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from p2psip.net.watch import NetworkWatch
from p2psip.sip.service import SipService

_log = logging.getLogger(__name__)


class Machine:
    """The machine of a node whose folder is `home`."""

    turn_plane: Callable[..., RelayPlane] = RelayPlane

    def __init__(self, home: Path) -> None:
        self.home: Path | None = home

    def file(self, name: str) -> Path | None:
        """Where the node keeps this file; None: in memory."""
        return None if self.home is None else self.home / name

    def port(self, settings: OverlaySettings, state: State) -> NodePort:
        """The node's one UDP port."""
        return bind_as_before(settings, state)

    def links(self, port: NodePort, clock: Clock) -> StreamLinks:
        """Streams for where UDP does not pass."""
        return StreamLinks(port, clock=clock)

    def sip(self, clock: Clock, chance: Chance) -> SipService:
        """SIP sockets towards phones."""
        return SipService(clock.now, chance)

    def media(self, port: NodePort, clock: Clock, chance: Chance, settings: Settings) -> MediaService:
        """RTP sockets towards phones, and the paths to other nodes."""
        ports = (settings.media.first_port, settings.media.last_port)
        return MediaService(port=port, clock=clock, chance=chance, phone_host=settings.sip.host, rtp_ports=ports)

    def watch(self, clock: Clock) -> NetworkWatch:
        """Who notices that the machine has moved."""
        return NetworkWatch(clock)

    def control(self, commands: Mapping[str, Command]) -> ControlServer:
        """The door for the command line."""
        assert self.home is not None
        return ControlServer(self.home, commands)

    async def ask_introducers(self, *who: Any, **proof: Any) -> Enrolment:
        """Fresh introducers from the bootstrap server (`bootstrap.client.fetch_introducers`)."""
        return await fetch_introducers(*who, **proof)

    async def ask_renewal(self, *who: Any, **proof: Any) -> Enrolment:
        """A fresh certificate from the bootstrap server (`bootstrap.client.renew`)."""
        return await renew(*who, **proof)

    async def ask_clock_late(self, invite: Invite, unix: float) -> float:
        """How late `unix` is by the bootstrap server (`bootstrap.client.fetch_clock_late`)."""
        return await fetch_clock_late(invite, unix=unix)


def bind_as_before(settings: OverlaySettings, state: State) -> NodePort:
    """The port that the settings name, else the last one again: others remember it, and a router may forward it."""
    if settings.port:
        return NodePort.bind(settings.hosts, settings.port)
    last = state.port()
    if last:
        try:
            return NodePort.bind(settings.hosts, last)
        except OSError as error:
            _log.info("the port of the last run is not free, another one is taken: %s", error.strerror)
    port = NodePort.bind(settings.hosts, 0)
    try:
        state.save_port(port.number)
    except StateError as error:  # a full disk; the next start takes any port again
        _log.error("%s", error)
    return port
