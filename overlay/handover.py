"""Handing records over: a newcomer close to them is offered copies by the holders closest to it only, their expiry unchanged.

An OFFER names records by marks of eight bytes; the answer is a bit for each that the newcomer wants, and those are stored at it,
several to a message. The closest neighbour offers at once, the second and third a little later: what one has handed over the next
need not, and what one withholds the next has. Who offers learns nothing that it could not ask for, and pushes nothing that a
STORE could not: the newcomer verifies all.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.holder import RECORDS_PER_STORE_MAX, Asking, Holder, Method
from overlay.records import Record, encode_record
from overlay.rpc import OFFER, OK, Answer
from overlay.searches import STORE_WIDTH, Asker, Searches
from overlay.store import MARK_BYTES
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

OFFERED_MAX = 128
OFFERS_WAITING_MAX = 64
OFFER_SECONDS = ((1.0, 3.0), (8.0, 12.0), (16.0, 24.0))
"""When the closest neighbour offers, the second and the third."""
HANDING_OVER_NODES = len(OFFER_SECONDS)
LEFT_SECONDS_MIN = 60
STORE_BYTES_MAX = 1_400


class HandOver:
    """What one node offers to newcomers, and what it takes of offers."""

    __slots__ = ("_ask", "_chance", "_searches", "_store", "_table", "timers")

    def __init__(self, table: RoutingTable, holder: Holder, searches: Searches, ask: Asker, chance: Chance) -> None:
        self._table = table
        self._store = holder.store
        holder.methods[OFFER] = receiving(holder)
        self._searches = searches
        self._ask = ask
        self._chance = chance
        self.timers: Timers[bytes] = Timers()

    def meet(self, newcomer: Contact, now: float) -> None:
        """It has come into the routing table: it will be offered what it should hold, if we are among those closest to it.

        Closest to it, not to a key: ids ground out beside a key must not be the only ones to hand over.
        """
        if not len(self._store) or len(self.timers) >= OFFERS_WAITING_MAX:
            return
        number, own = newcomer.number, self._table.own ^ newcomer.number
        closest = self._table.find_closest(number, HANDING_OVER_NODES + 1)
        closer = sum(other.number ^ number < own for other in closest if other is not newcomer)
        if closer < HANDING_OVER_NODES:
            self.timers.set(newcomer.node_key, now + self._chance.uniform(*OFFER_SECONDS[closer]))

    def handle_timeout(self, now: float) -> None:
        """Make the offers that are due, to those that are still there."""
        for node_key in self.timers.expired(now):
            newcomer = self._table.find(node_key)
            if newcomer is not None and not newcomer.failures:
                self._offer(newcomer, now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    def _offer(self, newcomer: Contact, now: float) -> None:
        offered = self._choose(newcomer, now + self._searches.unix_offset)
        if not offered:
            return

        def answered(contact: Contact, answer: Answer | None) -> None:
            wanted = answer.result if answer is not None and answer.status == OK else b""
            if isinstance(wanted, bytes):
                for records in _packed(_picked([record for _mark, record in offered], wanted)):
                    self._searches.store_at(contact, records, _ignore)

        self._ask(newcomer, OFFER, [b"".join(mark for mark, _record in offered)], answered, now)

    def _choose(self, newcomer: Contact, unix: float) -> list[tuple[bytes, Record]]:
        """Marks and records that it should hold, OFFERED_MAX at most, those of one author side by side."""
        should: dict[bytes, bool] = {}
        chosen: list[tuple[bytes, Record]] = []
        for node_id, mark, record in self._store.marked(unix + LEFT_SECONDS_MIN):
            if record.key not in should:
                should[record.key] = self._should_hold(newcomer, int.from_bytes(record.key, "big"))
            if should[record.key] and node_id != newcomer.node_id:
                chosen.append((mark, record))
                if len(chosen) == OFFERED_MAX:
                    break
        return sorted(chosen, key=lambda each: each[1].certificate)

    def _should_hold(self, newcomer: Contact, key: int) -> bool:
        """Whether it is in the region of the key, or among the few closest that hold a record in any case."""
        region = self._searches.size.region(key)
        if region is not None and newcomer.number ^ key <= region.radius:
            return True
        return newcomer in self._table.find_closest(key, STORE_WIDTH)


def receiving(holder: Holder) -> Method:
    """The method that answers an OFFER: a bit for each mark, the lowest of a byte first; one: wanted."""

    def wanted(asking: Asking, arguments: list[Any]) -> bytes:
        match arguments:
            case [bytes() as offered, *_] if 0 < len(offered) <= OFFERED_MAX * MARK_BYTES:
                marks = [offered[at : at + MARK_BYTES] for at in range(0, len(offered), MARK_BYTES)]
            case _:
                raise RemoteError("an offer of an unknown form, or of too many records")
        if holder.is_client:
            raise RemoteError("a client holds nothing for others", status=503)
        held = holder.store.marks()
        bits = bytearray(-(-len(marks) // 8))
        for place, mark in enumerate(marks):
            if mark not in held:
                bits[place >> 3] |= 1 << (place & 7)
        return bytes(bits)

    return wanted


def _picked(records: Iterable[Record], bits: bytes) -> list[Record]:
    """Those whose bit is set."""
    return [
        record for place, record in enumerate(records) if place >> 3 < len(bits) and bits[place >> 3] >> (place & 7) & 1
    ]


def _packed(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records by the message: about STORE_BYTES_MAX, so that it is not cut on its way."""
    together: list[Record] = []
    size = 0
    for record in records:
        added = len(encode_record(record))
        is_beside = bool(together) and record.certificate == together[-1].certificate
        short = added - len(record.certificate) if is_beside else added
        if together and (size + short > STORE_BYTES_MAX or len(together) == RECORDS_PER_STORE_MAX):
            yield together
            together, size, short = [], 0, added
        together.append(record)
        size += short
    if together:
        yield together


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
