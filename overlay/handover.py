"""Handing records over: a newcomer close to them gets copies, from the closest holders only, their expiry unchanged."""

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.records import encode_record
from overlay.rpc import Answer
from overlay.searches import STORE_WIDTH, Searches
from overlay.store import RecordStore

HANDED_OVER_MAX = 64
HANDING_OVER_NODES = 3


def hand_over(newcomer: Contact, own_number: int, store: RecordStore, table: RoutingTable, searches: Searches) -> None:
    """Copies of the records that a newcomer should hold, HANDED_OVER_MAX at most."""
    handed = 0
    for record in store.records(searches.now + searches.unix_offset):
        key = int.from_bytes(record.key, "big")
        closest = table.find_closest(key, STORE_WIDTH)
        closer = sum(contact.number ^ key < own_number ^ key for contact in closest if contact is not newcomer)
        if newcomer in closest and closer < HANDING_OVER_NODES:
            handed += 1
            searches.store_at(newcomer, encode_record(record), _ignore)
        if handed == HANDED_OVER_MAX:
            break


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
