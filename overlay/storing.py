"""Keeping our own records at their holders: found by a search of the whole region now and then, renewed directly in between.

A search of a region costs some forty datagrams, a renewal one request to each that took the record before. So these holders are
remembered for RENEWED_SECONDS_MAX. When fewer than TAKEN_SHARE of those that a search had found take it again, a search follows at
once, and when the region has shrunk to less than SHRUNK_SHARE, for a network that grows has others there: so not the clock, but
how many leave and come decides what is spent. What is stored beside a record ("companions", at the same key)
goes along after a search only. A withdrawal goes to the known holders at once, for who withdraws may have a second left, and to
all that a search finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.events import StoreDone
from overlay.records import Record, encode_together
from overlay.rpc import OK, Answer
from overlay.searches import STORE_WIDTH, Emit, Searches
from p2psip.base.errors import LocalError

RENEWED_SECONDS_MAX = 900.0
TAKEN_SHARE = 0.75
SHRUNK_SHARE = 0.7
PLACES_MAX = 64


@dataclass(slots=True)
class _Place:
    """Who holds our record at one key; `wanted`: how many took it after the search at `searched_at` (steady seconds),
    and how far the region reached then (0: not known)."""

    holders: dict[bytes, Contact]
    wanted: int
    searched_at: float
    radius: int


@dataclass(slots=True, eq=False)
class _Store:
    """One store that is under way: who has taken it, and how many answers it waits for."""

    number: int
    record: Record
    companions: tuple[Record, ...]
    took: dict[bytes, Contact] = field(default_factory=dict)
    left: int = 0
    is_searching: bool = False
    is_found: bool = False
    is_done: bool = False
    refusal: str | None = None


class Stores:
    """Stores of one node's own records; `emit` takes the `StoreDone` of each."""

    __slots__ = ("_emit", "_places", "_searches", "_table")

    def __init__(self, searches: Searches, table: RoutingTable, emit: Emit) -> None:
        self._searches = searches
        self._table = table
        self._emit = emit
        self._places: dict[tuple[str, bytes], _Place] = {}

    def __len__(self) -> int:
        """For how many records holders are remembered (at most PLACES_MAX)."""
        return len(self._places)

    def store(self, record: Record, now: float, companions: Sequence[Record] = (), *, anew: bool = False) -> int:
        """Store a record, and `companions` of the same key beside it; the number of this store.

        `anew`: known holders are not relied on. LocalError when too many lookups are under way.
        """
        store = _Store(self._searches.take_number(), record, tuple(companions))
        self._searches.now = now
        place = self._places.get((record.kind, record.key))
        if place is None or anew or now - place.searched_at >= RENEWED_SECONDS_MAX or self._has_shrunk(record, place):
            self._search(store)
        elif record.withdrawn:
            self._send(store, list(place.holders.values()))
            self._search(store)
        else:
            self._send(store, list(place.holders.values()))
            self._look_whether_done(store)
        return store.number

    def _search(self, store: _Store) -> None:
        store.is_searching = True
        near = self._table.find_closest(self._table.own, STORE_WIDTH)
        if len(near) == STORE_WIDTH:  # the ids around our own are kept up to date and cost nothing to count
            self._searches.size.observe(self._table.own, [contact.number for contact in near])

        def found(holders: Sequence[Contact]) -> None:
            store.is_searching, store.is_found = False, True
            self._send(store, [each for each in holders if each.node_key not in store.took])
            self._look_whether_done(store)

        try:
            self._searches.find_region(store.record.key, self._searches.now, found)
        except LocalError as error:  # as many lookups as there may be
            store.refusal = str(error)
            found(())

    def _send(self, store: _Store, holders: Sequence[Contact]) -> None:
        data = encode_together([store.record, *store.companions] if store.is_found else [store.record])
        store.left += len(holders)

        def done(contact: Contact, answer: Answer | None) -> None:
            store.left -= 1
            if answer is not None and answer.status == OK:
                store.took[contact.node_key] = contact
            elif answer is not None:
                store.refusal = str(answer.result)
            self._look_whether_done(store)

        for contact in holders:
            self._searches.store_at(contact, data, done)

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
            place = _Place(store.took, len(store.took), self._searches.now, self._radius(store.record))
        else:
            place.holders = store.took
        self._places[name] = place
        if len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]

    def _radius(self, record: Record) -> int:
        """How far the region of its key reaches, 0 if the size of the network is not known."""
        region = self._searches.size.region(int.from_bytes(record.key, "big"))
        return 0 if region is None else region.radius

    def _has_shrunk(self, record: Record, place: _Place) -> bool:
        """Whether so many have come since the search that others are to hold the record now."""
        radius = self._radius(record)
        return radius > 0 and (place.radius == 0 or radius < SHRUNK_SHARE * place.radius)
