"""Time-limited TURN credentials: who may use a relay server, until when, and where it listens.

The scheme is that of coturn's `use-auth-secret` (the TURN REST API draft, draft-uberti-behave-turn-rest-00 §2.2), so that
an operator can put a coturn in a super-node's place: the user name is `<unix expiry>:<node id>`, the password is the base64
of HMAC-SHA1 over it. The server keeps no list of users; it needs the secret only.
"""

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError

TRANSPORTS = ("udp", "tcp", "tls")
SERVERS_MAX = 8
USERNAME_CHARACTERS_MAX = 128
PASSWORD_CHARACTERS_MAX = 64
REALM_CHARACTERS_MAX = 127
HOST_CHARACTERS_MAX = 64
EXPIRY_DIGITS_MAX = 12


@dataclass(frozen=True, slots=True)
class TurnServer:
    """One address of a relay server. `transport` is "udp", "tcp" or "tls"."""

    transport: str
    address: Address


@dataclass(frozen=True, slots=True)
class Grant:
    """Credentials for one relay server: good until `expires` (unix seconds), at any of `servers`."""

    username: str
    password: str
    realm: str
    expires: int
    servers: tuple[TurnServer, ...]


def turn_password(secret: bytes, username: str) -> str:
    """The password that belongs to `username`."""
    return base64.b64encode(hmac.digest(secret, username.encode(), hashlib.sha1)).decode()


def make_grant(
    secret: bytes, node_id: str, realm: str, unix: float, lifetime_seconds: int, servers: Sequence[TurnServer]
) -> Grant:
    """Credentials for the node `node_id` (hexadecimal), good for `lifetime_seconds` from `unix` on."""
    if len(servers) > SERVERS_MAX:
        raise LocalError(f"a grant names {SERVERS_MAX} servers at most")
    expires = int(unix) + lifetime_seconds
    username = f"{expires}:{node_id}"
    return Grant(username, turn_password(secret, username), realm, expires, tuple(servers))


def username_expiry(username: str) -> int:
    """The unix second at which `username` ends; RemoteError(401) when it does not say one."""
    digits = username.partition(":")[0]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= EXPIRY_DIGITS_MAX):
        raise RemoteError("a TURN user name without a time at its start", status=401)
    return int(digits)


def username_owner(username: str) -> str:
    """Whose quota counts: what follows the time in `username`."""
    return username.partition(":")[2]


def pack_grant(grant: Grant) -> list[Any]:
    """`grant` as plain values for msgpack."""
    servers = [[TRANSPORTS.index(each.transport), each.address[0], each.address[1]] for each in grant.servers]
    return [grant.username, grant.password, grant.realm, grant.expires, servers]


def unpack_grant(value: Any) -> Grant:
    """What `pack_grant` gave; RemoteError for anything else."""
    match value:
        case [str(username), str(password), str(realm), int(expires), [*servers]] if (
            0 < len(username) <= USERNAME_CHARACTERS_MAX
            and 0 < len(password) <= PASSWORD_CHARACTERS_MAX
            and len(realm) <= REALM_CHARACTERS_MAX
            and 0 <= expires < 10**EXPIRY_DIGITS_MAX
            and len(servers) <= SERVERS_MAX
        ):
            return Grant(username, password, realm, expires, tuple(_unpack_server(each) for each in servers))
    raise RemoteError("this is no grant of a relay server")


def _unpack_server(value: Any) -> TurnServer:
    match value:
        case [int(transport), str(host), int(port)] if (
            0 <= transport < len(TRANSPORTS) and 0 < len(host) <= HOST_CHARACTERS_MAX and 0 < port < 65_536
        ):
            return TurnServer(TRANSPORTS[transport], (_unpack_host(host), port))
    raise RemoteError("a grant with a server that has no address")


def _unpack_host(text: str) -> str:
    """An IP address and never a name: to look one up would hold up the whole node for as long as its owner likes."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise RemoteError("a grant with a server that is named, not addressed") from error
    host = str(address)
    if "%" in host or is_synthetic(host) or address.is_multicast or address.is_unspecified:
        raise RemoteError("a grant with a server at an address of no single host")
    return host
