"""One simulated node: the core that production runs, its device, its place in the network, and what it has sent."""

from collections.abc import Callable
from typing import Any

from overlay.participant import FoundDone, Joined, Participant, Published
from overlay.reachability import Role
from p2psip.base.core import Address
from simulations.enrolment import Device
from simulations.network.endpoint import Endpoint

REMEMBERED_MAX = 500

Then = Callable[[FoundDone], None]


class Node:
    """A host of the world (`simulations.world.Host`). A start makes a new core; one that is not `alive` stands still."""

    hostile = False

    __slots__ = (
        *("alive", "core", "device", "endpoint", "heard", "joined_at", "number", "on_event", "person", "planned"),
        *("received_bytes", "received", "registered_at", "remembered", "sent", "sent_bytes", "started_at", "starts"),
        *("up_seconds", "volunteer", "waiting", "wants_registration", "role"),
    )

    core: Participant

    def __init__(self, number: int, person: str, device: Device, endpoint: Endpoint) -> None:
        self.number = number
        self.person = person
        self.device = device
        self.endpoint = endpoint
        self.planned: float | None = None
        self.alive = False
        self.role: Role | None = None
        self.volunteer = False
        self.wants_registration = True
        self.joined_at: float | None = None
        self.registered_at: float | None = None
        self.started_at = 0.0
        self.starts = 0
        self.up_seconds = 0.0
        self.sent = self.received = self.sent_bytes = self.received_bytes = 0
        self.remembered: list[tuple[bytes, Address]] = []
        self.waiting: dict[int, Then] = {}
        self.on_event: Callable[[Node, Any, float], None] = _nobody

    @property
    def key(self) -> bytes:
        """The node key."""
        return self.device.node_key.public

    @property
    def node_id(self) -> bytes:
        """The Node-ID."""
        return self.device.node_key.node_id

    @property
    def position(self) -> float:
        """The place on the ring, in [0, 1)."""
        return int.from_bytes(self.node_id[:7], "big") / (1 << 56)

    @property
    def address(self) -> str:
        """The address of its person, "u7@sim.example"."""
        return self.device.certificate.addresses[0]

    def take(self, event: Any, now: float) -> None:
        """What the core has put out: answers go to who waits for them, all to the swarm's listeners."""
        match event:
            case FoundDone(number=number):
                then = self.waiting.pop(number, None)
                if then is not None:
                    then(event)
            case Joined(peers=peers):
                if peers and self.joined_at is None:
                    self.joined_at = now
            case Published(holders=holders):
                if holders and self.core.published and self.registered_at is None:
                    self.registered_at = now
        self.on_event(self, event, now)

    def note_sent(self, size: int) -> None:
        """A datagram of `size` bytes left."""
        self.sent += 1
        self.sent_bytes += size

    def note_received(self, size: int) -> None:
        """A datagram of `size` bytes came."""
        self.received += 1
        self.received_bytes += size


def _nobody(_node: Node, _event: Any, _now: float) -> None:
    return
