"""One node of the overlay as a core: datagrams and time in; datagrams and events out.

It ties together frames, requests, the routing table, lookups, records and conversations. Commands give a number back; an event
with that number tells the end. The same object runs behind a socket (`overlay.service`) and by the thousand on a virtual clock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from overlay import rpc
from overlay.acquaintance import Acquaintance
from overlay.buckets import FAILURES_MAX, RoutingTable
from overlay.contact import Contact
from overlay.conversation import Conversations
from overlay.correspondence import Correspondence
from overlay.crossing import NESTED_MAX, Crossing, Surroundings
from overlay.dialback import DialBack
from overlay.events import Output, PeerJoined, ReachTested, VerdictChanged
from overlay.frame import FrameBox
from overlay.handover import HandOver
from overlay.heard import HeardAddresses
from overlay.holder import Holder, Served
from overlay.members import Members
from overlay.membership import Membership
from overlay.paths import Gateway
from overlay.reachability import Reachability, Role
from overlay.records import Record
from overlay.region import NetworkSize
from overlay.registration import Rendezvous
from overlay.rpc import ANSWER, REQUEST, Callback, Late, PendingRequests
from overlay.sealing import Sealing
from overlay.searches import Searches, SearchPolicy
from overlay.store import RecordStore
from overlay.storing import Stores
from overlay.upkeep import Upkeep
from overlay.votes import AddressVotes
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey, node_id_of
from p2psip.base.timers import NEVER, Timers


class Peer:
    """The core of one node. `unix_offset` is unix time minus steady time; set it anew when the wall clock was corrected."""

    __slots__ = (
        "_acquaintance", "_answer", "_box", "_clockwork", "_correspondence", "_handover", "_heard", "_holder", "_may_cause",
        "_members", "_outputs", "_requests", "_searches", "_upkeep", "crossing", "dialback", "malformed", "membership",
        "node_key", "number", "reach", "seen", "stores", "table"
    )  # fmt: skip

    def __init__(
        self,
        *,
        node_key: NodeKey,
        certificate: bytes,
        membership: Membership,
        chance: Chance,
        now: float,
        unix_offset: float,
        role: Role | None = None,
        sealing: Sealing | None = None,
        policy: SearchPolicy | None = None,
    ) -> None:
        self.node_key = node_key
        self.number = int.from_bytes(node_key.node_id, "big")
        self.membership = membership
        self.table = RoutingTable(self.number)
        self.malformed, self.seen = 0, AddressVotes()
        self._box = FrameBox(node_key, chance.child("frames"), now + unix_offset, sealing)
        self._holder = Holder(self.table, membership, certificate, chance.child("tokens"))
        self._answer = self._holder.answer
        self._requests = PendingRequests(chance.child("requests"), self._send, self._box.peer)
        self._searches = Searches(node_key.public, self.table, self._holder.verifier, self._ask, self._emit, policy)
        self._searches.now, self._searches.unix_offset = now, unix_offset
        self.stores = Stores(self._searches, self._emit)
        self._handover = HandOver(self.table, self._holder, self._searches, self._ask, chance.child("offers"))
        self._members, self._heard = Members(membership, self._box), HeardAddresses(self._box)
        self._acquaintance = Acquaintance(
            self._heard,
            ask=self._ask,
            time=lambda: self._searches.now,
            may_cause=lambda: self._may_cause,
            update=self.update_configuration,
            emit=self._emit,
        )
        around = self._surroundings()
        self.crossing = Crossing(
            node_key.public, membership.overlay, self._box, self._heard, self._members, around, chance.child("crossing")
        )
        self._correspondence = Correspondence(
            Conversations(node_key, chance.child("talk"), now=now, unix_offset=unix_offset),
            self.crossing.routes,
            self._members,
            seal=self.crossing.paths.seal,
            certificate=lambda: self._holder.certificate,
            ask_who=self._acquaintance.ask_who,
            emit=self._emit,
        )
        self.reach = Reachability(now, role)
        self.dialback = DialBack(self.reach, self.table, self._box, around, chance.child("dialback"))
        self._holder.methods |= self.dialback.serve(self._members, self._holder, self._send) | self.crossing.methods
        self._holder.stored = self.crossing.stored
        greet, peer = self._acquaintance.greet, chance.child("peer")
        is_mapped = self.reach.is_behind_nat
        self._upkeep = Upkeep(self.table, self._searches, self.store, self._ask, greet, is_mapped, peer, now)
        self._clockwork = self._wind_up()
        self._outputs: deque[Output] = deque()
        self._may_cause = 0  # bytes that the datagram at hand may still cause, if a stranger sent it

    def _surroundings(self) -> Surroundings:
        """What the parts of this node need of it."""
        return Surroundings(
            ask=self._ask,
            find=self._searches.find,
            ask_who=self._acquaintance.ask_who,
            meet=self.greet,
            transmit=self._transmit,
            emit=self._emit,
            confine=self._confine,
            time=lambda: self._searches.now,
            unix=lambda: self._searches.now + self._searches.unix_offset,
        )

    def _wind_up(self) -> tuple[tuple[Timers[Any], Callable[[float], None]], ...]:
        """All tables of deadlines of this node, and who serves each."""
        return (
            (self._requests.timers, self._give_up),
            (self._correspondence.conversations.timers, self._correspondence.handle_timeout),
            (self.crossing.routes.timers, self.crossing.routes.handle_timeout),
            (self.crossing.rendezvous.timers, self.crossing.rendezvous.handle_timeout),
            (self.dialback.timers, self.dialback.handle_timeout),
            (self._upkeep.timers, self._upkeep.handle_timeout),
            (self._handover.timers, self._handover.handle_timeout),
        )

    @property
    def unix_offset(self) -> float:
        """Unix time minus steady time."""
        return self._searches.unix_offset

    @unix_offset.setter
    def unix_offset(self, seconds: float) -> None:
        self._searches.unix_offset = seconds
        self._correspondence.conversations.unix_offset = seconds

    @property
    def store(self) -> RecordStore:
        """What this node holds for others."""
        return self._holder.store

    @property
    def size(self) -> NetworkSize:
        """The estimate of the network's size."""
        return self._searches.size

    def greet(self, node_key: bytes, address: Address, now: float) -> None:
        """Ask a node for its certificate, and take it into the routing table if it answers and belongs."""
        self._acquaintance.greet(Contact(node_key, address), now)

    def look_up(self, key: bytes, now: float, *, records: bool = True) -> int:
        """Begin a lookup; `LookupDone` tells its end. LocalError when LOOKUPS_MAX are under way."""
        return self._searches.look_up(key, now, records=records)

    def store_record(self, record: Record, now: float, beside: Sequence[Record] = (), *, anew: bool = False) -> int:
        """Store a record, and others `beside` it, at the region of its key (`overlay.storing`); `StoreDone` tells the end."""
        self._holder.note_own(record)
        return self.stores.store(record, now, beside, anew=anew)

    def request(self, node_key: bytes, address: Address, method: int, arguments: list[Any], now: float) -> int:
        """Ask a node something; `RequestDone` brings the answer. Asked again with the token that a first refusal brings."""
        number = self._searches.take_number()
        self._acquaintance.request(number, Contact(node_key, address), method, arguments, now)
        return number

    def say(self, node_key: bytes, ways: Sequence[Address | Rendezvous], data: bytes, now: float) -> None:
        """Say `data` in a conversation: to where the node was heard from lately, else over all `ways` (`overlay.routes`)."""
        self._searches.now = now
        self._correspondence.say(node_key, self.crossing.ways(ways, now), data, now)

    def update_certificate(self, certificate: bytes) -> None:
        """Our certificate was renewed."""
        self._holder.certificate = certificate

    def update_configuration(self, configuration: bytes) -> bool:
        """Take a newer signed configuration; peers that it bans or revokes leave the table."""
        newer = self.membership.update(configuration)
        if newer:
            for contact in [contact for contact in self.table if not self._is_member(contact, self._searches.now)]:
                self.table.remove(contact)
        return newer

    def network_changed(self, local: Sequence[Address], now: float) -> None:
        """Our own addresses are others now: forget where we were seen, and test anew at once."""
        self.seen = AddressVotes()
        self.dialback.network_changed(local, now)
        self.crossing.network_changed(now)

    def use_gateways(self, gateways: Sequence[Gateway], now: float) -> None:
        """Send everything through the first of these super-nodes, since we have no UDP; none: no more."""
        self.crossing.use_gateways(gateways, now)

    def _confine(self, is_confined: bool, now: float) -> None:
        if is_confined != self.reach.is_confined:
            self.reach.confine(is_confined, now)
            self.crossing.take_role(self.reach.is_client, now)

    # Core

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram."""
        self._searches.now = now
        self._may_cause = rpc.AMPLIFICATION_MAX * len(data)
        try:
            self._take(data, source, now, NESTED_MAX)
        except RemoteError:
            self.malformed += 1

    def _take(self, data: bytes, source: Address, now: float, nested: int) -> None:
        sender, payload = self._box.open(data, now, source)
        self.crossing.routes.heard(sender, source, now)
        kind = payload[0] if payload else 0
        if kind == REQUEST:
            self._take_request(sender, payload, source, now)
        elif kind == ANSWER:
            self._take_answer(sender, payload, source, now)
        elif kind in (rpc.CONVERSATION, rpc.INTRODUCTION):
            self._correspondence.receive(sender, payload, now)
        elif kind == rpc.RELAY:
            self.crossing.take_relay(sender, payload, source, now)
        elif kind == rpc.RELAYED and nested:
            self._take(*self.crossing.take_relayed(sender, payload, source), now, nested - 1)
        elif kind == rpc.LOST:
            self.crossing.take_lost(sender, payload, self.node_key.node_id, now)
        elif kind == rpc.PROBE:
            self.dialback.take_probe(payload, source, now)
        else:
            self.malformed += 1

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        self._searches.now = now
        for timers, serve in self._clockwork:
            if timers.at <= now:
                serve(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        at = NEVER
        for timers, _serve in self._clockwork:
            if timers.at < at:
                at = timers.at
        return None if at == NEVER else at

    def _give_up(self, now: float) -> None:
        for contact, callback in self._requests.handle_timeout(now):
            self.table.note_failed(contact)
            if contact.failures >= FAILURES_MAX:
                self.table.remove(contact)
            callback(contact, None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _emit(self, output: Output) -> None:
        self._outputs.append(output)
        is_tested = self.dialback.is_settled or not self.reach.is_client  # it sends to hosts that may test us
        if is_tested and isinstance(output, VerdictChanged | ReachTested):
            self.crossing.take_role(self.reach.is_client, self._searches.now)

    # Requests and answers

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[Any],
        callback: Callback,
        now: float,
        late: Late | None = None,
        *,
        once: bool = False,
    ) -> None:
        self._searches.now = now
        try:
            self.crossing.check_reach(contact.address)
            self._requests.ask(
                contact,
                method,
                arguments,
                callback,
                wants=contact.node_key not in self._members,
                certificate=self._holder.certificate,
                sequence=self.membership.configuration.sequence,
                now=now,
                late=late,
                is_client=self.reach.is_client,
                once=once,
            )
        except LocalError:
            callback(contact, None)

    def _send(self, node_key: bytes, address: Address, payload: bytes) -> None:
        try:
            self.crossing.paths.send(node_key, address, payload)
        except RemoteError:
            self.malformed += 1

    def _transmit(self, transmit: Transmit) -> None:
        self._outputs.append(transmit)
        self._may_cause -= len(transmit.data)
        self.reach.touched.note(transmit.destination, self._searches.now)

    def _take_request(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        configuration = self.membership.configuration
        if configuration.banned_node_ids and node_id_of(sender) in configuration.banned_node_ids:
            return
        self.dialback.take_request(source, now)
        self._holder.is_client = self.reach.is_client
        served = self._answer(sender, payload, source, now, now + self._searches.unix_offset)
        request = served.request
        self._send(sender, source, served.payload)
        held = self.table.find(sender)
        if held is not None and served.is_proved:
            held.last_seen = now  # it lives; whether it answers, only answers show
        if held is None or held.address != source or request.certificate or request.is_client:
            self._meet(held, Contact(sender, source), served, now)
        if request.sequence > configuration.sequence and self._is_member(contact := Contact(sender, source), now):
            self._acquaintance.ask_configuration(contact, now)

    def _meet(self, held: Contact | None, contact: Contact, served: Served, now: float) -> None:
        """An asker is taken in once it is known to belong and to live where it asks from, if there is room for it.

        It is pinged only when its answer can change something; else two full tables would ping one another for ever.
        """
        is_far = is_synthetic(contact.address[0])
        if self.crossing.relaying is not None or is_far:
            self._learn_shown(contact, served, now)
        if served.request.is_client:
            self.table.remove(contact)
        if served.request.is_client or is_far:
            return
        if held is not None:
            if served.is_proved:
                self.table.move(held, contact.address)
            return
        if not self.table.has_room(contact):
            return
        self._learn_shown(contact, served, now)
        is_member = self._is_member(contact, now)
        if is_member and served.is_proved:
            self._take_in(contact, now)
        elif is_member or served.is_proved:
            self._upkeep.greet_later(contact, now)

    def _learn_shown(self, contact: Contact, served: Served, now: float) -> None:
        if served.request.certificate and contact.node_key not in self._members:
            self._learn_certificate(contact, served.request.certificate, now)

    def _take_in(self, contact: Contact, now: float) -> None:
        contact.last_seen = now
        if self.table.add(contact):
            self._outputs.append(PeerJoined(contact))
            self.crossing.joined(now)
            self._handover.meet(contact, now)

    def _take_answer(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        found = self._requests.receive(sender, payload, now)
        if found is None:
            return
        contact, answer, callback = found
        if answer.certificate is not None:
            self._learn_certificate(contact, answer.certificate, now)
        if self._is_member(contact, now):
            if answer.is_client:
                self.table.remove(contact)
            elif self.table.get(contact) is None and not is_synthetic(contact.address[0]):
                self._take_in(contact, now)
            if not (is_synthetic(source[0]) or is_synthetic(answer.seen[0])):
                self.seen.cast(sender, answer.seen)
                self.dialback.answered(contact, answer.seen, now)
            callback(contact, answer)
        else:
            self.table.remove(contact)
            callback(contact, None)
        if answer.sequence > self.membership.configuration.sequence and self._is_member(contact, now):
            self._acquaintance.ask_configuration(contact, now)

    def _learn_certificate(self, contact: Contact, der: bytes, now: float) -> None:
        certificate = self._members.learn(contact.node_key, der, now + self.unix_offset)
        if certificate is not None:
            self._correspondence.proved(contact.node_key, certificate)
            if self.crossing.relaying is not None:
                self.crossing.relaying.proved(contact.node_key, now)

    def _is_member(self, contact: Contact, now: float) -> bool:
        return self._members.certificate_of(contact.node_key, now + self._searches.unix_offset) is not None
