"""A whole member of the overlay as a core: a `Peer` that joins, keeps its person registered, finds others and comes back.

Commands give a number back; an event with that number tells the end. Numbers of a participant's own commands (`Published`,
`FoundDone`) and those of its peer's are counted apart: the type of the event tells which. `overlay.service` runs it on a
socket, `simulations` by the thousand on a virtual clock. Its own deadlines stand in one table beside those of the peer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from overlay.addresses import addresses_to_tell
from overlay.crossing import Volunteering
from overlay.events import (
    LookupDone,
    Output,
    PeerJoined,
    ReachTested,
    RendezvousChanged,
    StoreDone,
    VerdictChanged,
)
from overlay.found import Found, FoundCache, read_found
from overlay.joining import JOIN, REUNION, Joining
from overlay.membership import Membership
from overlay.paths import Gateway
from overlay.peer import Peer
from overlay.publishing import Publishing, Where
from overlay.reachability import Role
from overlay.records import registration_key
from overlay.sealing import Sealing
from overlay.searches import SearchPolicy
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.base.timers import NEVER, Timers


@dataclass(frozen=True, slots=True)
class Joined:
    """An attempt to join has ended: how many peers are known now. After one that met nobody the next comes by itself."""

    peers: int


@dataclass(frozen=True, slots=True)
class Published:
    """Registrations were stored or withdrawn: the least number of holders of one, and the last refusal if there was one.

    `number` is that of the command; 0 when they were refreshed, or this node had moved.
    """

    number: int
    holders: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class CanaryDone:
    """Our own registration at `address` was looked up after a store: whether it was found."""

    address: str
    is_found: bool


@dataclass(frozen=True, slots=True)
class FoundDone:
    """The command `number`, to find a person's `address`, has ended."""

    number: int
    address: str
    found: Found


WATCHES = "watches"
"""The name of the deadline at which holders are asked again to tell us."""

Event = Output | Joined | Published | CanaryDone | FoundDone


class Participant:
    """The core of one member. `bound`: what its port is bound to; wildcards tell others nothing."""

    __slots__ = (
        "_finding", "_found", "_joining", "_last_number", "_local", "_now", "_outputs", "_publishing", "_timers", "bound", "peer",
    )  # fmt: skip

    def __init__(
        self,
        *,
        node_key: NodeKey,
        signing_key: SigningKey,
        certificate: DeviceCertificate,
        membership: Membership,
        chance: Chance,
        now: float,
        unix_offset: float,
        role: Role | None = None,
        volunteer: Volunteering | None = None,
        sealing: Sealing | None = None,
        policy: SearchPolicy | None = None,
        bound: Sequence[Address] = (),
    ) -> None:
        self.peer = Peer(
            node_key=node_key,
            certificate=certificate.der,
            membership=membership,
            chance=chance,
            now=now,
            unix_offset=unix_offset,
            role=role,
            sealing=sealing,
            policy=policy,
        )
        self.peer.crossing.volunteer(volunteer)
        self.bound = tuple(bound)
        self._local: tuple[Address, ...] = ()
        self._now = now
        self._timers: Timers[str] = Timers()
        self._outputs: list[Event] = []
        self._finding: dict[int, tuple[int, str]] = {}
        self._found = FoundCache()
        self._last_number = 0
        chance = chance.child("participant")  # one for both: a stream of its own takes 2.5 KB
        self._joining = Joining(self.peer, self._timers, chance, self._joined)
        self._publishing = Publishing(
            self.peer,
            self._timers,
            chance,
            certificate=certificate,
            signing_key=signing_key,
            volunteers=volunteer is not None,
            where=self.where,
            done=self._published,
            canary=self._canary_done,
        )

    # Commands

    def join(self, introducers: Sequence[tuple[bytes, Address]], now: float) -> None:
        """Greet these, the best first, and find our place among their peers; `Joined` tells the end."""
        self._now = now
        self._publishing.hold()
        self._joining.join(introducers, now)

    def publish(self, addresses: Sequence[str], now: float, capabilities: Sequence[str] = ("audio", "message")) -> int:
        """Register this node for its person's `addresses` until `withdraw`; `Published` tells the end of the first time.

        It waits for the end of a join. RemoteError when our certificate is not good now, LocalError when too many wait.
        """
        self._now = now
        number = self._next_number()
        self._publishing.publish(number, addresses, capabilities, now)
        return number

    def withdraw(self, addresses: Sequence[str], now: float) -> int:
        """Take the registrations back everywhere; `Published` tells the end."""
        self._now = now
        number = self._next_number()
        self._publishing.withdraw(number, addresses, now)
        return number

    def find(self, address: str, now: float) -> int:
        """Where a person can be reached, at once if it was found in the last FOUND_SECONDS_MAX seconds; else `find_again`."""
        found = self._found.get(address, now)
        if found is None:
            return self.find_again(address, now)
        number = self._next_number()
        self._outputs.append(FoundDone(number, address, found))
        return number

    def find_again(self, address: str, now: float) -> int:
        """Look a person up, past the cache; `FoundDone` tells the end. LocalError when too many lookups are under way."""
        self._now = now
        lookup = self.peer.look_up(registration_key(address), now)
        number = self._next_number()
        self._finding[lookup] = (number, address)
        return number

    def forget_found(self, address: str) -> None:
        """A contact from the cache did not answer: look it up anew next time."""
        self._found.forget(address)

    def note_local(self, local: Sequence[Address], now: float) -> None:
        """The addresses that this host has itself; what is bound and not among them is not told."""
        self._local = tuple(local)
        self.peer.reach.note_local(local, now)

    def network_changed(self, local: Sequence[Address], now: float) -> None:
        """This host has other addresses now: forget what others have seen, and test anew at once."""
        self._now = now
        self._local = tuple(local)
        self.peer.network_changed(local, now)
        self._publishing.look_soon(now)

    def use_gateways(self, gateways: Sequence[Gateway], now: float) -> None:
        """Send what we cannot send ourselves through the first of these super-nodes, and attach to all; none: no more."""
        self._now = now
        self.peer.use_gateways(gateways, now)
        self._publishing.look_soon(now)

    def retire(self, now: float) -> None:
        """This node ends soon: who is attached learns it at once, and is served while moving to others."""
        self._now = now
        self.peer.crossing.leave()

    def update_certificate(self, certificate: DeviceCertificate) -> None:
        """Our certificate was renewed."""
        self._publishing.certificate = certificate
        self.peer.update_certificate(certificate.der)

    def watch(self, address: str, now: float) -> None:
        """Put `RegistrationNews` out when a registration of `address` changes, until `stop_watching`. LocalError over a bound."""
        self._now = now
        self.peer.crossing.watching.watch(registration_key(address), now)
        self._renew_watches(now)

    def stop_watching(self, address: str) -> None:
        """Watch this person no more."""
        self.peer.crossing.watching.stop(registration_key(address))

    # Facts

    @property
    def published(self) -> tuple[str, ...]:
        """The addresses that this node is registered for, or is about to be."""
        return self._publishing.published

    @property
    def certificate(self) -> DeviceCertificate:
        """Our own certificate."""
        return self._publishing.certificate

    @property
    def last_canary(self) -> str:
        """What came of reading our own registration back, in words."""
        return self._publishing.last_canary

    def where(self) -> Where:
        """How this node is reached: a peer where others see it, a client by rendezvous and never at its own addresses."""
        if self.peer.reach.is_client:
            return (), self.peer.crossing.public_flows
        own = [address for address in self.bound if address in self._local]
        return addresses_to_tell(self.peer.seen.candidates, own), ()

    # Core

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram."""
        self._now = now
        self.peer.receive(data, source, now)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        self._now = now
        self.peer.handle_timeout(now)
        if self._timers.at <= now:
            self._serve(now)
        self._joining.look_after(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        own, of_peer = self._timers.at, self.peer.poll_timeout()
        if of_peer is not None and of_peer < own:
            return of_peer
        return own if own < NEVER else None

    def poll_output(self) -> Event | None:
        """The next output, or None. What the peer tells of our own lookups and stores is kept here."""
        poll = self.peer.poll_output
        while (output := poll()) is not None:
            if type(output) is Transmit or not self._take(output):
                return output
        return self._outputs.pop(0) if self._outputs else None

    def _serve(self, now: float) -> None:
        for name in self._timers.expired(now):
            if name == WATCHES:
                self._renew_watches(now)
            elif name in (JOIN, REUNION):
                self._joining.expired(name, now)
                if self._joining.is_under_way:
                    self._publishing.hold()
            else:
                self._publishing.expired(name, now)

    def _renew_watches(self, now: float) -> None:
        due = self.peer.crossing.watching.renew(now)
        if due is not None:
            self._timers.set(WATCHES, due)

    def _take(self, event: Output) -> bool:
        """Learn from an event of the peer; whether it was for us only."""
        now = self._now
        match event:
            case LookupDone():
                return self._looked_up(event)
            case StoreDone():
                return self._publishing.stored(event, now)
            case PeerJoined(contact):
                self._joining.met(contact, now)
                self._publishing.met(now)
            case ReachTested():
                self._joining.tested(now)
            case VerdictChanged() | RendezvousChanged():
                self._publishing.look_soon(now)
        return False

    def _looked_up(self, done: LookupDone) -> bool:
        finding = self._finding.pop(done.number, None)
        if finding is None:
            return self._joining.looked_up(done, self._now) or self._publishing.looked_up(done, self._now)
        found = read_found(done)
        if done.closest:  # else nobody was there to ask
            self._found.put(finding[1], found, self._now)
        self._outputs.append(FoundDone(*finding, found))
        return True

    def _joined(self, peers: int, now: float) -> None:
        self._outputs.append(Joined(peers))
        self._publishing.release(now)

    def _published(self, number: int, holders: int, refusal: str | None) -> None:
        self._outputs.append(Published(number, holders, refusal))

    def _canary_done(self, address: str, is_found: bool) -> None:
        self._outputs.append(CanaryDone(address, is_found))

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number
