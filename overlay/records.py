"""Signed records: what the overlay stores, who may write it, and how a record proves itself.

A record is `kind, key, author's certificate, sequence, expiry, body, signature` in msgpack; the idea is RELOAD's
(RFC 6940 §7). The signature is Ed25519 (RFC 8032) by the key in the author's device certificate, over a canonical form
that includes the overlay's name. A body of None withdraws what the author said before. What is in the bodies of
registrations stands in `overlay.registration`; what a node holds, in `overlay.store`.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from overlay.membership import AUTHORITIES_MAX, Membership
from p2psip.base.certificates import CERTIFICATE_BYTES_MAX, DeviceCertificate, fingerprint
from p2psip.base.codec import pack, unpack
from p2psip.base.errors import RemoteError
from p2psip.base.keys import SIGNATURE_BYTES, SigningKey, verify_signature

REGISTRATION = "registration"
RELAY = "relay"
MAILBOX = "mailbox"
NAME = "name"

RECORD_KEY_BYTES = 20
RELAY_PLACES = 8
RELAY_PLACES_EACH = 3
RELAY_OWNERS_CACHED_MAX = 1_024
PLACES_CACHED_MAX = 16_384
CLOCK_SKEW_SECONDS = 300  # as for certificates; half of what a registration lives, so that late clocks get by, too
SEQUENCE_MAX = 2**63 - 1
RECORD_BYTES_MAX = 8_192
VERIFIED_MAX = 32_768
DECODED_MAX = 4_096

_DAY = 86_400
_DOMAIN = b"p2psip record 1\x00"


@dataclass(frozen=True, slots=True)
class Record:
    """One signed statement of one device. `expiry` is in unix seconds; `body` is packed bytes, or None: withdrawn."""

    kind: str
    key: bytes
    certificate: bytes
    sequence: int
    expiry: int
    body: bytes | None
    signature: bytes

    @property
    def withdrawn(self) -> bool:
        """Whether this record takes back what its author had stored."""
        return self.body is None


@dataclass(frozen=True, slots=True)
class Kind:
    """The rules of one kind. `may_write(certificate, key)` tells whether the author may write at that key.

    `entries_per_person_max`: how many devices of one person may have an entry at one key.
    """

    name: str
    lifetime_seconds_max: int
    size_bytes_max: int
    entries_per_key_max: int
    may_write: Callable[[DeviceCertificate, bytes], bool]
    refusal: str
    entries_per_person_max: int = 16


def registration_key(address: str) -> bytes:
    """Where registrations of an address ("alice@home.example") are kept; its name record is at the same key."""
    return _place("address", address)


def name_key(address: str) -> bytes:
    """Where the record stands that says that a name exists: with its registrations, so that one lookup finds both."""
    return registration_key(address)


def mailbox_key(address: str) -> bytes:
    """Where messages for the absent owner of an address are left."""
    return _place("mailbox", address)


def relay_keys(overlay: str) -> tuple[bytes, ...]:
    """The RELAY_PLACES keys at which super-nodes announce themselves."""
    return tuple(_place("relay", overlay, str(number)) for number in range(RELAY_PLACES))


@lru_cache(maxsize=RELAY_OWNERS_CACHED_MAX)
def own_relay_keys(overlay: str, node_id: bytes) -> tuple[bytes, ...]:
    """The RELAY_PLACES_EACH relay places at which this super-node may announce itself: those closest to its Node-ID."""
    own = int.from_bytes(node_id, "big")
    return tuple(sorted(relay_keys(overlay), key=lambda key: int.from_bytes(key, "big") ^ own)[:RELAY_PLACES_EACH])


def encode_record(record: Record, before: bytes = b"") -> bytes:
    """The record as msgpack. In a message of several its certificate is left out, for it is most of a record, if it is the same
    as that of the record `before`."""
    certificate = b"" if record.certificate == before else record.certificate
    fields = (record.kind, record.key, certificate, record.sequence, record.expiry, record.body)
    return pack([*fields, record.signature])


def encode_together(records: Sequence[Record], before: bytes = b"") -> list[bytes]:
    """The records of one message, after a certificate `before` that the other side has already."""
    certificates = [before, *(record.certificate for record in records)]
    return [encode_record(record, certificate) for record, certificate in zip(records, certificates, strict=False)]


def decode_together(encoded: Sequence[bytes], before: bytes = b"") -> list[Record]:
    """The records of one message; RemoteError as of `decode_record`."""
    records: list[Record] = []
    for data in encoded:
        records.append(decode_record(data, records[-1].certificate if records else before))
    return records


def decode_record(data: bytes, before: bytes = b"") -> Record:
    """The record in `data`, its form and sizes checked but not its truth; RemoteError otherwise.

    A certificate that was left out is the one `before`.
    """
    if len(data) > RECORD_BYTES_MAX:
        raise RemoteError(f"a record of more than {RECORD_BYTES_MAX} bytes", status=413)
    record = _decoded(data)
    return _completed(record, before) if before and not record.certificate else record


@lru_cache(maxsize=DECODED_MAX)
def _decoded(data: bytes) -> Record:
    """A record is a value, and a dozen holders and many askers decode the same one: in one process they share one object."""
    match unpack(data):
        case [
            str() as kind,
            bytes() as key,
            bytes() as certificate,
            int() as sequence,
            int() as expiry,
            body,
            bytes() as signature,
        ] if type(sequence) is int and type(expiry) is int and (body is None or isinstance(body, bytes)):
            record = Record(kind, _shared(key), _shared(certificate), sequence, expiry, body, signature)
        case _:
            raise RemoteError("a record of an unknown form")
    return replace(record, kind=_check_form(record).name)


@lru_cache(maxsize=DECODED_MAX)
def _shared(data: bytes) -> bytes:
    """One object for all equal keys and certificates."""
    return data


@lru_cache(maxsize=DECODED_MAX)
def _completed(record: Record, certificate: bytes) -> Record:
    """A record whose certificate was left out, for it is that of the record before."""
    return replace(record, certificate=certificate)


def sign_record(record: Record, overlay: str, key: SigningKey) -> Record:
    """The record with the author's signature."""
    return replace(record, signature=key.sign(_signed_form(record, overlay)))


def make_record(
    kind: str,
    key: bytes,
    body: bytes | None,
    *,
    certificate: DeviceCertificate,
    signing_key: SigningKey,
    sequence: int,
    expiry: int,
) -> Record:
    """A signed record of this device."""
    record = Record(kind, key, certificate.der, sequence, expiry, body, b"")
    return sign_record(record, certificate.overlay, signing_key)


class RecordVerifier:
    """Verifies records against the overlay's membership, cheapest refusals first, and remembers true signatures.

    Whether a signature is true depends on nothing but what is signed: so it is remembered for all nodes of one process.
    """

    __slots__ = ("_membership", "_verified")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._verified = verified_signatures(membership.ca_der)

    def __len__(self) -> int:
        """How many signatures are remembered as true (at most VERIFIED_MAX)."""
        return len(self._verified)

    def verify(self, record: Record, unix: float) -> DeviceCertificate:
        """The author's certificate if the record is true and valid at `unix`; RemoteError with the reason otherwise."""
        kind = _check_form(record)
        if record.expiry <= unix:
            raise RemoteError("a record that has expired, or whose author's clock is late", status=410)
        if record.expiry > unix + kind.lifetime_seconds_max + CLOCK_SKEW_SECONDS:
            raise RemoteError(
                f"a {kind.name} that would live longer than {kind.lifetime_seconds_max} s, or whose author's clock is fast"
            )
        author = self._membership.check(record.certificate, unix)
        if not kind.may_write(author, record.key):
            raise RemoteError(kind.refusal, status=403)
        self._verify_signature(record, author)
        return author

    def _verify_signature(self, record: Record, author: DeviceCertificate) -> None:
        form = _signed_form(record, self._membership.overlay)
        digest = hashlib.sha256(record.signature + form).digest()
        if digest in self._verified:
            return
        try:
            verify_signature(author.signing_key, record.signature, form)
        except RemoteError as error:
            raise RemoteError("a record whose signature does not match", status=403) from error
        self._verified[digest] = None
        if len(self._verified) > VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]


@lru_cache(maxsize=AUTHORITIES_MAX)
def verified_signatures(_ca_der: bytes) -> dict[bytes, None]:
    """Digests of records by devices of this authority whose signature some node of this process found true, the oldest first."""
    return {}


def _check_form(record: Record) -> Kind:
    kind = KINDS.get(record.kind)
    if kind is None:
        raise RemoteError("a record of an unknown kind")
    if record.body is not None and len(record.body) > kind.size_bytes_max:
        raise RemoteError(f"a {kind.name} of more than {kind.size_bytes_max} bytes", status=413)
    if len(record.certificate) > CERTIFICATE_BYTES_MAX:
        raise RemoteError("a certificate that is too large", status=413)
    if len(record.key) != RECORD_KEY_BYTES or len(record.signature) != SIGNATURE_BYTES:
        raise RemoteError("a record with a malformed key or signature")
    if not (0 <= record.sequence <= SEQUENCE_MAX and 0 <= record.expiry <= SEQUENCE_MAX):
        raise RemoteError("a record with a sequence or expiry out of range")
    return kind


def _signed_form(record: Record, overlay: str) -> bytes:
    author = fingerprint(record.certificate)
    return _DOMAIN + pack([overlay, record.kind, record.key, author, record.sequence, record.expiry, record.body])


@lru_cache(maxsize=PLACES_CACHED_MAX)
def _place(*parts: str) -> bytes:
    return hashlib.sha256(b"p2psip place 1\x00" + pack(list(parts))).digest()[:RECORD_KEY_BYTES]


def _owns_address(author: DeviceCertificate, key: bytes) -> bool:
    return any(registration_key(address) == key for address in author.addresses)


def _is_relay_place(author: DeviceCertificate, key: bytes) -> bool:
    return key in own_relay_keys(author.overlay, author.node_id)


def _is_enrolled(_author: DeviceCertificate, _key: bytes) -> bool:
    return True


_NOT_YOURS = "a record at a key that belongs to none of its author's addresses"
KINDS = {
    kind.name: kind
    for kind in (
        Kind(REGISTRATION, 600, 1_024, 16, _owns_address, _NOT_YOURS),
        Kind(NAME, 30 * _DAY, 0, 16, _owns_address, _NOT_YOURS),
        Kind(RELAY, 600, 512, 128, _is_relay_place, "a relay record at a key that is no place for this relay", 2),
        Kind(MAILBOX, 7 * _DAY, 4_096, 64, _is_enrolled, "a mailbox record of somebody who is not enrolled"),
    )
}
