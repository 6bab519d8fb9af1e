"""Handing records over: a newcomer close to them gets copies, from the holders closest to it only, their expiry unchanged."""

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.records import encode_record
from overlay.rpc import Answer
from overlay.searches import STORE_WIDTH, Searches
from overlay.store import RecordStore

HANDED_OVER_MAX = 64
HANDING_OVER_NODES = 3


def hand_over(newcomer: Contact, own_number: int, store: RecordStore, table: RoutingTable, searches: Searches) -> None:
    """Copies of the records that a newcomer should hold, HANDED_OVER_MAX at most.

    They come from those closest to the newcomer, not to the key: ids ground out beside a key must not be the only ones to do it.
    """
    if not len(store):
        return
    number, handed = newcomer.number, 0
    closest = table.find_closest(number, HANDING_OVER_NODES + 1)
    if (
        sum(other.number ^ number < own_number ^ number for other in closest if other is not newcomer)
        >= HANDING_OVER_NODES
    ):
        return
    for record in store.records(searches.now + searches.unix_offset):
        if _should_hold(newcomer, int.from_bytes(record.key, "big"), table, searches):
            handed += 1
            searches.store_at(newcomer, encode_record(record), _ignore)
        if handed == HANDED_OVER_MAX:
            break


def _should_hold(newcomer: Contact, key: int, table: RoutingTable, searches: Searches) -> bool:
    """Whether it is in the region of the key, or among the few closest that hold a record in any case."""
    region = searches.size.region(key)
    if region is not None and newcomer.number ^ key <= region.radius:
        return True
    return newcomer in table.find_closest(key, STORE_WIDTH)


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
