"""The lookups of one node that are under way; stores (`overlay.storing`) begin with one, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from overlay.agreement import AGREEING_ANSWERS, Agreement, Authored
from overlay.buckets import BITS, RoutingTable
from overlay.contact import Contact, unpack_contact
from overlay.events import LookupDone, StoreDone
from overlay.further import Further
from overlay.lookup import CANDIDATES_MAX, PATHS, WIDTH, Lookup
from overlay.records import Record, RecordVerifier, decode_record, encode_together
from overlay.region import HOLDERS_MAX, HOLDERS_MIN, NetworkSize
from overlay.rpc import FIND, OK, STORE, UNAUTHORIZED, Answer, Callback, Late
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import KEY_BYTES

LOOKUPS_MAX = 1_024
CONTACTS_READ_MAX = 20
START_CONTACTS = 40
STORE_WIDTH = 8

Emit = Callable[[LookupDone | StoreDone], None]


@dataclass(frozen=True, slots=True)
class SearchPolicy:
    """How lookups and stores defend themselves; the plain values are for comparison only.

    `paths`: over how many disjoint paths a search goes (S/Kademlia, Baumgart and Mies 2007, §4.4); 1: whoever answers may name
    all that is asked next. `regions`: records go to the whole region that the network's size gives; False: to the `copies` closest,
    as in Kademlia. `agreeing`: so many answers must agree on a record.
    """

    paths: int = PATHS
    regions: bool = True
    agreeing: int = AGREEING_ANSWERS
    copies: int = 20


class Asker(Protocol):
    """Sends a request; `callback` is called once with the answer or None."""

    def __call__(
        self,
        contact: Contact,
        method: int,
        arguments: list[Any],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        """Ask `contact`; `late` is called when its answer does not come in the usual time."""


@dataclass(slots=True)
class _Running:
    lookup: Lookup
    started: float
    then: Callable[[Lookup, float], None]
    further: Further | None = None
    is_over: bool = False


class Searches:
    """Begins lookups, feeds them with answers, and emits their ends. `now` is the time of the input served."""

    __slots__ = (
        "_ask", "_emit", "_last_number", "_own_key", "_policy", "_running", "_table", "_verifier", "now", "size",
        "unix_offset"
    )  # fmt: skip

    def __init__(
        self,
        own_key: bytes,
        table: RoutingTable,
        verifier: RecordVerifier,
        ask: Asker,
        emit: Emit,
        policy: SearchPolicy | None = None,
    ) -> None:
        self.size = NetworkSize()
        self._policy = policy or SearchPolicy()
        self.now = 0.0
        self.unix_offset = 0.0
        self._own_key = own_key
        self._table = table
        self._verifier = verifier
        self._ask = ask
        self._emit = emit
        self._running: dict[int, _Running] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._running)

    def look_up(self, key: bytes, now: float, *, records: bool) -> int:
        """Begin a lookup; its number. LocalError when LOOKUPS_MAX are under way."""
        return self._look_up(key, now, records, self._emit)

    def find(self, key: bytes, now: float, then: Callable[[LookupDone], None]) -> None:
        """Look up the records at a key for a part of this node: `then` gets the end, and nobody else does."""
        self._look_up(key, now, True, then)

    def find_region(self, key: bytes, now: float, then: Callable[[Sequence[Contact]], None]) -> None:
        """Find all that are to hold the records at a key: `then` gets them at the end. LocalError as of `take_number`."""

        def found(lookup: Lookup, _started: float) -> None:
            closest = lookup.closest(CANDIDATES_MAX)
            if not self._policy.regions:
                then(closest[: self._policy.copies])
            elif lookup.region is None:
                then(closest[:HOLDERS_MIN])
            else:
                then(lookup.region.holders(closest))

        width = STORE_WIDTH if self._policy.regions else self._policy.copies
        lookup = self._make(int.from_bytes(key, "big"), False, width=width, whole_region=True)
        self._begin(self.take_number(), lookup, now, found)

    def refresh(self, target: int, now: float) -> None:
        """Look a place up only to learn of the peers around it: whether they are too many or too few does not matter."""
        if len(self._running) < LOOKUPS_MAX:
            lookup = Lookup(target, False, paths=self._policy.paths)
            self._begin(self.take_number(), lookup, now, lambda _lookup, _started: None)

    def count_near(self) -> float:
        """Take the ids around our own, which are kept up to date, for a sample of the network's size.

        How dense they stand: 1 over the mean distance between two, in parts of the ring.
        """
        own = self._table.own
        near = [contact.number for contact in self._table.find_closest(own, 2 * STORE_WIDTH)]
        if len(near) >= STORE_WIDTH:
            self.size.observe(own, near[:STORE_WIDTH])
        return len(near) * 2.0**BITS / ((near[-1] ^ own) + 1) if near else 0.0

    def _look_up(self, key: bytes, now: float, records: bool, then: Callable[[LookupDone], None]) -> int:
        number = self.take_number()

        def done(lookup: Lookup, started: float) -> None:
            closest = tuple(lookup.closest(HOLDERS_MAX))
            found = tuple(lookup.agreement.newest.values())
            then(LookupDone(number, found, closest, lookup.hops, lookup.messages, self.now - started))

        self._begin(number, self._make(int.from_bytes(key, "big"), records), now, done)
        return number

    def _make(self, target: int, records: bool, *, width: int = WIDTH, whole_region: bool = False) -> Lookup:
        region = self.size.region(target) if self._policy.regions else None
        return Lookup(
            target, records, width, Agreement(self._policy.agreeing), region, whole_region, self._policy.paths
        )

    def take_number(self) -> int:
        """The number of the next command; LocalError when LOOKUPS_MAX are under way."""
        if len(self._running) >= LOOKUPS_MAX:
            raise LocalError("too many lookups at once")
        self._last_number += 1
        return self._last_number

    def _begin(self, number: int, lookup: Lookup, now: float, then: Callable[[Lookup, float], None]) -> None:
        self.now = now
        lookup.started = now
        lookup.agreement.unix = now + self.unix_offset
        far = self._table.far_from(lookup.target) if self._policy.paths > 1 else ()
        lookup.add(self._table.find_closest(lookup.target, START_CONTACTS), far)
        self._running[number] = _Running(lookup, now, then)
        self._advance(number)

    def _advance(self, number: int) -> None:
        running = self._running.get(number)
        if running is None:
            return
        lookup = running.lookup
        key = lookup.target.to_bytes(20, "big")
        while (contact := lookup.next_to_ask()) is not None:
            arguments: list[Any] = [key, lookup.wants_records]
            if lookup.point != lookup.target:
                arguments.append([lookup.point.to_bytes(20, "big")])
            self._ask_for(number, contact, arguments)
        if lookup.finished and not running.is_over:
            running.is_over = True
            if not lookup.agreed:
                self.size.observe(lookup.target, [contact.number for contact in lookup.closest(STORE_WIDTH)])
            self._go_further(number, running)

    def _ask_for(self, number: int, contact: Contact, arguments: list[Any]) -> None:
        self._ask_twice(contact, arguments, lambda c, a: self._answered(number, c, a), lambda c: self._late(number, c))

    def _ask_twice(
        self, contact: Contact, arguments: list[Any], callback: Callback, late: Late, *, again: bool = False
    ) -> None:
        """FIND; once more if our address is not proved there any more, which keeps records back, and a new token has come."""

        def answered(asked: Contact, answer: Answer | None) -> None:
            if answer is not None and answer.status == UNAUTHORIZED and answer.token and not again:
                self._ask_twice(asked, arguments, callback, late, again=True)
            else:
                callback(asked, answer)

        self._ask(contact, FIND, arguments, answered, self.now, late=late)

    def _go_further(self, number: int, running: _Running) -> None:
        """The search itself is over: ask for the registrations that its answers had no room for, if there are any, and end."""
        further, lookup = running.further, running.lookup
        contact = None if further is None else further.next_to_ask()
        if further is None or contact is None:
            del self._running[number]
            running.then(lookup, running.started)
            return
        turn = further.asked
        lookup.messages += 1

        def ended(_contact: Contact, answer: Answer | None) -> None:
            if self._running.get(number) is not running or further.asked != turn:
                return  # it was too late
            try:
                if answer is None or answer.status != OK:
                    raise RemoteError("no useful answer")
                _contacts, records, left = self._read(answer.result, lookup)
                lookup.agreement.add(records, None)
                further.answered(records, left)
            except RemoteError:
                further.failed()
            self._go_further(number, running)

        key = lookup.target.to_bytes(20, "big")
        self._ask_twice(contact, [key, True, [key, further.last]], ended, lambda c: ended(c, None))

    def _late(self, number: int, contact: Contact) -> None:
        running = self._running.get(number)
        if running is not None:
            running.lookup.late(contact)
            self._advance(number)

    def _answered(self, number: int, contact: Contact, answer: Answer | None) -> None:
        running = self._running.get(number)
        if running is None:
            return
        try:
            if answer is None or answer.status != OK:
                raise RemoteError("no useful answer")
            contacts, records, left = self._read(answer.result, running.lookup)
            if left and running.lookup.wants_records and not running.is_over:
                running.further = running.further or Further()
                running.further.note(contact, records, left)
            running.lookup.answered(contact, contacts, records)
        except RemoteError:
            running.lookup.failed(contact)
        self._advance(number)

    def _read(self, result: Any, lookup: Lookup) -> tuple[list[Contact], list[Authored], int]:
        """The contacts of an answer, its records that are genuine, and how many more there are."""
        match result:
            case [list() as packed_contacts, list() as packed_records, int() as left]:
                pass
            case [list() as packed_contacts, list() as packed_records]:
                left = 0
            case _:
                raise RemoteError("an answer to a lookup of an unknown form")
        contacts = []
        for packed in packed_contacts[:CONTACTS_READ_MAX]:
            node_key = packed[:KEY_BYTES] if isinstance(packed, bytes) else b""
            if node_key != self._own_key:
                held = self._table.find(node_key)
                contacts.append(held if held is not None and not held.failures else unpack_contact(packed))
        records: list[Authored] = []
        before = b""
        for data in packed_records:
            try:
                record = decode_record(data, before)
                before = record.certificate
                if int.from_bytes(record.key, "big") != lookup.target:
                    continue  # genuine, but of somebody else
                records.append((record, self._verifier.verify(record, self.now + self.unix_offset)))
            except (RemoteError, TypeError):
                continue  # one false or expired record says nothing about the others
        return contacts, records, left

    def store_at(self, contact: Contact, records: Sequence[Record], callback: Callback, *, before: bytes = b"") -> None:
        """Store records at one peer; `before`: the certificate in those that they renew, which is left out.

        Once more, and whole, if it takes our write token no longer, or holds nothing that could be renewed.
        """

        def answered(asked: Contact, answer: Answer | None) -> None:
            if answer is not None and answer.status == UNAUTHORIZED and (answer.token or before):
                self._ask(asked, STORE, [encode_together(records)], callback, self.now)
            else:
                callback(asked, answer)

        self._ask(contact, STORE, [encode_together(records, before)], answered, self.now)
