"""The trio shell of the overlay: the participant on the node's one port, and what others wait for as plain calls.

Here are the port, the file of remembered peers, the kernel's word on routes, waiting for events by their number, and hooks.
What a node does in the overlay, and when, is in `overlay.participant`.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from overlay import sockets
from overlay.crossing import Volunteering
from overlay.events import (
    ConfigurationChanged,
    MessageArrived,
    PeerJoined,
    ProbeElsewhere,
    ReachTested,
    RegistrationNews,
    RendezvousChanged,
    RequestDone,
    VerdictChanged,
)
from overlay.found import Found
from overlay.frame import FIRST_BYTE
from overlay.joining import TEST_SECONDS_MAX, in_order
from overlay.membership import Membership
from overlay.participant import CanaryDone, Event, FoundDone, Joined, Participant, Published
from overlay.paths import Gateway
from overlay.reachability import Role, Verdict
from overlay.reaching import CallCheck
from overlay.records import registration_key
from overlay.registration import Rendezvous
from overlay.remembered import RememberedPeers
from overlay.rendezvous import Flow
from overlay.rpc import PING, Answer
from overlay.standing import verdict_in_words
from overlay.supernode_calls import ask_grant, ask_reach
from overlay.supernodes import SuperNode
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address, address_text
from p2psip.base.errors import P2psipError, RemoteError
from p2psip.base.grants import Grant
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX, Clock
from p2psip.net.driver import Driver
from p2psip.net.port import NodePort

REMEMBER_SECONDS = 20.0
REMEMBER_SOON_SECONDS = 0.2
CLOCK_CHANGE_SECONDS_MIN = 2.0

_log = logging.getLogger(__name__)

_Done = Published | FoundDone | RequestDone


class OverlayService:
    """One node of the overlay on its port."""

    def __init__(
        self,
        *,
        node_key: NodeKey,
        signing_key: SigningKey,
        certificate: bytes,
        ca: bytes,
        configuration: bytes,
        port: NodePort,
        clock: Clock,
        chance: Chance,
        state_file: Path | None,
        role: Role | None = None,
        volunteer: Volunteering | None = None,
    ) -> None:
        self._membership = Membership(ca, configuration)
        self._port = port
        self._clock = clock
        checked = self._membership.check(certificate, clock.unix())
        self._remembered = RememberedPeers(state_file)
        started = self._remembered.next_start(clock.unix())
        now = clock.now()
        self.participant = Participant(
            node_key=node_key,
            signing_key=signing_key,
            certificate=checked,
            membership=self._membership,
            chance=chance,
            now=now,
            unix_offset=max(clock.unix(), started) - now,
            role=role,
            volunteer=volunteer,
            bound=port.local,
        )
        self.peer = self.participant.peer
        self.is_accepted = self.is_refused = False
        """Whether others took our last registration, so that our clock is theirs, or all refused it: it may be wrong."""
        if (
            started - clock.unix() > CLOCK_ERROR_SECONDS_MAX
        ):  # an earlier run had a clock far ahead: only our frames must be later
            self.peer.unix_offset = clock.unix() - now
        self.participant.note_local(sockets.own_addresses(port.local, ()), now)
        self._driver: Driver[Event] = Driver(self.participant, send=port.send, on_event=self._on_event, now=clock.now)
        self._waiting: dict[tuple[type[_Done], int], tuple[trio.Event, list[_Done]]] = {}
        self._message_hook: Callable[[bytes, DeviceCertificate, bytes], None] = lambda _key, _certificate, _data: None
        self._configuration_hook: Callable[[bytes], None] = lambda _configuration: None
        self._verdict_hook: Callable[[Verdict], None] = lambda _verdict: None
        self._rendezvous_hook: Callable[[], None] = lambda: None
        self._introducers: list[Address] = []
        self._watching: dict[bytes, list[Callable[[], None]]] = {}
        self._tested, self._joined, self._peer_met = trio.Event(), trio.Event(), trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        self._port.route(FIRST_BYTE, 255, self._driver.receive)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._driver.run)
                nursery.start_soon(self._remember_forever)
                task_status.started()
        finally:
            self._remember()
            self._remembered.close()

    async def join(self, introducers: Sequence[tuple[bytes, Address]]) -> int:
        """Join through introducers and remembered peers; how many are known then. After 0 the next try comes by itself."""
        others = in_order(introducers, self._remembered.load())
        self._introducers = [address for _node_key, address in others][: sockets.DESTINATIONS_MAX // 2]
        local = sockets.own_addresses(self._port.local, self._introducers)
        self.participant.note_local(local, self._clock.now())
        self.look_at_routes()
        joined = self._joined
        self.participant.join(others, self._clock.now())
        self._driver.pump()
        await joined.wait()
        if len(self.peer.table):
            self._remember()
        return len(self.peer.table)

    @property
    def verdict(self) -> Verdict:
        """Whether others can reach this node, and what its NAT does."""
        return self.peer.reach.verdict

    def on_verdict(self, hook: Callable[[Verdict], None]) -> None:
        """Call `hook(verdict)` whenever more is known, or something has changed."""
        self._verdict_hook = hook

    async def retest(self) -> Verdict:
        """Find out anew now; wait for the end of the test, TEST_SECONDS_MAX at most."""
        self.peer.dialback.retest(self._clock.now())
        self._driver.pump()
        with trio.move_on_after(TEST_SECONDS_MAX if len(self.peer.table) else 0):
            while not self.peer.dialback.is_settled:
                await self._tested.wait()
        return self.verdict

    def network_changed(self, local: Sequence[Address]) -> None:
        """This host has other addresses now (empty: ask the kernel): forget what others have seen, and test anew at once."""
        self.look_at_routes()
        known = [contact.address for contact in self.peer.table]
        self.participant.network_changed(local or sockets.own_addresses(self._port.local, known), self._clock.now())
        self._driver.pump()

    def look_at_routes(self) -> frozenset[int]:
        """The address families (4, 6) that we have routes for now. Without IPv4, super-nodes that have both are used for it."""
        known = [*self._introducers, *(contact.address for contact in self.peer.table)]
        self.peer.crossing.has_families(sockets.own_families(self._port.local, known), self._clock.now())
        self._driver.pump()
        return self.peer.crossing.families

    async def find(self, address: str) -> Found:
        """Where a person can be reached; a result of the last FOUND_SECONDS_MAX seconds is used again."""
        return await self._wait_found(self.participant.find(address, self._clock.now()))

    async def find_again(self, address: str) -> Found:
        """Look a person up, past the cache."""
        return await self._wait_found(self.participant.find_again(address, self._clock.now()))

    def watch(self, address: str, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook()` when a registration of `address` changes, as far as holders tell; call the result to end it.

        LocalError when too many are watched.
        """
        key = registration_key(address)
        if key not in self._watching:
            self.participant.watch(address, self._clock.now())
            self._driver.pump()
        hooks = self._watching.setdefault(key, [])
        hooks.append(hook)

        def stop() -> None:
            hooks.remove(hook)
            if not hooks and self._watching.pop(key, None) is not None:
                self.participant.stop_watching(address)

        return stop

    def forget_found(self, address: str) -> None:
        """A contact from the cache did not answer: look it up anew next time."""
        self.participant.forget_found(address)

    async def publish(self, addresses: Sequence[str], *, capabilities: Sequence[str] = ("audio", "message")) -> int:
        """Register this node for its person's `addresses`, until `withdraw`; the least number of holders of one record."""
        done = await self._wait(Published, self.participant.publish(addresses, self._clock.now(), capabilities))
        assert isinstance(done, Published)
        return done.holders

    async def withdraw(self, addresses: Sequence[str]) -> None:
        """Take the registrations back everywhere."""
        await self._wait(Published, self.participant.withdraw(addresses, self._clock.now()))

    def send_message(self, node_key: bytes, ways: Sequence[Address | Rendezvous], data: bytes) -> None:
        """Say `data` to a node, over the way that it is heard on, or over all `ways` of its registration (`overlay.routes`)."""
        self.peer.say(node_key, ways, data, self._clock.now())
        self._driver.pump()

    # Super-nodes

    def supernodes(self) -> tuple[SuperNode, ...]:
        """The super-nodes that are known, best first; who asks makes us look for more now and then."""
        self.peer.crossing.supernodes.look(self._clock.now())
        self._driver.pump()
        return self.peer.crossing.supernodes.ranked()

    def rendezvous(self) -> tuple[Flow, ...]:
        """The super-nodes that keep a flow to this node, three at most."""
        return self.peer.crossing.rendezvous.flows

    def on_rendezvous(self, hook: Callable[[], None]) -> None:
        """Call `hook()` when the set of `rendezvous` is another one."""
        self._rendezvous_hook = hook

    def use_gateways(self, gateways: Sequence[Gateway]) -> None:
        """Send what we cannot send ourselves through the first of these super-nodes, and attach to all; none: no more."""
        self.participant.use_gateways(gateways, self._clock.now())
        self._driver.pump()

    async def greet(self, node_key: bytes, address: Address) -> bool:
        """Whether this node answers at this address, a stream's for instance."""
        return await self.request(node_key, address, PING, []) is not None

    def seen_addresses(self) -> tuple[Address, ...]:
        """Where others see this node."""
        return self.peer.seen.candidates

    def retire(self) -> None:
        """This node ends soon: who is attached learns it at once, and is served while moving to others."""
        self.participant.retire(self._clock.now())
        self._driver.pump()

    async def grant(self, node_key: bytes) -> Grant:
        """TURN credentials of this super-node; RemoteError when it is not known or gives none."""
        address = self.peer.crossing.address_of(node_key)
        if address is None:
            raise RemoteError("a super-node that is not known", status=404)
        return await ask_grant(self, node_key, address)

    async def check_callable(self) -> CallCheck:
        """Whether this node can be called right now: somebody else tries, through what the overlay says of us."""
        if not self.participant.published:
            return CallCheck(False, "no phone is registered here, so this node is not published", None)
        testers = self.peer.crossing.testers(self.peers())
        return await ask_reach(self, testers, self.participant.published[0], trio.sleep)

    async def request(self, node_key: bytes, address: Address, method: int, arguments: list[Any]) -> Answer | None:
        """Ask a node something; None when no answer came."""
        done = await self._wait(RequestDone, self.peer.request(node_key, address, method, arguments, self._clock.now()))
        assert isinstance(done, RequestDone)
        return done.answer

    def on_message(self, hook: Callable[[bytes, DeviceCertificate, bytes], None]) -> None:
        """Call `hook(node_key, certificate, data)` for each message of a verified node."""
        self._message_hook = hook

    def on_configuration(self, hook: Callable[[bytes], None]) -> None:
        """Call `hook(signed)` when a newer configuration has come."""
        self._configuration_hook = hook

    def update_certificate(self, certificate: bytes) -> None:
        """Our certificate was renewed."""
        self.participant.update_certificate(self._membership.check(certificate, self._clock.unix()))

    def clock_changed(self) -> None:
        """Go by what the clock says now: it was corrected or set, or this machine slept."""
        now = self._clock.now()
        offset = self._clock.unix() - now
        change = abs(offset - self.peer.unix_offset)
        if change > CLOCK_CHANGE_SECONDS_MIN:
            self.peer.unix_offset = offset
        if change > CLOCK_ERROR_SECONDS_MAX and self.participant.published:  # what was stored is of a wrong time
            try:
                self.participant.publish(self.participant.published, now)
            except P2psipError as error:
                _log.warning("this node could not be published anew by the right time: %s", error)
            self._driver.pump()

    def update_configuration(self, configuration: bytes) -> bool:
        """Take a newer signed configuration; whether it was newer."""
        return self.peer.update_configuration(configuration)

    def peers(self) -> list[tuple[bytes, Address]]:
        """All peers in the routing table."""
        return [(contact.node_key, contact.address) for contact in self.peer.table]

    def status(self) -> dict[str, Any]:
        """Facts for the command line."""
        seen, size = self.peer.seen.agreed, self.peer.size.nodes
        return {
            "node_id": self.peer.node_key.node_id.hex(),
            "overlay": self._membership.overlay,
            "addresses": [address_text(address) for address in self._port.local],
            "seen_as": None if seen is None else address_text(seen),
            **verdict_in_words(self.verdict),
            "peers": len(self.peer.table),
            "estimated_nodes": None if size is None else round(size),
            "records_held": len(self.peer.store),
            "configuration": self._membership.configuration.sequence,
            "published": list(self.participant.published),
            "malformed": self.peer.malformed,
            "canary": self.participant.last_canary,
        }

    # Events and waiting

    def _on_event(self, event: Event) -> None:
        match event:
            case Published() | FoundDone() | RequestDone():
                self._ended(event)
            case MessageArrived(node_key, certificate, data):
                self._message_hook(node_key, certificate, data)
            case ConfigurationChanged(configuration):
                self._configuration_hook(configuration)
            case RegistrationNews(key):
                for hook in list(self._watching.get(key, ())):
                    hook()
            case PeerJoined():
                self._peer_met.set()
            case Joined():
                self._joined.set()
                self._joined = trio.Event()
            case ProbeElsewhere(data, destination):
                self._port.send_from_elsewhere(data, destination)
            case VerdictChanged(verdict):
                self._verdict_hook(verdict)
            case RendezvousChanged():
                self._rendezvous_hook()
            case ReachTested():
                self._tested.set()
                self._tested = trio.Event()
            case CanaryDone(address, False):
                _log.warning("our own registration at %s was not found in the overlay", address)

    def _ended(self, event: _Done) -> None:
        if isinstance(event, Published):
            self.is_accepted = event.holders > 0
            self.is_refused = event.refusal is not None and not event.holders
        if isinstance(event, Published) and event.refusal is not None:
            level = logging.INFO if event.holders else logging.WARNING
            _log.log(level, "a registration was refused: %s", event.refusal)
        waiting = self._waiting.pop((type(event), event.number), None)
        if waiting is not None:
            waiting[1].append(event)
            waiting[0].set()

    async def _wait(self, kind: type[_Done], number: int) -> _Done:
        done = trio.Event()
        results: list[_Done] = []
        self._waiting[kind, number] = (done, results)
        self._driver.pump()
        try:
            await done.wait()
        finally:
            self._waiting.pop((kind, number), None)
        return results[0]

    async def _wait_found(self, number: int) -> Found:
        done = await self._wait(FoundDone, number)
        assert isinstance(done, FoundDone)
        return done.found

    async def _remember_forever(self) -> None:
        """Who is met is written down at once, for we may be killed at any moment; the rest now and then."""
        while True:
            with trio.move_on_after(REMEMBER_SECONDS):
                await self._peer_met.wait()
            await trio.sleep(REMEMBER_SOON_SECONDS)
            self._peer_met = trio.Event()
            self._remember()

    def _remember(self) -> None:
        try:
            self._remembered.save(self.peers(), self._clock.unix())
        except RemoteError as error:
            _log.warning("%s", error)
