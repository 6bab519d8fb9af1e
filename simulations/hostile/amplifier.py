"""Hostile nodes with forged source addresses: how many bytes reach a bystander for each byte that the attacker sends.

An attacker whose provider lets forged sources out asks honest nodes in the name of a bystander's address. The answers go
there. A node must therefore not answer an unproved address with more than three times what it got (`AMPLIFICATION_MAX` in
`overlay.rpc`), all that follows from the request included.
"""

from typing import Any

from overlay.frame import FrameBox
from overlay.participant import Participant
from overlay.probing import TOKEN_BYTES
from overlay.rpc import (
    ATTACH,
    CONFIGURATION,
    DIAL_BACK,
    FIND,
    PADDED_BYTES,
    PING,
    PROBE_FOR,
    REQUEST,
    WANTS_CERTIFICATE,
)
from overlay.via import make_relay
from p2psip.base.chance import Chance
from p2psip.base.codec import pack
from p2psip.base.core import Address, Core, Transmit
from simulations.hostile.hostile import Gang, Hostile
from simulations.network.endpoint import Endpoint
from simulations.network.nat import PUBLIC
from simulations.nodes import Node
from simulations.world import World

VOLLEY = 20
VOLLEY_SECONDS = 1.0
STRANGERS = 8
REQUESTS = (
    "ping",
    "find",
    "configuration",
    "attach",
    "introduced ping",
    "padded find",
    "dial-back",
    "probe-for",
    "relay",
)
"""Short ones, padded ones, such as show a certificate, and such as make others send."""


class Bystander:
    """A host that takes no part: it counts what reaches it and answers nothing."""

    def __init__(self, world: World, number: int, chance: Chance) -> None:
        self.core: Core[Any] = _Mute()
        self.endpoint: Endpoint = world.network.endpoint(number, chance, nat=PUBLIC)
        self.planned: float | None = None
        self.received = self.received_bytes = 0
        world.add(self)

    def take(self, event: Any, now: float) -> None:
        """Its core says nothing."""

    def note_sent(self, size: int) -> None:
        """It sends nothing."""

    def note_received(self, size: int) -> None:
        """A datagram reached it."""
        self.received += 1
        self.received_bytes += size


class Amplifier(Hostile):
    """Asks honest nodes in the name of `bystander` (of the gang's kind, see `amplify`), VOLLEY of them a second."""

    every = VOLLEY_SECONDS
    bystander: Bystander
    requests: tuple[str, ...] = REQUESTS
    identities: list[tuple[bytes, FrameBox]]
    spoofed_bytes = 0

    def prepare(self, core: Participant) -> None:
        """Beside its own, which others get to know, it has devices that nobody has heard of: they cause questions."""
        swarm = self.gang.swarm
        self.identities = [(self.device.certificate.der, core.peer._box)]
        for number in range(STRANGERS):
            device = swarm.enrolment.device(self.person)
            chance = self.chance.child(f"stranger {number}")
            box = FrameBox(device.node_key, chance, swarm.world.unix, core.peer._box._sealing)
            self.identities.append((device.certificate.der, box))

    def act(self, now: float) -> None:
        """One volley."""
        honest = self.gang.honest()
        for _ in range(VOLLEY):
            self.fire(self.chance.choice(honest))

    def fire(self, other: Node) -> None:
        """One request with a forged source: one of those that an honest node answers at length."""
        certificate, box = self.chance.choice(self.identities)
        frame = box.seal(other.key, _payload(self.chance.choice(self.requests), certificate, self.chance))
        self.did("spoofed")
        self.spoofed_bytes += len(frame)
        send_spoofed(self.gang.swarm.world, self, self.bystander.endpoint.address, other.endpoint.address, frame)

    @property
    def factor(self) -> float:
        """Bytes at the bystander for each byte that this node sent (with one such node for each bystander)."""
        return self.bystander.received_bytes / max(1, self.spoofed_bytes)


def amplify(gang: Gang, requests: tuple[str, ...] = REQUESTS) -> Amplifier:
    """Start one Amplifier with a bystander of its own, which sends requests of these kinds (of REQUESTS) only."""
    swarm = gang.swarm
    bystander = Bystander(swarm.world, len(swarm.nodes), gang.chance.child(f"bystander {len(swarm.nodes)}"))
    kind = type("Amplifier", (Amplifier,), {"bystander": bystander, "requests": requests})
    started = gang.recruit(kind, 1)[0]
    assert isinstance(started, Amplifier)
    return started


def send_spoofed(world: World, sender: Node, source: Address, destination: Address, data: bytes) -> None:
    """Put a datagram on its way whose source is not the sender's: no provider on the way minds."""
    world.trace.note(world.now, destination, data)
    world.counters.sent += 1
    world.counters.bytes += len(data)
    sender.note_sent(len(data))
    for when, _seen in world.network.route(world.now, sender.endpoint, destination, len(data)):
        world.at(when, lambda: _arrive(world, source, destination, data))


def _arrive(world: World, source: Address, destination: Address, data: bytes) -> None:
    endpoint = world.network.deliver(world.now, destination, source)
    if endpoint is not None and endpoint.host is not None:
        host = endpoint.host
        world.counters.delivered += 1
        host.note_received(len(data))
        host.core.receive(data, source, world.now)
        world.pump(host)


def _payload(kind: str, certificate: bytes, chance: Chance) -> bytes:
    """A request of this kind (form: `overlay.rpc`), as a node would get it that gives no token away."""
    number, target, token = chance.integer(31), chance.bytes(20), chance.bytes(TOKEN_BYTES)
    if kind == "relay":
        return make_relay(target, bytes(64))
    method, shown, arguments = {
        "ping": (PING, b"", []),
        "find": (FIND, b"", [target, True]),
        "configuration": (CONFIGURATION, b"", []),
        "attach": (ATTACH, certificate, []),
        "introduced ping": (PING, certificate, []),
        "padded find": (FIND, certificate, [target, True, bytes(PADDED_BYTES)]),
        "dial-back": (DIAL_BACK, certificate, [token, [], certificate]),
        "probe-for": (PROBE_FOR, certificate, [token, bytes(32), bytes((192, 0, 2, 1)), 5_000, certificate]),
    }[kind]
    return bytes((REQUEST,)) + pack([number, method, WANTS_CERTIFICATE, b"", 0, shown, arguments])


class _Mute:
    """A core that does nothing."""

    def receive(self, data: bytes, source: Address, now: float) -> None:
        return

    def handle_timeout(self, now: float) -> None:
        return

    def poll_timeout(self) -> float | None:
        return None

    def poll_output(self) -> Transmit | None:
        return None
