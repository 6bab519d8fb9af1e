"""What the core of a node puts out besides datagrams."""

from dataclasses import dataclass

from overlay.agreement import Authored
from overlay.contact import Contact
from overlay.reachability import Verdict
from overlay.rpc import Answer
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address, Transmit


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
    """The store `number` has ended: how many hold the record now, and the last refusal if there was one.

    `is_renewal`: they are those that held it before; nobody was looked for.
    """

    number: int
    holders: int
    refusal: str | None
    is_renewal: bool = False


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


@dataclass(frozen=True, slots=True)
class ProbeElsewhere:
    """A datagram that must leave from another port than ours, so that the other side learns what its NAT lets in."""

    data: bytes
    destination: Address


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """More is known about who can reach us, or it is different now."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReachTested:
    """A test of who can reach us has ended."""


@dataclass(frozen=True, slots=True)
class RendezvousChanged:
    """The super-nodes that keep flows to us are others now (`Peer.rendezvous`)."""


@dataclass(frozen=True, slots=True)
class RequestDone:
    """The request `number` has ended: with an answer, or with none."""

    number: int
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class RegistrationNews:
    """Something new may stand at a key that this node watches (`overlay.watching`)."""

    key: bytes


Output = (
    RequestDone
    | RegistrationNews
    | RendezvousChanged
    | Transmit
    | ProbeElsewhere
    | VerdictChanged
    | ReachTested
    | LookupDone
    | StoreDone
    | MessageArrived
    | ConfigurationChanged
    | PeerJoined
)
