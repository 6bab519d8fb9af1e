"""Ways through super-nodes: their synthetic addresses, and the three payloads of a relayed frame.

    RELAY    4 | 20 bytes target's Node-ID | 0 | sealed frame for the target           sender -> super-node
             4 | 20 bytes target's Node-ID | 2 | sealed frame for the target           super-node -> super-node
             4 | 20 bytes target's Node-ID | 1 | 32 bytes node key | 2 bytes port | 1 byte length | host | sealed frame
    RELAYED  5 | sealed frame                                                          super-node -> target
    LOST     6 | 20 bytes Node-ID: that node is not attached here                       super-node -> sender

A client may be attached to a super-node through another one. What a super-node passes on to another has 2 in place of 0: that
one does not pass it on to a third, or back. Else two flows that point at one another would carry a frame round and round.

"Through super-node S" is an `Address` like any other: a host in the discard prefix 100::/64 (RFC 6666) whose lower half is the
start of S's Node-ID with the top bit set. It means something inside one node only and never stands in a message.
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from overlay.contact import pack_host, unpack_host
from overlay.rpc import LOST, RELAY, RELAYED
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, NODE_ID_BYTES, node_id_of

VIA_PORT = 1
VIAS_CACHED_MAX = 4_096

_PREFIX = 0x0100 << 112
_TOP_BIT = 1 << 63
_FLAG_AT = 1 + NODE_ID_BYTES
_KEY_AT = _FLAG_AT + 1
_PORT_AT = _KEY_AT + KEY_BYTES
_HOST_AT = _PORT_AT + 3
_TO_ATTACHED, _TO_ADDRESS, _TO_ATTACHED_HERE = range(3)


@lru_cache(maxsize=VIAS_CACHED_MAX)
def via_address(node_key: bytes) -> Address:
    """The address that means "through the super-node with this key"."""
    suffix = int.from_bytes(node_id_of(node_key)[:8], "big") | _TOP_BIT
    return str(ipaddress.IPv6Address(_PREFIX | suffix)), VIA_PORT


@lru_cache(maxsize=VIAS_CACHED_MAX)
def is_via(address: Address) -> bool:
    """Whether an address means a way through a super-node."""
    host = address[0]
    if not host.startswith("100::"):
        return False
    number = int(ipaddress.IPv6Address(host))
    return number >> 64 == _PREFIX >> 64 and bool(number & _TOP_BIT)


@dataclass(frozen=True, slots=True)
class Relay:
    """What a super-node is to send on: to the node `target`, attached to it; or to `node_key` at `address`.

    `is_last`: another super-node has passed it on already.
    """

    target: bytes
    inner: bytes
    node_key: bytes | None = None
    address: Address | None = None
    is_last: bool = False


def make_relay(target: bytes, inner: bytes, *, is_last: bool = False) -> bytes:
    """A RELAY to a node that is attached to the super-node; `is_last` when a super-node passes on what it was sent."""
    return bytes((RELAY,)) + target + bytes((_TO_ATTACHED_HERE if is_last else _TO_ATTACHED,)) + inner


def make_relay_to_address(node_key: bytes, address: Address, inner: bytes) -> bytes:
    """A RELAY to a node at an address that we cannot send to ourselves."""
    host = pack_host(address[0])
    where = address[1].to_bytes(2, "big") + bytes((len(host),)) + host
    return bytes((RELAY,)) + node_id_of(node_key) + bytes((_TO_ADDRESS,)) + node_key + where + inner


def parse_relay(payload: bytes) -> Relay:
    """The RELAY in a payload; RemoteError if malformed."""
    target = payload[1:_FLAG_AT]
    if len(payload) <= _KEY_AT or payload[_FLAG_AT] > _TO_ATTACHED_HERE:
        raise RemoteError("a frame to be relayed of an unknown form")
    if payload[_FLAG_AT] != _TO_ADDRESS:
        return Relay(target, payload[_KEY_AT:], is_last=payload[_FLAG_AT] == _TO_ATTACHED_HERE)
    if len(payload) <= _HOST_AT:
        raise RemoteError("a frame to be relayed that is too short")
    node_key = payload[_KEY_AT:_PORT_AT]
    end = _HOST_AT + payload[_HOST_AT - 1]
    port = int.from_bytes(payload[_PORT_AT : _PORT_AT + 2], "big")
    if node_id_of(node_key) != target or port == 0 or len(payload) <= end:
        raise RemoteError("a frame to be relayed to a malformed address")
    return Relay(target, payload[end:], node_key, (unpack_host(payload[_HOST_AT:end]), port))


def make_relayed(inner: bytes) -> bytes:
    """A RELAYED around the frame of another node."""
    return bytes((RELAYED,)) + inner


def make_lost(node_id: bytes) -> bytes:
    """A LOST: the node is not attached here."""
    return bytes((LOST,)) + node_id


def parse_lost(payload: bytes) -> bytes:
    """The Node-ID in a LOST; RemoteError if malformed."""
    if len(payload) != 1 + NODE_ID_BYTES:
        raise RemoteError("a notice of a lost node of a wrong length")
    return payload[1:]
