"""The STUN keep-alive of phones on UDP flows (RFC 5626 §3.5.2, §8): a Binding request on the SIP port gets its source back.

By that a phone learns that its flow lives, and that its NAT has given it another address. Nothing else of STUN is served here;
`media/stun.py` is the STUN of media (the cores know nothing of one another).
"""

import ipaddress
import struct

from p2psip.base.core import Address

MAGIC_COOKIE = 0x2112A442
BINDING_REQUEST, BINDING_RESPONSE = 0x0001, 0x0101
XOR_MAPPED_ADDRESS = 0x0020
FIRST_OPTIONAL = 0x8000
REQUEST_BYTES_MAX = 548

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")


def is_stun(data: bytes) -> bool:
    """Whether a datagram on the SIP port is meant as STUN (RFC 5389 §6: two zero bits, the length, the cookie); SIP never is."""
    if not _HEADER.size <= len(data) <= REQUEST_BYTES_MAX or data[0] > 1:
        return False
    _kind, length, cookie, _identity = _HEADER.unpack_from(data)
    return bool(cookie == MAGIC_COOKIE and length % 4 == 0 and length == len(data) - _HEADER.size)


def keepalive_answer(data: bytes, source: Address) -> bytes | None:
    """The answer to a Binding request from `source`; None for all else, and for requests that ask for more than we know."""
    if not is_stun(data):
        return None
    kind, _length, cookie, identity = _HEADER.unpack_from(data)
    if kind != BINDING_REQUEST or _asks_for_more(data[_HEADER.size :]):
        return None
    address = ipaddress.ip_address(source[0].partition("%")[0])
    mask = int.from_bytes(struct.pack("!I", cookie) + identity, "big") >> (128 - 8 * len(address.packed))
    hidden = (int(address) ^ mask).to_bytes(len(address.packed), "big")
    value = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, source[1] ^ cookie >> 16) + hidden
    attribute = _ATTRIBUTE.pack(XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEADER.pack(BINDING_RESPONSE, len(attribute), cookie, identity) + attribute


def _asks_for_more(attributes: bytes) -> bool:
    """Whether an attribute must be understood (RFC 5389 §15): keep-alives carry none. Also when they cannot be read."""
    place = 0
    while place + _ATTRIBUTE.size <= len(attributes):
        kind, length = _ATTRIBUTE.unpack_from(attributes, place)
        if kind < FIRST_OPTIONAL:
            return True
        place += _ATTRIBUTE.size + length + -length % 4
    return place != len(attributes)
