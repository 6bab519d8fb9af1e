"""The body of a relay record: how a super-node announces itself, and where."""

from dataclasses import dataclass
from typing import Any

from overlay.contact import pack_host, unpack_host
from overlay.records import RELAY_PLACES_EACH, Record, own_relay_keys
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.codec import pack, unpack
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, node_id_of

ADDRESSES_MAX = 4
PLACES_PER_SUPERNODE = RELAY_PLACES_EACH
CAPACITY_MAX = 1_000_000
UPTIME_CLASS_HOURS = (1, 6, 24)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A super-node: where it listens (port 0: not), how many allocations it has left, how long it has been up, whether it leaves.

    `uptime_class`: 0 under an hour, 1 under six, 2 under a day, 3 longer.
    """

    node_key: bytes
    addresses: tuple[Address, ...]
    tcp_port: int = 0
    tls_port: int = 0
    capacity: int = 0
    uptime_class: int = 0
    draining: bool = False


def uptime_class_of(seconds: float) -> int:
    """The class of an uptime."""
    return sum(seconds >= 3_600 * hours for hours in UPTIME_CLASS_HOURS)


def announcement_keys(overlay: str, node_id: bytes) -> tuple[bytes, ...]:
    """The PLACES_PER_SUPERNODE relay places at which this super-node announces itself: those closest to its Node-ID."""
    return own_relay_keys(overlay, node_id)


def encode_announcement(announcement: Announcement) -> bytes:
    """The body of a relay record."""
    addresses = [[pack_host(host), port] for host, port in announcement.addresses[:ADDRESSES_MAX]]
    ports = [announcement.tcp_port, announcement.tls_port]
    capacity = max(0, min(announcement.capacity, CAPACITY_MAX))
    return pack([announcement.node_key, addresses, *ports, capacity, announcement.uptime_class, announcement.draining])


def decode_announcement(data: bytes) -> Announcement:
    """The announcement in a relay record's body; RemoteError if malformed."""
    match unpack(data):
        case [
            bytes() as node_key,
            list() as addresses,
            int() as tcp_port,
            int() as tls_port,
            int() as capacity,
            int() as uptime_class,
            bool() as draining,
        ] if len(node_key) == KEY_BYTES and 0 < len(addresses) <= ADDRESSES_MAX:
            pass
        case _:
            raise RemoteError("an announcement of an unknown form")
    if not (0 <= tcp_port < 65_536 and 0 <= tls_port < 65_536 and 0 <= capacity <= CAPACITY_MAX):
        raise RemoteError("an announcement with a number out of range")
    if not 0 <= uptime_class <= len(UPTIME_CLASS_HOURS):
        raise RemoteError("an announcement with a number out of range")
    where = tuple(_address(each) for each in addresses)
    return Announcement(node_key, where, int(tcp_port), int(tls_port), int(capacity), int(uptime_class), draining)


def read_announcement(record: Record, author: DeviceCertificate) -> Announcement | None:
    """The announcement of a verified record, None if withdrawn; RemoteError if it names a node not its author's."""
    if record.body is None:
        return None
    announcement = decode_announcement(record.body)
    if node_id_of(announcement.node_key) != author.node_id:
        raise RemoteError("an announcement of a node that is not its author's", status=403)
    return announcement


def _address(value: Any) -> Address:
    match value:
        case [packed, int() as port] if type(port) is int and 0 < port < 65_536:
            return unpack_host(packed), port
        case _:
            raise RemoteError("an announcement with a malformed address")
