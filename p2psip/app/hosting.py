"""`p2psip bootstrap`: the overlay's authority, its HTTPS server, and the first peer, in one process."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from bootstrap.authority import Authority
from bootstrap.messages import Introducer
from bootstrap.service import BootstrapServer, create_overlay, open_overlay
from overlay.reachability import Role
from overlay.service import OverlayService
from p2psip.app.introducing import introduced
from p2psip.app.node import OVERLAY_FILE, wait_for_signal
from p2psip.app.show import Printer
from p2psip.app.state import Membership, State, StateError, only_process
from p2psip.base.certificates import certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

AUTHORITY_FILE = "authority.sqlite"
ADDRESS_FILE = "bootstrap-address"
NODE_NAME = "bootstrap"
INVITE_SECONDS = 72 * 3600.0
SUPERNODES_SECONDS = 5.0
CONFIGURATION_SECONDS = 2.0


async def host_overlay(home: Path, overlay: str, hosts: Sequence[str], port: int, printer: Printer) -> None:
    """Serve newcomers at each of `hosts` until SIGINT or SIGTERM."""
    with only_process(home):
        await _host_alone(home, overlay, hosts, port, printer)


async def _host_alone(home: Path, overlay: str, hosts: Sequence[str], port: int, printer: Printer) -> None:
    clock, chance = Clock(), Chance.system()
    authority = _open_or_create(home / AUTHORITY_FILE, overlay, clock, chance)
    state = State(home)
    membership = _admit_own_node(authority, state, overlay, clock, chance)
    udp = NodePort.bind(hosts, port)
    peer = OverlayService(
        node_key=NodeKey.from_private(membership.node_key),
        signing_key=SigningKey.from_private(membership.signing_key),
        certificate=membership.certificate_der,
        ca=membership.ca_der,
        configuration=membership.configuration,
        port=udp,
        clock=clock,
        chance=chance,
        state_file=home / OVERLAY_FILE,
        role=Role.PEER,
    )
    introducers = partial(_introducers, peer, udp, chance)
    server = BootstrapServer(authority, hosts, udp.number, clock=clock, chance=chance, introducers=introducers)
    addresses = [(host, server.port) for host in hosts]
    _remember_addresses(home, addresses)
    async with trio.open_nursery() as nursery:
        await nursery.start(udp.run)
        await nursery.start(peer.run)
        await nursery.start(server.run)
        await peer.join([])
        nursery.start_soon(_spread_configuration, authority, peer)
        nursery.start_soon(_look_for_supernodes, peer)
        invite = authority.make_invite(addresses, unix=clock.unix(), lifetime_seconds=INVITE_SECONDS)
        ready = {"event": "ready", "link": str(invite), "port": server.port, "overlay_port": udp.number}
        printer.answer(ready, lambda: _welcome(printer, overlay, str(invite)))
        printer.qr(str(invite))
        await wait_for_signal()
        nursery.cancel_scope.cancel()
    state.close()


def make_invite_link(home: Path, lifetime_seconds: float | None, unix: int) -> str:
    """A fresh invite from the authority's file, whether its server runs or not."""
    authority = open_overlay(home / AUTHORITY_FILE, chance=Chance.system())
    return str(authority.make_invite(_addresses(home), unix=unix, lifetime_seconds=lifetime_seconds))


def revoke_person(home: Path, name: str, unix: int) -> list[str]:
    """Shut a person's devices out; the serial numbers of the certificates."""
    authority = open_overlay(home / AUTHORITY_FILE, chance=Chance.system())
    return [str(serial) for serial in authority.revoke(name, unix=unix)]


def _open_or_create(path: Path, overlay: str, clock: Clock, chance: Chance) -> Authority:
    if not path.exists():
        return create_overlay(path, overlay, unix=clock.unix(), chance=chance)
    authority = open_overlay(path, chance=chance)
    if authority.overlay != overlay:
        raise StateError(f"this folder serves the overlay {authority.overlay}; use another --home for {overlay}")
    return authority


def _admit_own_node(authority: Authority, state: State, overlay: str, clock: Clock, chance: Chance) -> Membership:
    """The server's own peer: the same keys as last time, a fresh certificate at each start."""
    known = state.membership()
    signing = SigningKey.from_private(known.signing_key) if known else SigningKey.generate(chance)
    node = NodeKey.from_private(known.node_key) if known else NodeKey.generate(chance)
    der = authority.admit(NODE_NAME, certificate_request(signing, node), unix=clock.unix())
    certificate = verify_device(der, authority.ca_der, clock.unix())
    membership = Membership(
        overlay=overlay,
        addresses=certificate.addresses,
        node_key=node.private,
        signing_key=signing.private,
        ca_der=authority.ca_der,
        certificate_der=der,
        configuration=authority.configuration(),
        invite="",
    )
    state.save_membership(membership)
    return membership


def _introducers(peer: OverlayService, udp: NodePort, chance: Chance) -> list[Introducer]:
    own = Introducer(peer.peer.node_key.public, tuple(udp.local))
    return introduced(own, peer.supernodes(), peer.peers(), chance)


async def _look_for_supernodes(peer: OverlayService) -> None:
    """They are known before the first newcomer asks."""
    while True:
        peer.supernodes()
        await trio.sleep(SUPERNODES_SECONDS)


async def _spread_configuration(authority: Authority, peer: OverlayService) -> None:
    """A revocation by another process reaches the overlay within seconds."""
    while True:
        peer.update_configuration(authority.configuration())
        await trio.sleep(CONFIGURATION_SECONDS)


def _remember_addresses(home: Path, addresses: Sequence[Address]) -> None:
    (home / ADDRESS_FILE).write_text("".join(f"{host} {port}\n" for host, port in addresses))


def _addresses(home: Path) -> list[Address]:
    try:
        lines = (home / ADDRESS_FILE).read_text().splitlines()
        return [(host, int(port)) for host, port in (line.split() for line in lines)]
    except (OSError, ValueError) as error:
        raise StateError("this folder has no bootstrap server: run `p2psip bootstrap NAME` first") from error


def _welcome(printer: Printer, overlay: str, link: str) -> None:
    printer.text(f"[bold]{overlay} is open.[/] Send this link to one newcomer (`p2psip invite` makes more):")
    print(link)
