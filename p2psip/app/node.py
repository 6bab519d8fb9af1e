"""The composition of a node: one port, the services on it, the calls above them, the door for the command line."""

import datetime
import gc
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from bootstrap.invite import Invite
from bootstrap.messages import Enrolment
from overlay.reachability import Role
from overlay.service import OverlayService
from p2psip.app.accounts import StoredAccounts
from p2psip.app.announcement import announcement_of
from p2psip.app.commands import NodeCommands
from p2psip.app.connectivity import Connectivity
from p2psip.app.directory import OverlayDirectory
from p2psip.app.joining import save_introducers
from p2psip.app.kept_phones import KEPT_FILE, KeptPhones
from p2psip.app.machine import Machine
from p2psip.app.phone_doors import PhoneDoors
from p2psip.app.public_door import PublicDoor
from p2psip.app.settings import Settings
from p2psip.app.show import Printer, literal
from p2psip.app.state import Membership, State, StateError, only_process
from p2psip.app.timekeeping import Timekeeper, correction_in_words
from p2psip.app.trunking import Trunking
from p2psip.app.volunteer import SuperNode, cost_in_words
from p2psip.app.watching import serve_presence
from p2psip.base.certificates import verify_device
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.calls.ports import CallSettings
from p2psip.calls.server import CallServer
from p2psip.net.clock import Clock
from p2psip.net.streams import StreamLinks

OVERLAY_FILE = "overlay.sqlite"
RENEWAL_CHECK_SECONDS = 3_600.0
RENEWAL_RETRY_SECONDS = 300.0
REJOIN_SECONDS = 10.0
REJOIN_SECONDS_MAX = 60.0
GARBAGE_OBJECTS_MAX = 20_000
ROLES = {"auto": None, "peer": Role.PEER, "client": Role.CLIENT}

_log = logging.getLogger(__name__)


class Node:
    """All services of one node."""

    def __init__(
        self, machine: Machine, settings: Settings, state: State, membership: Membership, clock: Clock, chance: Chance
    ) -> None:
        self._machine = machine
        self.settings = settings
        self.membership = membership
        self._state = state
        self.clock = clock
        self.chance = chance
        self.timekeeper = Timekeeper(clock, state)
        self._signing = SigningKey.from_private(membership.signing_key)
        self.port = machine.port(settings.overlay, state)
        node_key = NodeKey.from_private(membership.node_key)
        links = self.links = machine.links(self.port, clock)
        self.supernode = self._volunteer(links, node_key) if settings.relay.volunteer else None
        self.overlay = OverlayService(
            node_key=node_key,
            signing_key=self._signing,
            certificate=membership.certificate_der,
            ca=membership.ca_der,
            configuration=membership.configuration,
            port=self.port,
            clock=clock,
            chance=chance,
            state_file=machine.file(OVERLAY_FILE),
            role=ROLES[settings.overlay.role],
            volunteer=None if self.supernode is None else self.supernode.volunteering(),
        )
        self.sip = machine.sip(clock, chance)
        self.doors = PhoneDoors(self.sip, settings.sip, overlay=membership.overlay, home=machine.home, clock=clock)
        self.media = machine.media(self.port, clock, chance, settings)
        if self.supernode is not None and self.supernode.turn is not None:
            self.media.on_stun = self.supernode.turn.receive_stun
            self.media.on_channel_data = self.supernode.turn.plane.from_client
        links.in_use = self._streams_in_use
        self.connectivity = self._connect()
        self.accounts = StoredAccounts(state)
        self.directory = OverlayDirectory(self.overlay, self.sip, membership.addresses)
        self.calls = self._serve_calls()
        self.presence = serve_presence(self.calls, self.directory, settings.presence)
        self.public_door = PublicDoor(self.sip, settings.domain, self.calls.strangers, clock)
        self.trunking = Trunking(
            settings,
            membership.addresses,
            home=machine.home,
            sip=self.sip,
            calls=self.calls,
            directory=self.directory,
            clock=clock,
            chance=chance,
        )
        self.control = machine.control(NodeCommands(self).table())
        self.sip_address: tuple[str, int] = (settings.sip.host, settings.sip.port)
        self.overlay.on_configuration(self._save_configuration)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once phones can register."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.port.run)
            await nursery.start(self.connectivity.run)
            await nursery.start(self.overlay.run)
            await nursery.start(self.media.run)  # after the relay server: it hands on what is not for our own relays
            await nursery.start(self.sip.run)
            self.sip_address = await self.doors.open()
            await self.public_door.open()
            nursery.start_soon(self.doors.run)
            await nursery.start(self.presence.run)
            await nursery.start(self.calls.run)
            nursery.start_soon(self.trunking.run)
            await nursery.start(self.control.run)
            nursery.start_soon(self._stay_joined)
            nursery.start_soon(self._renew_forever)
            nursery.start_soon(self.timekeeper.run, self.overlay, self.ask_clock_late)
            task_status.started()

    def ready(self) -> dict[str, Any]:
        """What a script must know of a node that has started."""
        return {
            "event": "ready",
            "sip": list(self.sip_address),
            "doors": self.doors.as_json(),
            "domain": self.public_door.as_json(),
            "overlay_port": self.port.number,
            "addresses": list(self.membership.addresses),
            "node_id": self.overlay.peer.node_key.node_id.hex(),
            "peers": len(self.overlay.peers()),
        }

    async def join(self) -> int:
        """Join through the peers that enrolment named and those that are remembered; how many are known then."""
        introducers = self._state.introducers()
        known = await self.overlay.join(introducers)
        if not known and introducers and await self.connectivity.find_gateway(introducers):
            known = await self.overlay.join(introducers)
        return known

    async def keep_phones(self) -> None:
        """Ring phones that registered before a restart, and write down who registers, until cancelled."""
        path = self._machine.file(KEPT_FILE)
        if path is None:
            return
        kept = KeptPhones(path, self.clock)
        known = kept.load(self.accounts, self.sip_address[1])
        self.calls.restore([each for each in known if each.address in self.membership.addresses])
        await kept.run(self.calls.bindings)

    def _connect(self) -> Connectivity:
        return Connectivity(
            port=self.port,
            links=self.links,
            overlay=self.overlay,
            media=self.media,
            supernode=self.supernode,
            port_mapping=self.settings.network.port_mapping,
            clock=self.clock,
            chance=self.chance,
            watch=self._machine.watch(self.clock),
        )

    def _serve_calls(self) -> CallServer:
        settings = CallSettings(
            overlay=self.membership.overlay,
            addresses=self.membership.addresses,
            node_id=self.overlay.peer.node_key.node_id.hex(),
            contact_host=self.settings.sip.host,
            default_algorithm=self.settings.sip.algorithms[0],
            trust_registered_flows=self.settings.sip.trust_registered_flows,
            srtp=self.settings.sip.srtp,
            session_seconds=self.settings.sip.session_seconds,
            redirects=self.settings.calls.redirects,
            announcement=announcement_of(self.settings.calls, self._machine.home),
        )
        return CallServer(
            settings=settings,
            sip=self.sip,
            media=self.media,
            directory=self.directory,
            accounts=self.accounts,
            clock=self.clock,
            chance=self.chance,
            door=self.settings.domain.door(self.membership.overlay, self.membership.addresses),
        )

    def _streams_in_use(self) -> set[Address]:
        """The accepted connections of clients: those that are attached, and those with a relay."""
        relaying = self.overlay.peer.crossing.relaying
        attached = set() if relaying is None else relaying.streams
        if self.supernode is None or self.supernode.turn is None:
            return attached
        return attached.union(self.supernode.turn.tables.allocations)

    def _volunteer(self, links: StreamLinks, node_key: NodeKey) -> SuperNode:
        return SuperNode(
            self.settings.relay,
            port=self.port,
            links=links,
            clock=self.clock,
            chance=self.chance,
            node_key=node_key.public,
            overlay=self.membership.overlay,
            home=self._machine.home,
            plane=self._machine.turn_plane,
        )

    async def _stay_joined(self) -> None:
        """Alone: the overlay tries again by itself with whom it knows; here gateways and fresh introducers are looked for.

        Ever more rarely, and at drawn times: an outage that ends must not become one of the bootstrap server.
        """
        delay = REJOIN_SECONDS
        while True:
            await trio.sleep(self.chance.uniform(0.5, 1.0) * delay)
            if self.overlay.peers() or not self._state.introducers():
                delay = REJOIN_SECONDS
                continue
            delay = min(2 * delay, REJOIN_SECONDS_MAX)
            if not await self.join():
                try:
                    save_introducers(self._state, await self._ask_bootstrap(self._machine.ask_introducers))
                except RemoteError as error:
                    _log.warning("no peer answers, and no bootstrap server either: %s", error)

    async def _renew_forever(self) -> None:
        while True:
            certificate = self.overlay.participant.certificate  # as checked once: a clock that jumps ends no node
            half = (certificate.not_before + certificate.not_after) / 2
            if self.clock.unix() < half:
                await trio.sleep(RENEWAL_CHECK_SECONDS)
                continue
            try:
                enrolment = await self._ask_bootstrap(self._machine.ask_renewal)
            except RemoteError as error:
                _log.warning("the certificate could not be renewed yet: %s", error)
                await trio.sleep(RENEWAL_RETRY_SECONDS)
                continue
            self.membership = replace(self.membership, certificate_der=enrolment.certificate_der)
            self._save_membership()
            self.overlay.update_certificate(enrolment.certificate_der)
            self.overlay.update_configuration(enrolment.configuration)
            await trio.sleep(RENEWAL_CHECK_SECONDS)

    async def _ask_bootstrap(self, ask: Any) -> Enrolment:
        answer: Enrolment = await ask(
            Invite.parse(self.membership.invite),
            certificate_der=self.membership.certificate_der,
            ca_der=self.membership.ca_der,
            signing=self._signing,
            unix=self.clock.unix(),
            chance=self.chance,
        )
        self.timekeeper.take(answer.clock_late, self.overlay)
        return answer

    async def ask_clock_late(self) -> float:
        """Seconds by which our clock is behind the bootstrap server's; RemoteError when none can be reached."""
        return await self._machine.ask_clock_late(Invite.parse(self.membership.invite), self.clock.unix())

    def _save_configuration(self, configuration: bytes) -> None:
        self.membership = replace(self.membership, configuration=configuration)
        self._save_membership()

    def _save_membership(self) -> None:
        try:
            self._state.save_membership(self.membership)
        except StateError as error:  # a full disk must not end calls; the overlay gives all of it again
            _log.error("%s", error)


async def run_node(home: Path, settings: Settings, printer: Printer) -> None:
    """`p2psip up`: serve until SIGINT or SIGTERM, then end calls and registrations properly."""
    with only_process(home):
        await _run_alone(home, settings, printer)


async def _run_alone(home: Path, settings: Settings, printer: Printer) -> None:
    clock, chance = Clock(), Chance.system()
    state = State(home)
    try:
        membership = state.require_membership()
        machine = Machine(home)
        await find_time(machine, state, membership, clock)
        check_certificate(membership, clock.unix())
        node = Node(machine, settings, state, membership, clock, chance)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            await node.join()
            nursery.start_soon(node.keep_phones)
            settle_memory()
            printer.answer(node.ready(), lambda: _welcome(printer, node, state))
            await wait_for_signal()
            _log.info("ending calls and registrations")
            node.overlay.retire()
            await node.presence.stop()
            await node.calls.stop()
            await node.trunking.close()
            if node.supernode is not None:
                await node.supernode.leave()
            nursery.cancel_scope.cancel()
    finally:
        state.close()


async def find_time(machine: Machine, state: State, membership: Membership, clock: Clock) -> None:
    """Take up the kept correction; ask for a newer one if there is one, or if by our clock our own certificate is of no use."""
    timekeeper = Timekeeper(clock, state)
    try:
        check_certificate(membership, clock.unix())
    except StateError:
        is_in_doubt = True
    else:
        is_in_doubt = clock.correction != 0
    if is_in_doubt:
        await timekeeper.ask(lambda: machine.ask_clock_late(Invite.parse(membership.invite), clock.unix()))


def check_certificate(membership: Membership, unix: float) -> None:
    """StateError with the way out when our own certificate is of no use now."""
    try:
        verify_device(membership.certificate_der, membership.ca_der, unix)
    except RemoteError as error:
        today = datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        raise StateError(
            f"this node has {error}, as it is {today} UTC by this machine's clock: set the clock right if it is wrong, "
            "else join anew with a fresh invite in another --home"
        ) from error


def settle_memory() -> None:
    """What was made at the start stays: leave it out of garbage collections, and collect the young less often.

    A full collection of a node's modules takes tens of milliseconds, which callers would hear and which was a fifth of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MAX)


async def wait_for_signal() -> None:
    """Return at the first SIGINT or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _number in signals:
            return


def _welcome(printer: Printer, node: Node, state: State) -> None:
    printer.text(f"[bold]You are {' and '.join(f'sip:{address}' for address in node.membership.addresses)}[/]")
    printer.text(f"{len(node.overlay.peers())} peer(s) known; overlay port {node.port.number}/udp")
    for line in node.doors.in_words():
        printer.text(literal(line))
    if node.clock.correction:
        printer.text(correction_in_words(node.clock.correction))
    if node.supernode is not None:
        printer.text(cost_in_words(node.settings.relay))
    names = ", ".join(phone.name for phone in state.phones())
    printer.text(f"Accounts: {names}" if names else "No phone yet: `p2psip phone add` says what to type into one")
