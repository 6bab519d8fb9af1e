"""One node of the overlay as a core: datagrams and time in; datagrams and events out.

It ties the parts together: sealed frames, requests, the routing table, lookups, records and conversations. Commands begin
something and give a number back; an event with that number tells the end. The same object runs behind a socket
(`overlay.service`) and by the thousand on a virtual clock.
"""

from collections import deque
from typing import Any

from overlay.buckets import FAILURES_MAX, RoutingTable
from overlay.contact import Contact
from overlay.conversation import Conversations
from overlay.correspondence import Correspondence
from overlay.events import ConfigurationChanged, Output, PeerJoined
from overlay.frame import FrameBox
from overlay.heard import HeardAddresses
from overlay.holder import Holder, Served
from overlay.members import Members
from overlay.membership import Membership
from overlay.records import Record, encode_record
from overlay.region import NetworkSize
from overlay.rpc import (
    ANSWER,
    CONFIGURATION,
    CONVERSATION,
    OK,
    PING,
    REQUEST,
    Answer,
    Callback,
    Late,
    PendingRequests,
)
from overlay.searches import STORE_WIDTH, Searches
from overlay.store import RecordStore
from overlay.votes import AddressVotes
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey, node_id_of
from p2psip.base.timers import Timers, earliest

REFRESH_SECONDS = 300.0
PING_SECONDS = 20.0
HANDED_OVER_MAX = 64
CHECKED_AT_ONCE_MAX = 4_096
HANDING_OVER_NODES = 3


class Peer:
    """The core of one node. `unix_offset` is unix time minus steady time; set it anew when the wall clock was corrected."""

    def __init__(
        self,
        *,
        node_key: NodeKey,
        certificate: bytes,
        membership: Membership,
        chance: Chance,
        now: float,
        unix_offset: float,
    ) -> None:
        self.node_key = node_key
        self.number = int.from_bytes(node_key.node_id, "big")
        self.membership = membership
        self.table = RoutingTable(self.number)
        self.malformed = 0
        self.seen = AddressVotes()
        self._box = FrameBox(node_key, chance.child("frames"), now + unix_offset)
        self._holder = Holder(self.table, membership, certificate, chance.child("tokens"))
        self._requests = PendingRequests(chance.child("requests"), self._send_request)
        self._chance = chance.child("peer")
        self._searches = Searches(node_key.public, self.table, self._holder.verifier, self._ask, self._emit)
        self._searches.unix_offset = unix_offset
        self._members = Members(membership)
        self._heard = HeardAddresses()
        self._correspondence = Correspondence(
            Conversations(node_key, chance.child("talk"), now=now, unix_offset=unix_offset),
            self._heard,
            self._members,
            send=self._send,
            ask_who=self._ask_who,
            emit=self._emit,
        )
        self._checking: set[bytes] = set()
        self._timers: Timers[str] = Timers()
        self._timers.set("refresh", now + self._chance.uniform(0.5, 1.0) * REFRESH_SECONDS)
        self._timers.set("ping", now + self._chance.uniform(0.5, 1.0) * PING_SECONDS)
        self._outputs: deque[Output] = deque()

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

    # Commands

    def greet(self, node_key: bytes, address: Address, now: float) -> None:
        """Ask a node for its certificate, and take it into the routing table if it answers and belongs."""
        self._check_membership(Contact(node_key, address), now)

    def look_up(self, key: bytes, now: float, *, records: bool = True) -> int:
        """Begin a lookup; `LookupDone` tells its end. LocalError when LOOKUPS_MAX are under way."""
        return self._searches.look_up(key, now, records=records)

    def store_record(self, record: Record, now: float) -> int:
        """Look for the region of the record's key and store it there; `StoreDone` tells how many took it."""
        return self._searches.store(record, now)

    def say(self, node_key: bytes, address: Address | None, data: bytes, now: float) -> None:
        """Say `data` in a conversation: to where the node was heard from lately, else to `address`, if one is given."""
        self._correspondence.say(node_key, address, data, now)

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

    def address_of(self, node_key: bytes) -> Address | None:
        """Where a node was heard from last."""
        return self._heard.get(node_key)

    # Core

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram."""
        self._searches.now = now
        try:
            sender, payload = self._box.open(data, now)
            self._heard.note(sender, source, now)
            kind = payload[0] if payload else 0
            if kind == REQUEST:
                self._take_request(sender, payload, source, now)
            elif kind == ANSWER:
                self._take_answer(sender, payload, source, now)
            elif kind == CONVERSATION:
                self._correspondence.receive(sender, payload, now)
            else:
                self.malformed += 1
        except RemoteError:
            self.malformed += 1

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        self._searches.now = now
        for contact, callback in self._requests.handle_timeout(now):
            if contact.failures >= FAILURES_MAX:
                self.table.remove(contact)
            callback(contact, None)
        self._correspondence.handle_timeout(now)
        for name in self._timers.expired(now):
            if name == "refresh":
                self._refresh(now)
            elif name == "ping":
                self._ping_oldest(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return earliest(
            earliest(self._requests.poll_timeout(), self._timers.next()), self._correspondence.poll_timeout()
        )

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _emit(self, output: Output) -> None:
        self._outputs.append(output)

    # Requests and answers

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[Any],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        try:
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
            )
        except LocalError:
            callback(contact, None)

    def _send_request(self, contact: Contact, payload: bytes) -> None:
        self._send(contact.node_key, contact.address, payload)

    def _send(self, node_key: bytes, address: Address, payload: bytes) -> None:
        try:
            self._outputs.append(Transmit(self._box.seal(node_key, payload), address))
        except RemoteError:
            self.malformed += 1

    def _take_request(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        if node_id_of(sender) in self.membership.configuration.banned_node_ids:
            return
        served = self._holder.answer(sender, payload, source, now, now + self.unix_offset)
        self._send(sender, source, served.payload)
        contact = Contact(sender, source)
        self._meet(contact, served, now)
        self._compare_configuration(contact, served.request.sequence, now)

    def _meet(self, contact: Contact, served: Served, now: float) -> None:
        """An asker is taken in once it is known to belong and to live where it asks from, if there is room for it.

        It is pinged only when its answer can change something; else two full tables would ping one another for ever.
        """
        held = self.table.get(contact)
        if held is not None:
            if served.is_proved:
                self.table.move(held, contact.address)
            return
        if not self.table.has_room(contact):
            return
        if served.request.certificate and contact.node_key not in self._members:
            self._learn_certificate(contact, served.request.certificate, now)
        is_member = self._is_member(contact, now)
        if is_member and served.is_proved:
            self._take_in(contact, now)
        elif is_member or served.is_proved:
            self._check_membership(contact, now)

    def _take_in(self, contact: Contact, now: float) -> None:
        contact.last_seen = now
        if self.table.add(contact):
            self._outputs.append(PeerJoined(contact))
            self._hand_over(contact, now)

    def _take_answer(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        found = self._requests.receive(sender, payload, now)
        if found is None:
            return
        contact, answer, callback = found
        if answer.certificate is not None:
            self._learn_certificate(contact, answer.certificate, now)
        if self._is_member(contact, now):
            self.seen.cast(sender, answer.seen)
            if self.table.get(contact) is None:
                self._take_in(contact, now)
            callback(contact, answer)
        else:
            self.table.remove(contact)
            callback(contact, None)
        self._compare_configuration(contact, answer.sequence, now)

    def _learn_certificate(self, contact: Contact, der: bytes, now: float) -> None:
        certificate = self._members.learn(contact.node_key, der, now + self.unix_offset)
        if certificate is not None:
            self._correspondence.proved(contact.node_key, certificate)

    def _is_member(self, contact: Contact, now: float) -> bool:
        return self._members.certificate_of(contact.node_key, now + self.unix_offset) is not None

    def _ask_who(self, node_key: bytes, now: float) -> None:
        address = self._heard.get(node_key)
        if address is not None:
            self._check_membership(Contact(node_key, address), now)

    def _check_membership(self, contact: Contact, now: float) -> None:
        """Ping a node that we do not know yet; `_take_answer` takes it in. One ping at a time for each."""
        if contact.node_key in self._checking or len(self._checking) >= CHECKED_AT_ONCE_MAX:
            return
        self._checking.add(contact.node_key)

        def done(answered: Contact, _answer: Answer | None) -> None:
            self._checking.discard(answered.node_key)

        self._ask(contact, PING, [], done, now)

    def _compare_configuration(self, contact: Contact, sequence: int, now: float) -> None:
        if sequence > self.membership.configuration.sequence and self._is_member(contact, now):
            self._ask(contact, CONFIGURATION, [], self._take_configuration, now)

    def _take_configuration(self, _contact: Contact, answer: Answer | None) -> None:
        if answer is None or answer.status != OK or not isinstance(answer.result, bytes):
            return
        if self.update_configuration(answer.result):
            self._outputs.append(ConfigurationChanged(answer.result))

    # Upkeep

    def _hand_over(self, newcomer: Contact, now: float) -> None:
        """Copies of the records that a newcomer should hold, their expiry unchanged: from the closest holders only."""
        handed = 0
        for record in self.store.records(now + self.unix_offset):
            key = int.from_bytes(record.key, "big")
            closest = self.table.find_closest(key, STORE_WIDTH)
            closer = sum(contact.number ^ key < self.number ^ key for contact in closest if contact is not newcomer)
            if newcomer in closest and closer < HANDING_OVER_NODES:
                handed += 1
                self._searches.store_at(newcomer, encode_record(record), _ignore)
            if handed == HANDED_OVER_MAX:
                break

    def _refresh(self, now: float) -> None:
        """Look up a random place in one bucket, and expire what is over (§2.3 of the Kademlia paper)."""
        self._timers.set("refresh", now + self._chance.uniform(0.8, 1.2) * REFRESH_SECONDS)
        self.store.expire(now + self.unix_offset)
        if len(self.table):
            self._searches.refresh(self.table.oldest_bucket_target(self._chance.integer(160)), now)

    def _ping_oldest(self, now: float) -> None:
        """The peer that was silent longest is asked whether it is still there."""
        self._timers.set("ping", now + self._chance.uniform(0.8, 1.2) * PING_SECONDS)
        oldest = min(self.table, key=lambda contact: (contact.last_seen, contact.number), default=None)
        if oldest is not None and now - oldest.last_seen > PING_SECONDS:
            self._ask(oldest, PING, [], _ignore, now)


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
