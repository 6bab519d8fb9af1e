"""The body of a registration: where and how the device of a person is reached, and the record around it.

A peer names its own addresses. A client names the super-nodes that keep a flow to it and never its own addresses: the
overlay is no phone book of home IPs.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any

from overlay.records import Record
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.codec import pack, unpack
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, node_id_of

ADDRESSES_MAX = 8
RENDEZVOUS_MAX = 3
CAPABILITIES_MAX = 16
TEXT_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """A super-node that keeps a flow to a client: its node key and address."""

    node_key: bytes
    address: Address


@dataclass(frozen=True, slots=True)
class Registration:
    """How a device is reached: at its own `addresses`, or through `rendezvous`, or elsewhere (`redirect`)."""

    node_key: bytes
    addresses: tuple[Address, ...] = ()
    rendezvous: tuple[Rendezvous, ...] = ()
    capabilities: tuple[str, ...] = ()
    redirect: str | None = None

    @property
    def node_id(self) -> bytes:
        """The Node-ID of the device."""
        return node_id_of(self.node_key)


def encode_registration(registration: Registration) -> bytes:
    """The body of a registration record."""
    meeting = [[each.node_key, *each.address] for each in registration.rendezvous]
    reached = [list(address) for address in registration.addresses]
    return pack([registration.node_key, reached, meeting, list(registration.capabilities), registration.redirect])


def decode_registration(data: bytes) -> Registration:
    """The registration in a record's body; RemoteError if malformed."""
    match unpack(data):
        case [bytes() as node_key, list() as reached, list() as meeting, list() as capabilities, redirect]:
            pass
        case _:
            raise RemoteError("a registration of an unknown form")
    if len(reached) > ADDRESSES_MAX or len(meeting) > RENDEZVOUS_MAX or len(capabilities) > CAPABILITIES_MAX:
        raise RemoteError("a registration with too many addresses or capabilities", status=413)
    return Registration(
        node_key=_node_key(node_key),
        addresses=tuple(_address(each) for each in reached),
        rendezvous=tuple(_rendezvous(each) for each in meeting),
        capabilities=tuple(_text(each) for each in capabilities),
        redirect=None if redirect is None else _text(redirect),
    )


def read_registration(record: Record, author: DeviceCertificate) -> Registration | None:
    """The registration of a verified record, None if withdrawn; RemoteError if it names a node not its author's."""
    if record.body is None:
        return None
    registration = decode_registration(record.body)
    if registration.node_id != author.node_id:
        raise RemoteError("a registration of a node that is not its author's", status=403)
    return registration


def _node_key(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != KEY_BYTES:
        raise RemoteError("a registration with a malformed node key")
    return value


def _address(value: Any) -> Address:
    match value:
        case [str() as host, int() as port] if type(port) is int and 0 < port < 65_536:
            pass
        case _:
            raise RemoteError("a registration with a malformed address")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise RemoteError("a registration with a malformed address") from error
    text = str(address)
    if "%" in text or is_synthetic(text) or address.is_multicast or address.is_unspecified:
        raise RemoteError("a registration with an address of no single host")
    return text, port


def _rendezvous(value: Any) -> Rendezvous:
    match value:
        case [bytes() as node_key, host, port]:
            return Rendezvous(_node_key(node_key), _address([host, port]))
        case _:
            raise RemoteError("a registration with a malformed rendezvous")


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
        raise RemoteError("a registration with a malformed text")
    return value
