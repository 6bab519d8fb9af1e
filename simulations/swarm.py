"""A swarm: the overlay nodes of production by the thousand on one world, with their bootstrap server.

What a node does by itself (join, publish, refresh, attach, keep its table) is its core's; here is only what a person or a power cut
does to it: start, stop, move, look somebody up, say something.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from bootstrap.messages import Introducer
from overlay.crossing import Volunteering
from overlay.found import Found
from overlay.joining import in_order
from overlay.participant import Participant
from overlay.reachability import Role
from overlay.sealing import Sealing
from overlay.searches import SearchPolicy
from p2psip.app.introducing import introduced
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX
from simulations.enrolment import Device, Enrolment
from simulations.network.internet import Internet
from simulations.network.model import Network
from simulations.network.nat import PUBLIC, NatKind
from simulations.nodes import REMEMBERED_MAX, Node, Then
from simulations.population import Population
from simulations.volunteers import SuperNodeLimits, volunteering
from simulations.world import World

NODES_MAX = 200_000
ENROLLED_SECONDS_AGO = 86_400
JOIN_GROWTH_PER_SECOND = 0.25
"""While an overlay is young, so many newcomers join each second for each node that is there."""
JOINS_PER_SECOND_MAX = 200.0


class Listener(Protocol):
    """Sees all that the nodes put out besides datagrams, and their comings and goings."""

    def observe(self, node: Node, event: Any, now: float) -> None:
        """A node has put out an event; a string tells what became of it: "started", "crashed", "left", "clock-refused"."""


class Swarm:
    """The nodes, dead and alive, of one overlay. `sealing`: see `simulations.sealing`; None seals as production does."""

    def __init__(
        self,
        seed: int,
        *,
        network: Network | None = None,
        world: World | None = None,
        sealing: Sealing | None = None,
        policy: SearchPolicy | None = None,
    ) -> None:
        self.world = world or World(seed, network or Internet(Chance.seeded(seed).child("internet")))
        self.chance = self.world.chance.child("swarm")
        self.enrolment = Enrolment(self.chance.child("enrolment"), self.world.unix - ENROLLED_SECONDS_AGO)
        self.nodes: list[Node] = []
        self.alive = Population()
        self.grown_at = self.world.now
        self.listeners: list[Listener] = []
        self.limits = SuperNodeLimits()
        self._by_key: dict[bytes, Node] = {}
        self._sealing = sealing
        self._policy = policy
        self._introducing = self.chance.child("introducing")
        self._placing = self.chance.child("places")
        self._starting = self.chance.child("starts")
        self.bootstrap = self.add(person="bootstrap", nat=PUBLIC, role=Role.PEER)
        self.bootstrap.wants_registration = False
        self.start(self.bootstrap)

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.world.now

    def node_of(self, node_key: bytes) -> Node | None:
        """The node with this key."""
        return self._by_key.get(node_key)

    # --- comings and goings

    def add(
        self,
        *,
        node_class: type[Node] = Node,
        person: str | None = None,
        device: Device | None = None,
        nat: NatKind | None = None,
        role: Role | None = None,
        volunteer: bool = False,
        region: int | None = None,
        behind: Node | None = None,
    ) -> Node:
        """A new device, enrolled but not started. `person`: the user name of its owner, a new person if left out."""
        number = len(self.nodes)
        if number >= NODES_MAX:
            raise LocalError(f"a swarm has at most {NODES_MAX} nodes")
        person = person or f"u{number}"
        device = device or self.enrolment.device(person)
        other = None if behind is None else behind.endpoint
        endpoint = self.world.network.endpoint(number, self._placing, nat=nat, behind=other, region=region)
        node = node_class(number, person, device, endpoint)
        node.role, node.volunteer = role, volunteer
        node.on_event = self._on_event
        self.nodes.append(node)
        self._by_key[node.key] = node
        return node

    def start(self, node: Node) -> None:
        """Switch a node on: it joins through whom it remembers and whom the bootstrap server names, and registers its person."""
        if node.alive:
            return
        now = self.now
        node.alive, node.started_at, node.joined_at, node.registered_at = True, now, None, None
        node.starts += 1
        node.core = self._core(node)
        self.alive.add(node)
        self.world.add(node)
        self._on_event(node, "started", now)
        if node is not self.bootstrap:
            node.core.join(in_order(self.introducers(), node.remembered), now)
        if node.wants_registration:
            self._publish(node)
        self.world.pump(node)

    def register(self, node: Node) -> None:
        """A phone registers with a node that had none, so the node registers its person in the overlay."""
        node.wants_registration = True
        if node.alive:
            self._publish(node)
            self.world.pump(node)

    def crash(self, node: Node) -> None:
        """The node is gone without a word (kill -9, power cut); what it had written down survives."""
        if node.alive:
            node.remembered = [(each.node_key, each.address) for each in node.core.peer.table][:REMEMBERED_MAX]
            self._gone(node, "crashed")

    def leave(self, node: Node) -> None:
        """The node ends in order: it withdraws its registration, tells who is attached to it, and is gone a second later."""
        if not node.alive:
            return
        if node.core.published:
            node.core.withdraw(node.core.published, self.now)
        node.core.retire(self.now)
        self.world.pump(node)
        starts = node.starts

        def gone() -> None:
            if node.alive and node.starts == starts:
                node.remembered = [(each.node_key, each.address) for each in node.core.peer.table][:REMEMBERED_MAX]
                self._gone(node, "left")

        self.world.after(1.0, gone)

    def move(self, node: Node, *, nat: NatKind | None = None, region: int | None = None) -> None:
        """The node is in another network now, and its system tells it so."""
        self.world.network.move(node.endpoint, self._placing, nat=nat, region=region)
        if node.alive:
            node.core.network_changed([node.endpoint.address], self.now)
            self.world.pump(node)

    def grow(self, count: int, *, per_second: float | None = None, **fields: Any) -> list[Node]:
        """Add `count` nodes and start them (`start_all`)."""
        nodes = [self.add(**fields) for _ in range(count)]
        self.start_all(nodes, per_second=per_second)
        return nodes

    def start_all(self, nodes: Sequence[Node], *, per_second: float | None = None) -> None:
        """Start these one after the other: as fast as the overlay can take newcomers, or so many a second; the last one at
        `grown_at`."""
        when, there = self.now, max(len(self.alive), 4)
        for node in nodes:
            rate = per_second or min(there * JOIN_GROWTH_PER_SECOND, JOINS_PER_SECOND_MAX)
            when += self._starting.uniform(0.5, 1.5) / rate
            there += 1
            self.world.at(when, _starter(self, node))
        self.grown_at = when

    # --- what people do

    def find(self, node: Node, address: str, then: Then) -> None:
        """Look a person up from a node; `then` gets the end. LocalError when too many lookups are under way."""
        number = node.core.find(address, self.now)
        node.waiting[number] = then
        self.world.pump(node)

    def say(self, node: Node, found: Found, data: bytes) -> None:
        """Say something to the first device that a lookup found, as the node's service does."""
        registration = found.registrations[0]
        node.core.peer.say(registration.node_key, registration.ways, data, self.now)
        self.world.pump(node)

    def introducers(self) -> list[tuple[bytes, Address]]:
        """Whom the bootstrap server names to a newcomer."""
        peer = self.bootstrap.core.peer
        if not self.bootstrap.alive:
            return []
        own = Introducer(self.bootstrap.key, (self.bootstrap.endpoint.address,))
        peer.crossing.supernodes.look(self.now)
        self.world.pump(self.bootstrap)
        known = [(contact.node_key, contact.address) for contact in peer.table]
        told = introduced(own, peer.crossing.supernodes.ranked(), known, self._introducing)
        return [(each.node_key, address) for each in told for address in each.addresses[:1]]

    # --- inside

    def _core(self, node: Node) -> Participant:
        core = Participant(
            node_key=node.device.node_key,
            signing_key=node.device.signing_key,
            certificate=node.device.certificate,
            membership=self.enrolment.membership(),
            chance=self.chance.child(f"node {node.number} {node.starts}"),
            now=self.now,
            unix_offset=self.world.unix_offset + self._clock_error(node),
            role=node.role,
            sealing=self._sealing,
            policy=self._policy,
            volunteer=self._volunteering(node),
        )
        core.note_local([node.endpoint.address], self.now)
        return core

    def _publish(self, node: Node) -> None:
        try:
            node.core.publish(node.device.certificate.addresses, self.now)
        except RemoteError:  # a clock that is wrong by more than a certificate lives: nobody would believe it
            self._on_event(node, "clock-refused", self.now)

    def _clock_error(self, node: Node) -> float:
        """How wrong a node takes the time to be: the bootstrap server's answer puts a clock right that is far off."""
        skew = node.endpoint.skew
        return skew if not self.bootstrap.alive or abs(skew) <= CLOCK_ERROR_SECONDS_MAX else 0.0

    def _volunteering(self, node: Node) -> Volunteering | None:
        return volunteering(node, self) if node.volunteer else None

    def _gone(self, node: Node, how: str) -> None:
        self.world.remove(node)
        node.alive = False
        node.up_seconds += self.now - node.started_at
        node.waiting.clear()
        self.alive.discard(node)
        self._on_event(node, how, self.now)

    def _on_event(self, node: Node, event: Any, now: float) -> None:
        for listener in self.listeners:
            listener.observe(node, event, now)


def _starter(swarm: Swarm, node: Node) -> Any:
    return lambda: swarm.start(node)
