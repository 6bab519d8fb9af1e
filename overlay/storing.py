"""Keeping our own records at their holders: found by a search of the whole region now and then, renewed directly in between.

A search of a region costs some forty datagrams, a renewal one request to each that took the record before. So these holders are
remembered for RENEWED_SECONDS_MAX, unless the network grows or shrinks meanwhile. When fewer than TAKEN_SHARE of those that a
search had found take it again, a search follows at once: so not the clock, but how many leave decides what is spent. What is
stored beside a record ("companions", at the same key) goes along after a search only. A withdrawal, and a record that is stored
anew, go to the known holders at once, for who withdraws may have a second left, and what they hold may be wrong now; and to all
that a search finds. Only these are remembered then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from overlay.contact import Contact
from overlay.events import StoreDone
from overlay.records import REGISTRATION, Record
from overlay.rpc import OK, Answer
from overlay.searches import Emit, Searches
from p2psip.base.errors import LocalError

RENEWED_SECONDS_MAX = 900.0
TAKEN_SHARE = 0.75
GROWTH_MAX = 1.5
GROWTH_SOON = 2.0
GROWTH_SECONDS_MIN = 30.0
PLACES_MAX = 64


@dataclass(slots=True)
class _Place:
    """Who holds our record at one key; `wanted`: how many took it after the search at `searched_at` (steady seconds).

    `dense`: how dense ids stood then. In a network that has grown since, or shrunk, others are to hold it.
    `certificate`: that of the record which they took.
    """

    holders: dict[bytes, Contact]
    wanted: int
    searched_at: float
    dense: float
    certificate: bytes

    def is_good(self, now: float, dense: float) -> bool:
        """Whether it may still be relied on."""
        return not self.is_outgrown(dense, GROWTH_MAX) and now - self.searched_at < RENEWED_SECONDS_MAX

    def is_outgrown(self, dense: float, growth: float) -> bool:
        """Whether the network is so many times as large as it was, or as small."""
        return dense > growth * self.dense or self.dense > growth * dense


@dataclass(slots=True, eq=False)
class _Store:
    """One store that is under way: who has taken it, and how many answers it waits for."""

    number: int
    record: Record
    companions: tuple[Record, ...]
    took: dict[bytes, Contact] = field(default_factory=dict)
    named: set[bytes] = field(default_factory=set)
    left: int = 0
    dense: float = 0.0
    is_searching: bool = False
    is_found: bool = False
    is_done: bool = False
    refusal: str | None = None


class Stores:
    """Stores of one node's own records; `emit` takes the `StoreDone` of each."""

    __slots__ = ("_emit", "_places", "_searches")

    def __init__(self, searches: Searches, emit: Emit) -> None:
        self._searches = searches
        self._emit = emit
        self._places: dict[tuple[str, bytes], _Place] = {}

    def __len__(self) -> int:
        """For how many records holders are remembered (at most PLACES_MAX)."""
        return len(self._places)

    def are_outgrown(self, now: float) -> bool:
        """Whether registrations should be stored anew before their time: the network is twice as large as it was, or half."""
        dense = self._searches.count_near()
        return any(
            kind == REGISTRATION
            and now - place.searched_at >= GROWTH_SECONDS_MIN
            and place.is_outgrown(dense, GROWTH_SOON)
            for (kind, _key), place in self._places.items()
        )

    def store(self, record: Record, now: float, companions: Sequence[Record] = (), *, anew: bool = False) -> int:
        """Store a record, and `companions` of the same key beside it; the number of this store.

        `anew`: known holders are told, but not relied on. LocalError when too many lookups are under way.
        """
        store = _Store(self._searches.take_number(), record, tuple(companions))
        self._searches.now = now
        store.dense = self._searches.count_near()
        place = self._places.get((record.kind, record.key))
        if place is not None and (record.withdrawn or anew):
            self._send(store, list(place.holders.values()))
            self._search(store)
        elif place is None or not place.is_good(now, store.dense):
            self._search(store)
        else:
            self._send(store, list(place.holders.values()))
            self._look_whether_done(store)
        return store.number

    def _search(self, store: _Store) -> None:
        store.is_searching = True

        def found(holders: Sequence[Contact]) -> None:
            store.is_searching, store.is_found = False, True
            store.named = {each.node_key for each in holders}
            self._send(store, [each for each in holders if each.node_key not in store.took])
            self._look_whether_done(store)

        try:
            self._searches.find_region(store.record.key, self._searches.now, found)
        except LocalError as error:  # as many lookups as there may be
            store.refusal = str(error)
            found(())

    def _send(self, store: _Store, holders: Sequence[Contact]) -> None:
        records = [store.record, *store.companions] if store.is_found else [store.record]
        place = self._places.get((store.record.kind, store.record.key))
        before = b"" if store.is_found or place is None else place.certificate
        store.left += len(holders)

        def done(contact: Contact, answer: Answer | None) -> None:
            store.left -= 1
            if answer is not None and answer.status == OK:
                store.took[contact.node_key] = contact
            elif answer is not None:
                store.refusal = str(answer.result)
            self._look_whether_done(store)

        for contact in holders:
            self._searches.store_at(contact, records, done, before=before)

    def _look_whether_done(self, store: _Store) -> None:
        if store.left or store.is_searching or store.is_done:
            return
        name = store.record.kind, store.record.key
        place = self._places.get(name)
        if not store.is_found and (place is None or len(store.took) < TAKEN_SHARE * place.wanted):
            self._search(store)
            return
        store.is_done = True
        self._remember(name, store)
        self._emit(StoreDone(store.number, len(store.took), store.refusal, is_renewal=not store.is_found))

    def _remember(self, name: tuple[str, bytes], store: _Store) -> None:
        place = self._places.pop(name, None)
        if store.record.withdrawn or not store.took:
            return
        if store.is_found or place is None:
            holders = {node_key: each for node_key, each in store.took.items() if node_key in store.named} or store.took
            place = _Place(holders, len(holders), self._searches.now, store.dense, b"")
        else:
            place.holders = store.took
        place.certificate = store.record.certificate
        self._places[name] = place
        if len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
