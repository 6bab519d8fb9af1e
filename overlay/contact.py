"""A node as others name it: its node key and an address that it was seen at."""

import ipaddress
from functools import lru_cache
from typing import Any

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, identity_of

HOSTS_CACHED_MAX = 32_768
_PACKED_BYTES = (KEY_BYTES + 2 + 4, KEY_BYTES + 2 + 16)


class Contact:
    """One peer. `number` is its Node-ID as a whole number; `failures` counts requests in a row that it left unanswered.

    There are hundreds for each node, and thousands of nodes in one simulation: key, Node-ID and number are shared objects.
    """

    __slots__ = ("address", "failures", "last_seen", "node_id", "node_key", "number", "rtt")

    def __init__(self, node_key: bytes, address: Address, last_seen: float = 0.0) -> None:
        identity = identity_of(node_key)
        self.node_key = identity.node_key
        self.node_id = identity.node_id
        self.number = identity.number
        self.address = address
        self.rtt: float | None = None
        self.failures = 0
        self.last_seen = last_seen

    def __repr__(self) -> str:
        return f"Contact({self.node_id.hex()[:8]} at {self.address[0]} port {self.address[1]})"

    def pack(self) -> bytes:
        """Node key, port (2 bytes), IP address (4 or 16 bytes)."""
        return pack_contact(self.node_key, self.address)


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def pack_contact(node_key: bytes, address: Address) -> bytes:
    """Node key, port (2 bytes), IP address (4 or 16 bytes)."""
    return node_key + pack_address(address)


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def pack_address(address: Address) -> bytes:
    """Port (2 bytes), IP address (4 or 16 bytes)."""
    return address[1].to_bytes(2, "big") + pack_host(address[0])


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def pack_host(host: str) -> bytes:
    """4 or 16 bytes."""
    return ipaddress.ip_address(host).packed


def unpack_host(packed: Any) -> str:
    """The text form of 4 or 16 bytes; RemoteError otherwise."""
    if isinstance(packed, bytes) and len(packed) in (4, 16):
        return _host_text(packed)
    raise RemoteError("a contact with a malformed address")


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _host_text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def unpack_contact(value: Any) -> Contact:
    """The contact in a message; RemoteError if it is malformed."""
    if type(value) is not bytes:
        raise RemoteError("a malformed contact")
    return Contact(*_unpack(value))


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _unpack(packed: bytes) -> tuple[bytes, Address]:
    if len(packed) not in _PACKED_BYTES:
        raise RemoteError("a malformed contact")
    port = int.from_bytes(packed[KEY_BYTES : KEY_BYTES + 2], "big")
    if port == 0:
        raise RemoteError("a contact with port 0")
    return identity_of(packed[:KEY_BYTES]).node_key, (_host_text(packed[KEY_BYTES + 2 :]), port)


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def network_of(host: str) -> str | None:
    """The /24 (IPv4) or /64 (IPv6) that counts against Sybils; None for private and loopback networks."""
    address = ipaddress.ip_address(host)
    if address.is_private or address.is_loopback or address.is_link_local:
        return None
    return str(ipaddress.ip_network((address, 64 if address.version == 6 else 24), strict=False))


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def is_disguised(host: str) -> bool:
    """Whether an IPv6 address leads to one of IPv4, or is site-local: what it reaches, its text does not tell."""
    address = ipaddress.ip_address(host)
    return any(address in network for network in _DISGUISES)


_DISGUISES = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96"),  # compatible, mapped and translated addresses
        *("64:ff9b::/96", "64:ff9b:1::/48"),  # NAT64 (RFC 6052, RFC 8215)
        *("2001::/32", "2002::/16", "fec0::/10"),  # Teredo, 6to4, site-local
    )
)
