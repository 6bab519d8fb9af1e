"""What a node holds for others: verified records, one entry per (kind, key, Node-ID), within named bounds.

Whoever calls `put` has verified the record (`overlay.records.RecordVerifier`). An entry is replaced only by a higher
sequence of the same author. After a withdrawal, or a record with an earlier expiry, the sequence is remembered until
everything said before has expired, so that nobody can bring it back. Holders never refresh a record.
"""

import heapq
import hmac
from dataclasses import dataclass
from hashlib import blake2b

from overlay.contact import pack_address
from overlay.records import KINDS, MAILBOX, Record, mailbox_key
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

RECORDS_MAX = 20_000
RECORDS_PER_AUTHOR_MAX = 64
TOKEN_BYTES = 12
MARK_BYTES = 8
TOKEN_WINDOW_SECONDS = 900.0
"""It proves only that the asker receives at its address, shown in a frame that only its node key seals. So it may live as long as
three renewals of a record; who is given the address of somebody gone can be sent no more than that node itself asks for."""


@dataclass(slots=True)
class _Entry:
    record: Record
    node_id: bytes
    remembered_until: int
    person: str
    deleted: bool = False
    mark: bytes = b""


_Place = tuple[str, bytes]


class RecordStore:
    """The records of one node."""

    __slots__ = ("_count", "_expiries", "_per_author", "_places", "_serial")

    def __init__(self) -> None:
        self._places: dict[_Place, dict[bytes, _Entry]] = {}
        self._per_author: dict[bytes, int] = {}
        self._expiries: list[tuple[int, int, _Place, bytes]] = []
        self._count = 0
        self._serial = 0

    def __len__(self) -> int:
        """How many entries are held, withdrawals included (at most RECORDS_MAX)."""
        return self._count

    def put(self, record: Record, author: DeviceCertificate, unix: float) -> bool:
        """Hold a verified record; False if exactly this one is held already. RemoteError if it must be refused."""
        self.expire(unix)
        place = (record.kind, record.key)
        held = self._places.get(place, {}).get(author.node_id)
        if held is None:
            self._check_quota(place, author)
            self._insert(place, _Entry(record, author.node_id, record.expiry, author.addresses[0]))
            return True
        if record.sequence <= held.record.sequence:
            if record == held.record:
                return False
            raise RemoteError(
                f"a record with sequence {record.sequence} after {held.record.sequence} was stored", status=409
            )
        held.record, held.deleted, held.mark = record, False, b""
        if record.expiry > held.remembered_until:
            held.remembered_until = record.expiry
            self._schedule(place, held)
        return True

    def get(self, kind: str, key: bytes, unix: float) -> list[Record]:
        """The valid records at a key, withdrawals included, in the order of their authors' Node-IDs."""
        entries = self._places.get((kind, key), {})
        return [entries[node_id].record for node_id in sorted(entries) if _is_valid(entries[node_id], unix)]

    def records(self, unix: float) -> list[Record]:
        """All valid records."""
        return [record for _node_id, _mark, record in self.marked(unix)]

    def marked(self, unix: float) -> list[tuple[bytes, bytes, Record]]:
        """Author's Node-ID, mark and record of all that will be valid at `unix`, for handing over to newcomers."""
        entries = (entry for place in self._places.values() for entry in place.values())
        return [(entry.node_id, _mark(entry), entry.record) for entry in entries if _is_valid(entry, unix)]

    def marks(self) -> set[bytes]:
        """The marks of all that is held."""
        return {_mark(entry) for place in self._places.values() for entry in place.values()}

    def delete_from_mailbox(self, key: bytes, sender_node_id: bytes, owner: DeviceCertificate) -> None:
        """Hide what this sender left in a mailbox, for its owner only; the sequence stays, so that it cannot return."""
        if all(mailbox_key(address) != key for address in owner.addresses):
            raise RemoteError("a mailbox that belongs to somebody else", status=403)
        entry = self._places.get((MAILBOX, key), {}).get(sender_node_id)
        if entry is not None:
            entry.deleted = True

    def expire(self, unix: float) -> None:
        """Drop what is over."""
        while self._expiries and self._expiries[0][0] <= unix:
            until, _serial, place, node_id = heapq.heappop(self._expiries)
            entry = self._places.get(place, {}).get(node_id)
            if entry is not None and entry.remembered_until == until:
                self._remove(place, entry)

    def let_go(self, kind: str, own: int, distance_max: int) -> int:
        """Drop the records of a kind whose keys are farther from `own` (a Node-ID) than that; how many. Their sequences are
        forgotten: only for kinds whose author never says anything else."""
        far = [
            (place, entry)
            for place, entries in self._places.items()
            if place[0] == kind and int.from_bytes(place[1], "big") ^ own > distance_max
            for entry in entries.values()
        ]
        for place, entry in far:
            self._remove(place, entry)
        return len(far)

    def next_expiry(self) -> int | None:
        """When `expire` has something to do next (unix seconds)."""
        return self._expiries[0][0] if self._expiries else None

    def _check_quota(self, place: _Place, author: DeviceCertificate) -> None:
        if self._count >= RECORDS_MAX:
            raise RemoteError("this node holds as many records as it can", status=507)
        kind, entries = KINDS[place[0]], self._places.get(place, {})
        if len(entries) >= kind.entries_per_key_max:
            raise RemoteError("this key holds as many records as it can", status=507)
        of_person = sum(entry.person == author.addresses[0] for entry in entries.values())
        if of_person >= kind.entries_per_person_max:
            raise RemoteError("this key holds as many records of this person as it may", status=507)
        if self._per_author.get(author.node_id, 0) >= RECORDS_PER_AUTHOR_MAX:
            raise RemoteError("this author has stored as many records here as it may", status=507)

    def _insert(self, place: _Place, entry: _Entry) -> None:
        self._places.setdefault(place, {})[entry.node_id] = entry
        self._per_author[entry.node_id] = self._per_author.get(entry.node_id, 0) + 1
        self._count += 1
        self._schedule(place, entry)

    def _remove(self, place: _Place, entry: _Entry) -> None:
        entries = self._places[place]
        del entries[entry.node_id]
        if not entries:
            del self._places[place]
        self._per_author[entry.node_id] -= 1
        if not self._per_author[entry.node_id]:
            del self._per_author[entry.node_id]
        self._count -= 1

    def _schedule(self, place: _Place, entry: _Entry) -> None:
        self._serial += 1
        heapq.heappush(self._expiries, (entry.remembered_until, self._serial, place, entry.node_id))


def _is_valid(entry: _Entry, unix: float) -> bool:
    return entry.record.expiry > unix and not entry.deleted


def _mark(entry: _Entry) -> bytes:
    """MARK_BYTES that name a record to somebody who may hold it, too; who grinds out a second one with the same harms its own."""
    if not entry.mark:
        record = entry.record
        name = record.kind.encode() + record.key + entry.node_id + record.sequence.to_bytes(8, "big")
        entry.mark = blake2b(name, digest_size=MARK_BYTES).digest()
    return entry.mark


class WriteTokens:
    """Stateless proof that an asker receives at the address it asks from: given with an answer, shown with a store."""

    __slots__ = ("_secret",)

    def __init__(self, chance: Chance) -> None:
        self._secret = chance.bytes(32)

    def issue(self, node_id: bytes, address: Address, now: float) -> bytes:
        """The token of this asker (TOKEN_BYTES), good for TOKEN_WINDOW_SECONDS to twice as long."""
        return self._token(node_id, address, int(now // TOKEN_WINDOW_SECONDS))

    def check(self, token: bytes, node_id: bytes, address: Address, now: float) -> None:
        """RemoteError(401) unless the token was issued to this asker lately."""
        window = int(now // TOKEN_WINDOW_SECONDS)
        for number in (window, window - 1):
            if hmac.compare_digest(token, self._token(node_id, address, number)):
                return
        raise RemoteError("a write token that is wrong or too old", status=401)

    def _token(self, node_id: bytes, address: Address, window: int) -> bytes:
        """BLAKE2b with a key (RFC 7693) is a MAC, and takes a third of the time of HMAC: one is due for each request."""
        asker = window.to_bytes(8, "big", signed=True) + node_id + pack_address(address)
        return blake2b(asker, digest_size=TOKEN_BYTES, key=self._secret).digest()
