"""The one entry of presence: takes SUBSCRIBE and PUBLISH from the calls, and keeps who watches whom.

Own phones may watch everything of their person, and anybody in the overlay; other nodes may watch this node's person as far as
the permissions allow, and only for the addresses of their certificate. The open SIP world watches nobody.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.bindings import BindingTable
from p2psip.calls.equipment import Equipment, Party
from p2psip.presence.household import Household
from p2psip.presence.packages import DIALOG, MESSAGE_SUMMARY, PACKAGES, PRESENCE, Package, State, event_of
from p2psip.presence.person import Person
from p2psip.presence.pidf import Presence, compose
from p2psip.presence.ports import Mailbox, Permissions, WatchingDirectory
from p2psip.presence.publications import Publications
from p2psip.presence.watcher import FETCH_SECONDS_MAX, Prove, Watcher, refusal
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request

WATCHERS_MAX = 1_000
WATCHERS_PER_PHONE_MAX = 100
WATCHERS_PER_NODE_MAX = 8
WATCHERS_OF_NODES_MAX = 800
"""The rest is kept for own phones, however many members of the overlay watch."""
PEOPLE_MAX = 256
STOP_SECONDS_MAX = 1.0
AGAIN_SECONDS = 60.0
"""Until somebody is watched again whose watching has failed by a mistake of ours."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Watched:
    """Somebody who is watched elsewhere, and how many of our watchers that serves."""

    person: Person
    scope: trio.CancelScope
    watchers: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """What one watcher may know: of this node, of the person's other devices, or both."""

    package: Package
    local: Callable[[], State] | None
    person: Person | None

    @property
    def state(self) -> State:
        """All of it together."""
        states = [] if self.local is None else [self.local()]
        return self.package.compose(states + ([] if self.person is None else self.person.states))

    @property
    def is_rejected(self) -> bool:
        """Whether there is nothing that may be known."""
        return self.local is None and self.person is not None and self.person.is_rejected

    async def wait_settled(self) -> None:
        """Return once it is known who is there."""
        if self.person is not None:
            await self.person.settled.wait()


class PresenceServer:
    """Presence, busy lamps and waiting messages of one node. `prove` tells who sent a request (`CallServer.sender`)."""

    def __init__(
        self,
        *,
        equipment: Equipment,
        permissions: Permissions,
        directory: WatchingDirectory,
        bindings: BindingTable,
        mailbox: Mailbox,
        prove: Prove,
    ) -> None:
        self._equipment = equipment
        self._permissions = permissions
        self._directory = directory
        self._prove = prove
        self._publications = Publications(equipment.chance)
        self._household = Household(
            addresses=equipment.addresses,
            bindings=bindings,
            log=equipment.log,
            publications=self._publications,
            mailbox=mailbox,
            clock=equipment.clock,
        )
        self._household.on_change(self._note_change)
        self._watchers: dict[Watcher, None] = {}
        self._people: dict[tuple[str, str], _Watched] = {}
        self._changed = trio.Event()
        self._ended = trio.Event()
        self._is_stopping = False
        self.failures = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                self._changed = trio.Event()
                now = self._equipment.clock.now()
                self._publications.expire(now)
                for watcher in self._watchers:
                    if self._equipment.addresses.is_own(watcher.address):
                        self._tell(watcher)
                expiry = self._publications.next_expiry()
                with trio.move_on_after(float("inf") if expiry is None else max(expiry - now, 0.0)):
                    await self._changed.wait()

    async def stop(self) -> None:
        """Tell all watchers that this node goes, so that they know at once; takes up to STOP_SECONDS_MAX."""
        self._is_stopping = True
        for watcher in self._watchers:
            watcher.end("deactivated")
        with trio.move_on_after(STOP_SECONDS_MAX):
            while self._watchers:
                self._ended = trio.Event()
                await self._ended.wait()

    def status(self) -> dict[str, int]:
        """Sizes of the tables."""
        return {"watchers": len(self._watchers), "watched": len(self._people), "publications": len(self._publications)}

    async def look(self, address: str) -> Presence:
        """The presence of somebody as own phones see it, within FETCH_SECONDS_MAX; RemoteError(403) if they let us see nothing."""
        package = PACKAGES[PRESENCE]
        own = self._equipment.addresses.is_own(address)
        if (PRESENCE, address) not in self._people and len(self._people) >= PEOPLE_MAX:
            raise RemoteError("this node watches as many people as it can", status=503)
        watched = self._watch(package, address)
        try:
            with trio.move_on_after(FETCH_SECONDS_MAX):
                await watched.person.settled.wait()
            if watched.person.is_rejected and not own:
                raise RemoteError(f"{address} does not let you see that", status=403)
            states = [self._household.state(PRESENCE, with_calls=True, with_names=True)] if own else []
            return compose([each for each in states + watched.person.states if isinstance(each, Presence)])
        finally:
            self._let_go(watched)

    async def subscribe(self, exchange: ServerExchange) -> None:
        """Serve a SUBSCRIBE outside of dialogs."""
        try:
            party = await self._prove(exchange)
            if party is not None:
                self._begin(exchange, party)
        except RemoteError as error:
            exchange.respond(refusal(exchange.request, error, self._equipment))

    async def publish(self, exchange: ServerExchange) -> None:
        """Serve a PUBLISH (RFC 3903 §6)."""
        try:
            party = await self._prove(exchange)
            if party is not None:
                self._take_publication(exchange, party)
        except RemoteError as error:
            response = refusal(exchange.request, error, self._equipment)
            if error.status == 415:
                package = PACKAGES[event_of(exchange.request.headers.get("Event"))[0]]
                response.headers.add("Accept", package.content_type)
            exchange.respond(response)

    # SUBSCRIBE

    def _begin(self, exchange: ServerExchange, party: Party) -> None:
        request = exchange.request
        package = _package_of(request)
        address = self._address_of(request)
        self._check_permission(party, package, address)
        _check_accept(request, package)
        self._check_room(party)
        is_own = self._equipment.addresses.is_own(address)
        local = self._local(party, package) if is_own else None
        lives_elsewhere = not party.is_node and package.name != MESSAGE_SUMMARY
        with_person = lives_elsewhere and ((package.name, address) in self._people or len(self._people) < PEOPLE_MAX)
        if lives_elsewhere and not with_person and not is_own:
            raise RemoteError("this node watches as many people as it can", status=503)
        watched = self._watch(package, address) if with_person else None
        view = _View(package, local, None if watched is None else watched.person)
        try:
            watcher = Watcher(self._equipment, package, address, party, view, request)
        except RemoteError:
            self._let_go(watched)
            raise
        self._watchers[watcher] = None
        exchange.respond(watcher.response)
        self._nursery.start_soon(self._serve, watcher, watched)

    async def _serve(self, watcher: Watcher, watched: _Watched | None) -> None:
        try:
            with self._surviving(watcher.phone):
                await watcher.run(self._prove)
        finally:
            self._watchers.pop(watcher, None)
            self._ended.set()
            self._let_go(watched)

    def _tell(self, watcher: Watcher) -> None:
        with self._surviving(watcher.phone):
            watcher.note_change()

    @contextmanager
    def _surviving(self, who: str) -> Iterator[None]:
        """The one boundary of watching: what cannot be served ends with a line in the log."""
        try:
            yield
        except Exception:  # the driver loop of watching: one broken document must not end the node
            self.failures += 1
            _log.exception("watching for or of %s has failed", who)

    def _address_of(self, request: Request) -> str:
        address = self._equipment.addresses.of_ours(request.uri)
        if address is None or address.startswith("@"):
            raise RemoteError(f"only people of {self._equipment.settings.overlay} can be watched from here", status=404)
        return address

    def _check_permission(self, party: Party, package: Package, address: str) -> None:
        own = self._equipment.addresses.is_own
        if party.kind in ("trunk", "stranger"):
            raise RemoteError("only members of this overlay may watch its people", status=403)
        if package.name == MESSAGE_SUMMARY and not (own(address) and own(party.address) and not party.is_node):
            raise RemoteError("only a person's own phones may know of their messages", status=403)
        if not party.is_node or own(party.address):
            return
        if not own(address):
            raise RemoteError(f"{address} does not live on this node", status=404)
        permissions = self._permissions
        may = permissions.may_see if package.name == PRESENCE else permissions.may_see_calls
        if not may(party.address):
            raise RemoteError("this person does not let you see that", status=403)

    def _check_room(self, party: Party) -> None:
        mine = party.flow.remote[0] if party.account is None else party.account
        used = sum(watcher.phone == mine for watcher in self._watchers)
        if used >= (WATCHERS_PER_NODE_MAX if party.is_node else WATCHERS_PER_PHONE_MAX):
            raise RemoteError("too many subscriptions of one phone or node", status=503)
        of_nodes = sum(watcher.party.is_node for watcher in self._watchers)
        is_crowded = party.is_node and of_nodes >= WATCHERS_OF_NODES_MAX
        if len(self._watchers) >= WATCHERS_MAX or is_crowded or self._is_stopping:
            raise RemoteError("this node serves as many subscriptions as it can", status=503)

    def _local(self, party: Party, package: Package) -> Callable[[], State]:
        is_own = self._equipment.addresses.is_own(party.address)
        with_calls = is_own or self._permissions.may_see_calls(party.address)
        return partial(self._household.state, package.name, with_calls=with_calls, with_names=is_own)

    # People elsewhere

    def _watch(self, package: Package, address: str) -> _Watched:
        watched = self._people.get((package.name, address))
        if watched is None:
            changed = partial(self._person_changed, package.name, address)
            seconds = self._permissions.watch_seconds
            person = Person(self._equipment, self._directory, package, address, seconds, changed)
            watched = self._people[package.name, address] = _Watched(person, trio.CancelScope())
            self._nursery.start_soon(self._follow, watched)
        watched.watchers += 1
        return watched

    async def _follow(self, watched: _Watched) -> None:
        with watched.scope:
            while True:
                with self._surviving(watched.person.address):
                    await watched.person.run()
                await trio.sleep(AGAIN_SECONDS)

    def _let_go(self, watched: _Watched | None) -> None:
        if watched is None:
            return
        watched.watchers -= 1
        if not watched.watchers:
            watched.scope.cancel()
            self._people.pop((watched.person.package.name, watched.person.address), None)

    def _person_changed(self, package: str, address: str) -> None:
        for watcher in self._watchers_of(package, address):
            self._tell(watcher)

    def _watchers_of(self, package: str, address: str) -> Iterator[Watcher]:
        return (each for each in self._watchers if each.package.name == package and each.address == address)

    def _note_change(self) -> None:
        """Every call and every REGISTER is a change, of which most nodes have nobody to tell."""
        if self._watchers:
            self._changed.set()

    # PUBLISH

    def _take_publication(self, exchange: ServerExchange, party: Party) -> None:
        request = exchange.request
        package = _package_of(request)
        own = self._equipment.addresses.is_own
        if party.is_node or not own(party.address) or not own(self._address_of(request)):
            raise RemoteError("phones publish for their own person only", status=403)
        if not package.can_be_published:
            raise RemoteError(f"this node knows by itself what to tell of {DIALOG}", status=489)
        if request.body and request.content_type != package.content_type:
            raise RemoteError(f"{package.name} is published as {package.content_type}", status=415)
        tag, seconds = self._publications.publish(
            package,
            party.account or "",
            if_match=request.headers.get("SIP-If-Match"),
            expires=request.expires,
            body=request.body,
            now=self._equipment.clock.now(),
        )
        headers = [("SIP-ETag", tag), ("Expires", str(seconds))]
        exchange.respond(make_response(request, 200, to_tag=self._equipment.tag(), headers=headers))
        self._changed.set()


def _package_of(request: Request) -> Package:
    name = event_of(request.headers.get("Event"))[0]
    package = PACKAGES.get(name)
    if package is None:
        raise RemoteError(f"the event {name[:40]!r} is not served here", status=489)
    return package


def _check_accept(request: Request, package: Package) -> None:
    """406 when the watcher would not understand what it is told (RFC 6665 §3.1.3)."""
    accepted = [
        each.partition(";")[0].strip().lower() for line in request.headers.all("Accept") for each in line.split(",")
    ]
    if accepted and not {package.content_type, "*/*", "application/*"}.intersection(accepted):
        raise RemoteError(f"{package.name} is told as {package.content_type} only", status=406)
