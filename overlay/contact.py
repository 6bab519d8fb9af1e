"""A node as others name it: its node key and an address that it was seen at."""

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, node_id_of

HOSTS_CACHED_MAX = 8_192
_PORT_END = KEY_BYTES + 2
_PACKED_BYTES = (_PORT_END + 4, _PORT_END + 16)


@dataclass(slots=True, eq=False)
class Contact:
    """One peer. `number` is its Node-ID as a whole number; `failures` counts requests in a row that it left unanswered."""

    node_key: bytes
    address: Address
    node_id: bytes = field(init=False)
    number: int = field(init=False)
    rtt: float | None = None
    failures: int = 0
    last_seen: float = 0.0

    def __post_init__(self) -> None:
        self.node_id = node_id_of(self.node_key)
        self.number = int.from_bytes(self.node_id, "big")

    def pack(self) -> bytes:
        """Node key, port (2 bytes), IP address (4 or 16 bytes)."""
        return self.node_key + self.address[1].to_bytes(2, "big") + pack_host(self.address[0])


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
    if type(value) is not bytes or len(value) not in _PACKED_BYTES:
        raise RemoteError("a malformed contact")
    port = int.from_bytes(value[KEY_BYTES:_PORT_END], "big")
    if port == 0:
        raise RemoteError("a contact with port 0")
    return Contact(value[:KEY_BYTES], (_host_text(value[_PORT_END:]), port))


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
