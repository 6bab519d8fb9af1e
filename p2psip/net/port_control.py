"""Requests and answers of PCP (RFC 6887) and of its elder NAT-PMP (RFC 6886), as bytes; no socket lives here.

Only what a node needs: the MAP opcode without options, and NAT-PMP's two requests. Both are spoken on the same port, and a
router that knows only one of them says so to the other.
"""

import ipaddress
import struct
from dataclasses import dataclass

from p2psip.base.errors import RemoteError

SERVER_PORT = 5_351
ANSWER_BYTES_MAX = 1_100  # RFC 6887 §7
NONCE_BYTES = 12
NOT_SPOKEN = 505
REFUSED = 403
NO_ADDRESS = 503

PROTOCOLS = {"udp": 17, "tcp": 6}

_PCP_VERSION, _PMP_VERSION = 2, 0
_MAP, _ANSWER_BIT = 1, 0x80
_PCP_HEAD = struct.Struct("!BBxxI16s")
_PCP_ANSWER = struct.Struct("!BBxBII12x")
_PCP_MAP = struct.Struct("!12sB3xHH16s")
_PMP_MAP = struct.Struct("!BBxxHHI")
_PMP_ANSWER = struct.Struct("!BBHI")
_PMP_OPCODES = {"udp": 1, "tcp": 2}
_MAPPED = b"\0" * 10 + b"\xff\xff"
_PCP_WORDS = {
    1: "it does not speak this version",
    2: "it does not let this machine do it",
    4: "it knows no mappings",
    7: "it has no connection to the internet, or no address of its own there",
    8: "it has no room for more mappings",
    9: "it does not map this protocol",
    10: "this machine has as many mappings as it may have",
    11: "it cannot give this external port",
    12: "another NAT is between this machine and it",
}
_PMP_WORDS = {
    1: "it does not speak this version",
    2: "it does not let this machine do it",
    3: "it has no connection to the internet, or no address of its own there",
    4: "it has no room for more mappings",
    5: "it knows no mappings",
}


@dataclass(frozen=True, slots=True)
class Granted:
    """What a router has mapped. `host` is empty where the protocol tells the external address apart (NAT-PMP)."""

    host: str
    port: int
    lifetime_seconds: int


def pcp_request(
    client: str, nonce: bytes, transport: str, internal: int, external: int, lifetime_seconds: int
) -> bytes:
    """A MAP request (RFC 6887 §7.1, §11.1). `client` is our address as the router sees it; lifetime 0 removes."""
    head = _PCP_HEAD.pack(_PCP_VERSION, _MAP, lifetime_seconds, _wide(client))
    no_address = _MAPPED + bytes(4) if "." in client else bytes(16)
    return head + _PCP_MAP.pack(nonce, PROTOCOLS[transport], internal, external, no_address)


def read_pcp(data: bytes, nonce: bytes, transport: str, internal: int) -> Granted | None:
    """What a datagram from the router grants for this very mapping; None when it is about something else.

    RemoteError(505) when it does not speak PCP, RemoteError(403) with its reason when it refuses, RemoteError(503) when it
    has no external address itself.
    """
    if len(data) >= 2 and data[0] != _PCP_VERSION and data[1] & _ANSWER_BIT:
        raise RemoteError("the router does not speak PCP", status=NOT_SPOKEN)
    if not _PCP_ANSWER.size + _PCP_MAP.size <= len(data) <= ANSWER_BYTES_MAX or data[1] != _MAP | _ANSWER_BIT:
        return None
    _version, _opcode, result, lifetime, _epoch = _PCP_ANSWER.unpack_from(data)
    echoed, protocol, port, external, host = _PCP_MAP.unpack_from(data, _PCP_ANSWER.size)
    if (echoed, protocol, port) != (nonce, PROTOCOLS[transport], internal):
        return None
    if result:
        status = {1: NOT_SPOKEN, 4: NOT_SPOKEN, 7: NO_ADDRESS}.get(result, REFUSED)
        raise RemoteError(_PCP_WORDS.get(result, f"PCP result {result}"), status=status)
    return Granted(_narrow(host), external, lifetime)


def pmp_address_request() -> bytes:
    """Asks for the external address (RFC 6886 §3.2)."""
    return bytes((_PMP_VERSION, 0))


def read_pmp_address(data: bytes) -> str | None:
    """The external address that a datagram tells, None when it tells something else; RemoteError as for `read_pcp`."""
    body = _pmp_body(data, 0, 12)
    return None if body is None else str(ipaddress.IPv4Address(body))


def pmp_request(transport: str, internal: int, external: int, lifetime_seconds: int) -> bytes:
    """Asks for a mapping (RFC 6886 §3.3); lifetime 0 and external port 0 remove it (§3.4)."""
    return _PMP_MAP.pack(_PMP_VERSION, _PMP_OPCODES[transport], internal, external, lifetime_seconds)


def read_pmp(data: bytes, transport: str, internal: int) -> Granted | None:
    """What a datagram from the router grants for this port; None and RemoteError as for `read_pcp`."""
    body = _pmp_body(data, _PMP_OPCODES[transport], 16)
    if body is None:
        return None
    port, external, lifetime = struct.unpack("!HHI", body)
    return Granted("", external, lifetime) if port == internal else None


def _pmp_body(data: bytes, opcode: int, size: int) -> bytes | None:
    if len(data) < _PMP_ANSWER.size or not data[1] & _ANSWER_BIT:
        return None
    version, answered, result, _epoch = _PMP_ANSWER.unpack_from(data)
    if version != _PMP_VERSION:
        raise RemoteError("the router does not speak NAT-PMP", status=NOT_SPOKEN)
    if answered != opcode | _ANSWER_BIT:
        return None
    if result:
        status = {1: NOT_SPOKEN, 5: NOT_SPOKEN, 3: NO_ADDRESS}.get(result, REFUSED)
        raise RemoteError(_PMP_WORDS.get(result, f"NAT-PMP result {result}"), status=status)
    return data[_PMP_ANSWER.size : size] if len(data) >= size else None


def _wide(host: str) -> bytes:
    address = ipaddress.ip_address(host)
    return _MAPPED + address.packed if address.version == 4 else address.packed


def _narrow(packed: bytes) -> str:
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
