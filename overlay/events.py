"""What the core of a node puts out besides datagrams."""

from dataclasses import dataclass

from overlay.contact import Contact
from overlay.lookup import Authored
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Transmit


@dataclass(frozen=True, slots=True)
class LookupDone:
    """The lookup `number` has ended: the newest of each record, the closest peers, and what it cost."""

    number: int
    records: tuple[Authored, ...]
    closest: tuple[Contact, ...]
    hops: int
    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreDone:
    """The store `number` has ended: how many hold the record now, and the last refusal if there was one."""

    number: int
    holders: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A node said something to us, and its certificate was verified."""

    node_key: bytes
    certificate: DeviceCertificate
    data: bytes


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """A newer signed configuration came from a peer."""

    configuration: bytes


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer has answered, belongs to the overlay, and is in the routing table now."""

    contact: Contact


Output = Transmit | LookupDone | StoreDone | MessageArrived | ConfigurationChanged | PeerJoined
