"""STUN messages as a TURN server reads and writes them (RFC 8489 §5 and §14, RFC 8656 §18).

A codec of our own beside aioice's (`media/stun.py`): it knows every attribute of RFC 8656, reads only what is asked for, and costs
a few microseconds, since anybody may make the server read a message. Bytes give a message or a RemoteError, nothing else.
"""

import hashlib
import hmac
import ipaddress
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

COOKIE = b"\x21\x12\xa4\x42"
HEADER_BYTES = 20
MESSAGE_BYTES_MAX = 2_048
ATTRIBUTES_MAX = 32
PEERS_MAX = 16
HOSTS_CACHED_MAX = 8_192

BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 7, 8, 9
REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0006, 0x0008, 0x0009, 0x000A
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA_VALUE = 0x000C, 0x000D, 0x0012, 0x0013
REALM, NONCE, XOR_RELAYED_ADDRESS, REQUESTED_ADDRESS_FAMILY = 0x0014, 0x0015, 0x0016, 0x0017
EVEN_PORT, REQUESTED_TRANSPORT, DONT_FRAGMENT = 0x0018, 0x0019, 0x001A
MESSAGE_INTEGRITY_SHA256, PASSWORD_ALGORITHM, USERHASH = 0x001C, 0x001D, 0x001E
XOR_MAPPED_ADDRESS, RESERVATION_TOKEN, PRIORITY, USE_CANDIDATE = 0x0020, 0x0022, 0x0024, 0x0025
ADDITIONAL_ADDRESS_FAMILY, ADDRESS_ERROR_CODE, ICMP = 0x8000, 0x8001, 0x8004
SOFTWARE, ALTERNATE_SERVER, FINGERPRINT = 0x8022, 0x8023, 0x8028
ICE_CONTROLLED, ICE_CONTROLLING = 0x8029, 0x802A
DRAFT_ADDITIONAL_ADDRESS_FAMILY = 0x8032  # the number that coturn knows, of the time before RFC 8656

_INTEGRITY_BYTES = 24
_FINGERPRINT_XOR = 0x5354554E
_COOKIE_NUMBER = 0x2112A442
_PORT_XOR = 0x2112
_OPTIONAL_FROM = 0x8000
_KNOWN = frozenset(
    (
        *(USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS),
        *(DATA_VALUE, REALM, NONCE, XOR_RELAYED_ADDRESS, REQUESTED_ADDRESS_FAMILY, EVEN_PORT, REQUESTED_TRANSPORT),
        *(DONT_FRAGMENT, MESSAGE_INTEGRITY_SHA256, PASSWORD_ALGORITHM, USERHASH, XOR_MAPPED_ADDRESS),
        *(RESERVATION_TOKEN, PRIORITY, USE_CANDIDATE),
    )
)
_HEAD = struct.Struct("!HH")
_FULL_HEAD = struct.Struct("!HH4s12s")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read. Of an attribute that occurs more than once the first counts (RFC 8489 §14), but for peers.

    `integrity_at` is where MESSAGE-INTEGRITY begins, 0 without one; attributes behind it are not believed, hence not here.
    `unknown` lists the comprehension-required attributes that nobody here understands.
    """

    method: int
    kind: int
    transaction: bytes
    attributes: dict[int, bytes]
    peer_values: tuple[bytes, ...]
    integrity_at: int
    unknown: tuple[int, ...]
    has_fingerprint: bool
    raw: bytes

    def number(self, kind: int, size: int) -> int | None:
        """The whole number in an attribute of `size` bytes, None without one; RemoteError(400) for another size."""
        value = self.attributes.get(kind)
        if value is None:
            return None
        if len(value) != size:
            raise RemoteError("an attribute of a wrong size")
        return int.from_bytes(value, "big")

    @property
    def peers(self) -> list[Address]:
        """All XOR-PEER-ADDRESS values; RemoteError(400) if one is none."""
        return [read_address(value, self.transaction) for value in self.peer_values]

    def is_signed_with(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY holds for `key` (RFC 8489 §14.5)."""
        at = self.integrity_at
        if not at:
            return False
        length = at - HEADER_BYTES + _INTEGRITY_BYTES
        covered = self.raw[:2] + length.to_bytes(2, "big") + self.raw[4:at]
        return hmac.compare_digest(hmac.digest(key, covered, "sha1"), self.raw[at + 4 : at + _INTEGRITY_BYTES])


def read(data: bytes) -> Message:
    """The message in `data`; RemoteError if it is no well-formed STUN message or its FINGERPRINT is wrong."""
    size = len(data)
    if not HEADER_BYTES <= size <= MESSAGE_BYTES_MAX or data[0] > 3 or data[4:8] != COOKIE:
        raise RemoteError("a datagram that is no STUN message")
    kind, length = _HEAD.unpack_from(data)
    if length != size - HEADER_BYTES or length & 3:
        raise RemoteError("a STUN message whose length is wrong")
    transaction = data[8:HEADER_BYTES]
    attributes: dict[int, bytes] = {}
    peers: list[bytes] = []
    unknown: list[int] = []
    integrity_at, at, has_fingerprint, count = 0, HEADER_BYTES, False, 0
    while at < size:
        name, value_bytes = _HEAD.unpack_from(data, at)
        end = at + 4 + value_bytes
        count += 1
        if end > size or count > ATTRIBUTES_MAX:
            raise RemoteError("a STUN message whose attributes do not fit into it")
        if name == FINGERPRINT:
            _check_fingerprint(data, at, value_bytes)
            has_fingerprint = True
        elif not integrity_at:
            if name == MESSAGE_INTEGRITY:
                if value_bytes != _INTEGRITY_BYTES - 4:
                    raise RemoteError("a MESSAGE-INTEGRITY of a wrong size")
                integrity_at = at
            elif name == XOR_PEER_ADDRESS:
                peers.append(data[at + 4 : end])
            elif name in _KNOWN or name >= _OPTIONAL_FROM:
                attributes.setdefault(name, data[at + 4 : end])
            else:
                unknown.append(name)
        at = (end + 3) & ~3
    if len(peers) > PEERS_MAX:
        raise RemoteError(f"a request that names more than {PEERS_MAX} peers")
    method = kind & 0xF | (kind & 0xE0) >> 1 | (kind & 0x3E00) >> 2
    return Message(
        method, kind & 0x110, transaction, attributes, tuple(peers), integrity_at, tuple(unknown), has_fingerprint, data
    )


def all_values(message: Message, kind: int) -> list[bytes]:
    """The values of an attribute that may occur more than once, from the signed part if there is one."""
    found, at, end = [], HEADER_BYTES, message.integrity_at or len(message.raw)
    while at < end:
        name, value_bytes = _HEAD.unpack_from(message.raw, at)
        if name == kind:
            found.append(message.raw[at + 4 : at + 4 + value_bytes])
        at += 4 + (value_bytes + 3 & ~3)
    return found


def write(
    kind: int, method: int, transaction: bytes, body: bytes, key: bytes | None, fingerprint: bool = False
) -> bytes:
    """A message with the attributes in `body`, signed with `key` if there is one."""
    if key is not None:
        length = len(body) + _INTEGRITY_BYTES
        covered = _FULL_HEAD.pack(kind | method, length, COOKIE, transaction) + body
        body += b"\x00\x08\x00\x14" + hmac.digest(key, covered, "sha1")
    if fingerprint:
        covered = _FULL_HEAD.pack(kind | method, len(body) + 8, COOKIE, transaction) + body
        body += b"\x80\x28\x00\x04" + (zlib.crc32(covered) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
    return _FULL_HEAD.pack(kind | method, len(body), COOKIE, transaction) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to a multiple of four bytes."""
    return _HEAD.pack(kind, len(value)) + value + bytes(-len(value) & 3)


def address_attribute(kind: int, address: Address, transaction: bytes) -> bytes:
    """An address hidden by XOR (RFC 8489 §14.2), as XOR-MAPPED-ADDRESS, XOR-RELAYED-ADDRESS or XOR-PEER-ADDRESS."""
    packed = pack_host(address[0])
    mask = COOKIE if len(packed) == 4 else COOKIE + transaction
    hidden = (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(packed), "big")
    family = 1 if len(packed) == 4 else 2
    return _HEAD.pack(kind, 4 + len(packed)) + _HEAD.pack(family, address[1] ^ _PORT_XOR) + hidden


def plain_address_attribute(kind: int, address: Address) -> bytes:
    """An address as it is: ALTERNATE-SERVER (RFC 8489 §14.15)."""
    packed = pack_host(address[0])
    return attribute(kind, _HEAD.pack(1 if len(packed) == 4 else 2, address[1]) + packed)


def error_attribute(code: int, reason: str) -> bytes:
    """ERROR-CODE (RFC 8489 §14.8)."""
    return attribute(ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode())


def read_address(value: bytes, transaction: bytes) -> Address:
    """The address in the value of an XOR-…-ADDRESS attribute; RemoteError if there is none."""
    if len(value) == 8 and value[1] == 1:
        hidden = int.from_bytes(value[4:8], "big") ^ _COOKIE_NUMBER
        return host_text(hidden.to_bytes(4, "big")), int.from_bytes(value[2:4], "big") ^ _PORT_XOR
    if len(value) == 20 and value[1] == 2:
        mask = int.from_bytes(COOKIE + transaction, "big")
        packed = (int.from_bytes(value[4:20], "big") ^ mask).to_bytes(16, "big")
        return host_text(packed), int.from_bytes(value[2:4], "big") ^ _PORT_XOR
    raise RemoteError("an address of an unknown family or a wrong size")


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def pack_host(host: str) -> bytes:
    """4 or 16 bytes."""
    return ipaddress.ip_address(host).packed


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def host_text(packed: bytes) -> str:
    """The text of 4 or 16 bytes."""
    return str(ipaddress.ip_address(packed))


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of the long-term credential mechanism (RFC 8489 §9.2.2)."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def _check_fingerprint(data: bytes, at: int, value_bytes: int) -> None:
    if value_bytes != 4 or at + 8 != len(data):
        raise RemoteError("a FINGERPRINT that is not the last attribute")
    if zlib.crc32(data[:at]) ^ _FINGERPRINT_XOR != int.from_bytes(data[at + 4 :], "big"):
        raise RemoteError("a FINGERPRINT that does not hold")
