"""The answering side of a node: what it says to those who ask, and what it agrees to hold."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from overlay import rpc
from overlay.buckets import RoutingTable
from overlay.contact import Contact, pack_contact
from overlay.membership import Membership
from overlay.records import (
    NAME,
    RECORD_KEY_BYTES,
    REGISTRATION,
    RELAY,
    Record,
    RecordVerifier,
    decode_record,
    decode_together,
    encode_record,
)
from overlay.rpc import AMPLIFICATION_MAX, OK, UNAUTHORIZED, Request, make_answer, parse_request
from overlay.store import RecordStore, WriteTokens
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

CONTACTS_PER_ANSWER = 8
SPARE_CONTACTS = 4
RECORDS_PER_ANSWER_MAX = 16
RECORDS_PER_STORE_MAX = 16
ANSWER_BYTES_MAX = 1_800
ANSWER_HEAD_BYTES = 80
REFUSAL_BYTES_MAX = 80
CONTACT_ROOM_BYTES = 60


@dataclass(slots=True)  # one for each request
class Served:
    """A request, the payload that answers it, and whether its token proved that the asker receives at its address."""

    request: Request
    payload: bytes
    is_proved: bool


@dataclass(slots=True)  # one for each request
class Asking:
    """Who asks, and from where; `room` is how many bytes the result may have, `is_proved` as in `Served`."""

    node_key: bytes
    source: Address
    is_proved: bool
    room: int
    now: float
    unix: float


Method = Callable[[Asking, list[Any]], Any]
"""Serves the arguments of a request: gives the result, or raises RemoteError with the status."""


class Holder:
    """Holds records and answers requests; knows the routing table, changes only its own store.

    `announced`: our own announcements as a super-node by their places, which are told whether the store has room for them or not.
    `stored(key, now)` is called when a registration is held that was not.
    """

    __slots__ = (
        "_chance", "_tokens", "announced", "certificate", "is_client", "membership", "methods", "refused", "store", "stored",
        "table", "verifier"
    )  # fmt: skip

    def __init__(self, table: RoutingTable, membership: Membership, certificate: bytes, chance: Chance) -> None:
        self.table = table
        self.membership = membership
        self.certificate = certificate
        self.store = RecordStore()
        self.announced: dict[bytes, Record] = {}
        self.verifier = RecordVerifier(membership)
        self.refused = 0
        self.is_client = False
        self.methods: dict[int, Method] = {}
        self.stored: Callable[[bytes, float], None] = _tell_nobody
        self._tokens = WriteTokens(chance)
        self._chance = chance.child("choice")

    def note_own(self, record: Record) -> None:
        """A record of our own is stored: an announcement is told to who asks us, its withdrawal, too."""
        if record.kind == RELAY:
            self.announced[record.key] = record

    def answer(self, sender: bytes, payload: bytes, source: Address, now: float, unix: float) -> Served:
        """Serve one request; RemoteError when it is too malformed to be answered."""
        request = parse_request(payload)
        node_id = node_id_of(sender)
        token = self._tokens.issue(node_id, source, now)
        if hmac.compare_digest(request.token, token):
            proved, token = True, b""
        else:
            proved = bool(request.token) and self._is_proved(request.token, node_id, source, now)
        budget = ANSWER_BYTES_MAX if proved else min(AMPLIFICATION_MAX * (len(payload) + 65) - 65, ANSWER_BYTES_MAX)
        fits = len(self.certificate) + ANSWER_HEAD_BYTES + REFUSAL_BYTES_MAX <= budget
        certificate = self.certificate if request.wants_certificate and fits else None
        room = budget - ANSWER_HEAD_BYTES - (len(certificate) if certificate else 0)
        try:
            if request.method == rpc.FIND:
                result: Any = self._find(request.arguments, Asking(sender, source, proved, room, now, unix))
            else:
                result = self._serve(request, Asking(sender, source, proved, room, now, unix))
            status = OK
        except RemoteError as error:
            self.refused += 1
            result, status = str(error)[:REFUSAL_BYTES_MAX], error.status
        sequence = self.membership.configuration.sequence
        client = self.is_client
        answer = make_answer(request, status, source, token, certificate, sequence, result, is_client=client)
        return Served(request, answer, proved)

    def _is_proved(self, token: bytes, node_id: bytes, source: Address, now: float) -> bool:
        try:
            self._tokens.check(token, node_id, source, now)
        except RemoteError:
            return False
        return True

    def _serve(self, request: Request, asking: Asking) -> Any:
        room = asking.room
        match request.method, request.arguments:
            case (rpc.PING, _):
                return None
            case (rpc.STORE, [list() as records, *_]) if records:
                if not asking.is_proved:
                    raise RemoteError("a store without a valid write token", status=401)
                if self.is_client:
                    raise RemoteError("a client holds nothing for others", status=503)
                return self._store(records, asking)
            case (rpc.CONFIGURATION, _):
                signed = self.membership.signed_configuration
                if len(signed) > room:
                    raise RemoteError("the configuration does not fit an answer to this request", status=413)
                return signed
            case (number, _) if number in self.methods:
                return self.methods[number](asking, request.arguments)
            case _:
                raise RemoteError("a request that is not known here", status=405)

    def _find(self, arguments: list[Any], asking: Asking) -> list[Any]:
        """[contacts, records, left]: the peers that we know closest to the key, or to [point], and what we hold at the key.

        `left`: how many registrations did not fit, nothing if all did. To [point, after] we answer with those registrations only
        whose authors' Node-IDs come after this one.
        RemoteError(401) when a record is kept back only because the asker has not proved its address: its NAT may have given
        it a new one since it got our token. It asks again with the new token; else it would believe that there is none.
        """
        match arguments:
            case [bytes() as target, bool() as wants_records, *more] if len(target) == RECORD_KEY_BYTES:
                records: list[bytes] = []
            case _:
                raise RemoteError("a request that is not known here", status=405)
        point, after = _around(more, target)
        room, proved, left = asking.room, asking.is_proved, 0
        if wants_records:
            before = b""
            for record in self._held(target, after, asking):
                encoded = encode_record(record, before)
                is_registration = record.kind == REGISTRATION
                has_room = len(encoded) + 4 <= room and len(records) < RECORDS_PER_ANSWER_MAX
                if has_room and not (left and is_registration):
                    records.append(encoded)
                    before = record.certificate
                    room -= len(encoded) + 4
                elif not proved and len(records) < RECORDS_PER_ANSWER_MAX:
                    raise RemoteError("records that only a proved address may be sent", status=UNAUTHORIZED)
                elif is_registration and records:  # one that fits no answer holds up nobody
                    left += 1
        count = 0 if after else min(CONTACTS_PER_ANSWER, max(room, 0) // CONTACT_ROOM_BYTES)
        closest = named(self.table, int.from_bytes(point, "big"), count) if count else []
        contacts = [pack_contact(contact.node_key, contact.address) for contact in closest]
        return [contacts, records, left] if left else [contacts, records]

    def _held(self, key: bytes, after: bytes, asking: Asking) -> list[Record]:
        """Registrations with the names that have the same certificate, which is sent once. Relay records in random order: more
        stand at one place than an answer holds, and load is to be shared.

        But our own comes first for who asks over IPv6: it may have nothing else, and reach no other super-node yet.
        """
        unix, own = asking.unix, self.announced.get(key)
        if own is None and not len(self.store):
            return []
        if after:
            return self.store.get(REGISTRATION, key, unix, after=after)
        relays = self.store.get(RELAY, key, unix)
        if own is not None and own.expiry > unix:
            relays = [own, *(relay for relay in relays if relay.certificate != own.certificate)]
        self._chance.shuffle(relays)
        if own is not None and ":" in asking.source[0]:
            relays.sort(key=lambda relay: relay is not own)
        return _beside(self.store.get(REGISTRATION, key, unix), self.store.get(NAME, key, unix)) + relays

    def _store(self, encoded: list[Any], asking: Asking) -> None:
        """The answer tells what became of the first record; what stands beside it is held if it can be."""
        unix = asking.unix
        if len(encoded) > RECORDS_PER_STORE_MAX or not all(isinstance(each, bytes) for each in encoded):
            raise RemoteError("a store of an unknown form, or of too many records")
        first, *others = read_store(encoded, self.store, asking.node_key)
        refused: RemoteError | None = None
        for record in (first, *others):
            try:
                is_new = self.store.put(record, self.verifier.verify(record, unix), unix)
                if is_new and record.kind == REGISTRATION:
                    self.stored(record.key, asking.now)
            except RemoteError as error:
                refused = error if record is first else refused
        if refused is not None:
            raise refused


def read_store(encoded: Sequence[bytes], store: RecordStore, node_key: bytes) -> list[Record]:
    """The records of a STORE by the node of this key; who renews a record leaves out its certificate, which stands in the one that
    `store` holds. RemoteError(401) if it holds none: then it is sent whole."""
    first = decode_record(encoded[0])
    if first.certificate:
        return decode_together(encoded)
    certificate = store.certificate(first.kind, first.key, node_id_of(node_key))
    if not certificate:
        raise RemoteError("the renewal of a record that is not held here", status=UNAUTHORIZED)
    return decode_together(encoded, certificate)


def _tell_nobody(_key: bytes, _now: float) -> None:
    """Nobody watches."""


def _beside(registrations: list[Record], names: list[Record]) -> list[Record]:
    """Each registration, and after it the name record of the same certificate; then the other names."""
    by_certificate = {name.certificate: name for name in names}
    together: list[Record] = []
    for registration in registrations:
        name = by_certificate.pop(registration.certificate, None)
        together += (registration,) if name is None else (registration, name)
    return together + list(by_certificate.values())


def named(table: RoutingTable, point: int, count: int = CONTACTS_PER_ANSWER) -> list[Contact]:
    """Whom we name to who asks about `point`: the closest; who owes us an answer only if there are too few others."""
    closest = table.find_closest(point, count)
    if not any(contact.failures for contact in closest):
        return closest
    more = table.find_closest(point, count + SPARE_CONTACTS)
    sure = [contact for contact in more if not contact.failures]
    return sure[:count] if len(sure) >= count else closest


def _around(more: list[Any], target: bytes) -> tuple[bytes, bytes]:
    """[point] or [point, after] of a request: around which place contacts are wanted, and after which Node-ID registrations."""
    match more:
        case [[bytes() as point, bytes() as after], *_] if len(point) == RECORD_KEY_BYTES == len(after):
            return point, after
        case [[bytes() as point], *_] if len(point) == RECORD_KEY_BYTES:
            return point, b""
        case _:
            return target, b""
