"""What a node holds for others: verified records, one entry per (kind, key, Node-ID), within named bounds.

Whoever calls `put` has verified the record (`overlay.records.RecordVerifier`). An entry is replaced only by a higher
sequence of the same author. After a withdrawal, or a record with an earlier expiry, the sequence is remembered until
everything said before has expired, so that nobody can bring it back. Holders never refresh a record.
"""

import heapq
import hmac
from functools import lru_cache
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
MARKS_MAX = 8_192
TOKEN_WINDOW_SECONDS = 900.0
"""It proves only that the asker receives at its address, shown in a frame that only its node key seals. So it may live as long as
three renewals of a record; who is given the address of somebody gone can be sent no more than that node itself asks for."""


class _Entry:
    """What one author has said at one key. It stands in the heap of expiries by `due`, which may be before `remembered_until`."""

    __slots__ = ("author", "deleted", "due", "record", "remembered_until")

    def __init__(self, record: Record, author: DeviceCertificate) -> None:
        self.record = record
        self.author = author
        self.remembered_until = self.due = record.expiry
        self.deleted = False

    def __lt__(self, other: "_Entry") -> bool:
        return self.due < other.due


class RecordStore:
    """The records of one node. Simulations hold millions of entries: so nothing but a tuple and a heap refers to each."""

    __slots__ = ("_count", "_expiries", "_per_author", "_places")

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[_Entry, ...]] = {}  # by key, of all kinds
        self._per_author: dict[bytes, int] = {}
        self._expiries: list[_Entry] = []
        self._count = 0

    def __len__(self) -> int:
        """How many entries are held, withdrawals included (at most RECORDS_MAX)."""
        return self._count

    def put(self, record: Record, author: DeviceCertificate, unix: float) -> bool:
        """Hold a verified record; False if exactly this one is held already. RemoteError if it must be refused."""
        self.expire(unix)
        held = self._find(record.kind, record.key, author.node_id)
        if held is None:
            self._check_quota(record, author)
            self._insert(_Entry(record, author))
            return True
        if record.sequence <= held.record.sequence:
            if record == held.record:
                return False
            raise RemoteError(
                f"a record with sequence {record.sequence} after {held.record.sequence} was stored", status=409
            )
        held.record, held.author, held.deleted = record, author, False
        held.remembered_until = max(held.remembered_until, record.expiry)
        return True

    def get(self, kind: str, key: bytes, unix: float, *, after: bytes = b"") -> list[Record]:
        """The valid records at a key, withdrawals included, in the order of their authors' Node-IDs: those `after` one."""
        entries = [each for each in self._places.get(key, ()) if each.record.kind == kind and _is_valid(each, unix)]
        return [entry.record for entry in sorted(entries, key=_node_id) if _node_id(entry) > after]

    def certificate(self, kind: str, key: bytes, node_id: bytes) -> bytes:
        """The certificate of what this author has said there; empty if nothing is held."""
        held = self._find(kind, key, node_id)
        return b"" if held is None else held.record.certificate

    def records(self, unix: float) -> list[Record]:
        """All valid records."""
        return [entry.record for entries in self._places.values() for entry in entries if _is_valid(entry, unix)]

    def marked(self, unix: float) -> list[tuple[bytes, bytes, Record]]:
        """Author's Node-ID, mark and record of all that will be valid at `unix`, for handing over to newcomers."""
        valid = [entry for entries in self._places.values() for entry in entries if _is_valid(entry, unix)]
        return [(_node_id(entry), _mark(entry.record, _node_id(entry)), entry.record) for entry in valid]

    def marks(self) -> set[bytes]:
        """The marks of all that is held."""
        return {_mark(entry.record, _node_id(entry)) for entries in self._places.values() for entry in entries}

    def delete_from_mailbox(self, key: bytes, sender_node_id: bytes, owner: DeviceCertificate) -> None:
        """Hide what this sender left in a mailbox, for its owner only; the sequence stays, so that it cannot return."""
        if all(mailbox_key(address) != key for address in owner.addresses):
            raise RemoteError("a mailbox that belongs to somebody else", status=403)
        entry = self._find(MAILBOX, key, sender_node_id)
        if entry is not None:
            entry.deleted = True

    def expire(self, unix: float) -> None:
        """Drop what is over."""
        while self._expiries and self._expiries[0].due <= unix:
            entry = heapq.heappop(self._expiries)
            if entry.remembered_until > unix:
                entry.due = entry.remembered_until
                heapq.heappush(self._expiries, entry)
            else:
                self._remove(entry)

    def let_go(self, kind: str, own: int, distance_max: int) -> int:
        """Drop the records of a kind whose keys are farther from `own` (a Node-ID) than that; how many. Their sequences are
        forgotten: only for kinds whose author never says anything else."""
        far: list[_Entry] = []
        kept: list[_Entry] = []
        for entry in self._expiries:
            is_far = int.from_bytes(entry.record.key, "big") ^ own > distance_max
            (far if is_far and entry.record.kind == kind else kept).append(entry)
        self._expiries = kept
        heapq.heapify(kept)
        for entry in far:
            self._remove(entry)
        return len(far)

    def next_expiry(self) -> int | None:
        """When `expire` has something to do next (unix seconds)."""
        return self._expiries[0].due if self._expiries else None

    def _find(self, kind: str, key: bytes, node_id: bytes) -> _Entry | None:
        for entry in self._places.get(key, ()):
            if entry.record.kind == kind and entry.author.node_id == node_id:
                return entry
        return None

    def _check_quota(self, record: Record, author: DeviceCertificate) -> None:
        if self._count >= RECORDS_MAX:
            raise RemoteError("this node holds as many records as it can", status=507)
        kind = KINDS[record.kind]
        entries = [entry for entry in self._places.get(record.key, ()) if entry.record.kind == record.kind]
        if len(entries) >= kind.entries_per_key_max:
            raise RemoteError("this key holds as many records as it can", status=507)
        of_person = sum(entry.author.addresses[0] == author.addresses[0] for entry in entries)
        if of_person >= kind.entries_per_person_max:
            raise RemoteError("this key holds as many records of this person as it may", status=507)
        if self._per_author.get(author.node_id, 0) >= RECORDS_PER_AUTHOR_MAX:
            raise RemoteError("this author has stored as many records here as it may", status=507)

    def _insert(self, entry: _Entry) -> None:
        key, node_id = entry.record.key, entry.author.node_id
        self._places[key] = (*self._places.get(key, ()), entry)
        self._per_author[node_id] = self._per_author.get(node_id, 0) + 1
        self._count += 1
        heapq.heappush(self._expiries, entry)

    def _remove(self, entry: _Entry) -> None:
        key, node_id = entry.record.key, entry.author.node_id
        left = tuple(other for other in self._places[key] if other is not entry)
        if left:
            self._places[key] = left
        else:
            del self._places[key]
        self._per_author[node_id] -= 1
        if not self._per_author[node_id]:
            del self._per_author[node_id]
        self._count -= 1


def _is_valid(entry: _Entry, unix: float) -> bool:
    return entry.record.expiry > unix and not entry.deleted


def _node_id(entry: _Entry) -> bytes:
    return entry.author.node_id


@lru_cache(maxsize=MARKS_MAX)
def _mark(record: Record, node_id: bytes) -> bytes:
    """MARK_BYTES that name a record to somebody who may hold it, too; who grinds out a second one with the same harms its own."""
    name = record.kind.encode() + record.key + node_id + record.sequence.to_bytes(8, "big")
    return blake2b(name, digest_size=MARK_BYTES).digest()


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
