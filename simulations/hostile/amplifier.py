"""Hostile nodes with forged source addresses: how many bytes reach a bystander for each byte that the attacker sends.

An attacker whose provider lets forged sources out asks honest nodes in the name of a bystander's address. The answers go
there. A node must therefore not answer an unproved address with more than three times what it got (`AMPLIFICATION_MAX` in
`overlay.rpc`), all that follows from the request included.
"""

from typing import Any

from overlay.probing import TOKEN_BYTES
from overlay.rpc import CONFIGURATION, DIAL_BACK, FIND, PADDED_BYTES, PING, REQUEST
from p2psip.base.chance import Chance
from p2psip.base.codec import pack
from p2psip.base.core import Address, Core, Transmit
from p2psip.base.errors import RemoteError
from simulations.hostile.hostile import Gang, Hostile
from simulations.network.endpoint import Endpoint
from simulations.network.nat import PUBLIC
from simulations.nodes import Node
from simulations.world import World

VOLLEY = 20
VOLLEY_SECONDS = 1.0


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
    spoofed_bytes = 0

    def act(self, now: float) -> None:
        """One volley."""
        honest = self.gang.honest()
        for _ in range(VOLLEY):
            self.fire(self.chance.choice(honest))

    def fire(self, other: Node) -> None:
        """One request with a forged source: one of those that an honest node answers at length."""
        payload = self.chance.choice(_requests(self.device.certificate.der, self.chance))
        try:
            frame = self.core.peer._box.seal(other.key, payload)
        except RemoteError:
            return
        self.did("spoofed")
        self.spoofed_bytes += len(frame)
        send_spoofed(self.gang.swarm.world, self, self.bystander.endpoint.address, other.endpoint.address, frame)

    @property
    def factor(self) -> float:
        """Bytes at the bystander for each byte that this node sent (with one such node for each bystander)."""
        return self.bystander.received_bytes / max(1, self.spoofed_bytes)


def amplify(gang: Gang) -> Amplifier:
    """Start one Amplifier with a bystander of its own."""
    swarm = gang.swarm
    bystander = Bystander(swarm.world, len(swarm.nodes), gang.chance.child(f"bystander {len(swarm.nodes)}"))
    kind = type("Amplifier", (Amplifier,), {"bystander": bystander})
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


def _requests(certificate: bytes, chance: Chance) -> list[bytes]:
    """Payloads of requests (form: `overlay.rpc`): short, padded, with a certificate, and such as make others ask."""
    number, target = chance.integer(31), chance.bytes(20)
    bare = [
        [number, PING, 1, b"", 0, b"", []],
        [number, FIND, 1, b"", 0, b"", [target, True]],
        [number, CONFIGURATION, 0, b"", 0, b"", []],
        [number, PING, 1, b"", 0, certificate, []],
        [number, FIND, 0, b"", 0, certificate, [target, True, bytes(PADDED_BYTES)]],
        [number, DIAL_BACK, 1, b"", 0, certificate, [chance.bytes(TOKEN_BYTES), [], certificate]],
    ]
    return [bytes((REQUEST,)) + pack(each) for each in bare]


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
