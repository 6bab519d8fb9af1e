"""A whole overlay on virtual time: the peers that production runs, one heap of (time, sequence, target, datagram), no sockets."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from overlay.events import LookupDone, ProbeElsewhere, ReachTested, RequestDone, StoreDone, VerdictChanged
from overlay.membership import Membership
from overlay.participant import Event, Participant
from overlay.peer import Peer
from overlay.reachability import Role, Verdict
from overlay.records import Record, registration_key
from overlay.rpc import Answer
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from tests.overlay.devices import UNIX, Device, Town
from tests.overlay.nats import LIFETIME_SECONDS, Box, Nat

LATENCY_SECONDS = (0.005, 0.08)
JOIN_SECONDS = 3.0
JOIN_ATTEMPTS_MAX = 5
ELSEWHERE_PORT = 5001
STEPS_MAX = 20_000_000


@dataclass(eq=False)
class Node:
    """One node of the world: its core, its keys and what it has put out besides datagrams. `address` is its own, behind `box`."""

    peer: Peer
    device: Device
    address: Address
    alive: bool = True
    box: Box | None = None
    other_address: Address | None = None
    planned: float | None = None
    events: list[Event] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    participant: Participant | None = None

    @property
    def key(self) -> bytes:
        """The node key."""
        return self.device.node_key.public

    @property
    def core(self) -> Peer | Participant:
        """What is driven: the peer, or the participant around it."""
        return self.participant or self.peer


class World:
    """Nodes, links with seeded latency and loss, and the clock. Virtual time `now` starts at 1000 s."""

    def __init__(self, seed: int, *, loss: float = 0.0, town: Town | None = None) -> None:
        self.town = town or Town(seed)
        self.now = 1_000.0
        self.unix_offset = UNIX - self.now
        self.loss = loss
        self.nodes: list[Node] = []
        self.trace: list[tuple[float, Address, Address, int]] = []
        self._chance = Chance.seeded(seed).child("world")
        self._by_address: dict[Address, Node] = {}
        self._boxes: dict[str, Box] = {}
        self._heap: list[tuple[float, int, Address, bytes | None, Address]] = []
        self._sequence = 0
        self.sequence = 0

    @property
    def unix(self) -> float:
        """Unix time now."""
        return self.now + self.unix_offset

    @property
    def alive(self) -> list[Node]:
        """The nodes that have not vanished."""
        return [node for node in self.nodes if node.alive]

    def add(
        self,
        name: str = "",
        *,
        address: Address | None = None,
        device: Device | None = None,
        nat: Nat = Nat.NONE,
        lifetime: float = LIFETIME_SECONDS,
        behind: Node | None = None,
        role: Role | None = None,
    ) -> Node:
        """A new node that knows nobody yet; behind a `nat` of its own, or in the local network of the node `behind`."""
        number = len(self.nodes)
        device = device or self.town.device(name or f"user{number}")
        outer = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5000)
        inner = (f"192.168.{number >> 8 & 255}.{number & 255}", 5000)
        box = behind.box if behind is not None else self._box(nat, outer[0], lifetime)
        address = address or (inner if box is not None and box.translates else outer)
        node = self._make(device, address, self._chance.child(f"node {number}"), role)
        node.peer.reach.note_local([address], self.now)
        node.box = box
        self.nodes.append(node)
        self._by_address[address] = node
        self.pump(node)
        return node

    def populate(self, count: int) -> None:
        """Add `count` nodes that join one after the other through a node that is there."""
        for _ in range(count):
            introducers = self.alive
            self.join(self.add(), *([self._chance.choice(introducers)] if introducers else []))

    def join(self, node: Node, *introducers: Node) -> None:
        """Greet the introducers until one answers, and look oneself up, as a node does."""
        for _ in range(JOIN_ATTEMPTS_MAX):
            for introducer in introducers:
                node.peer.greet(introducer.key, introducer.address, self.now)
            self.pump(node)
            if introducers and self.run_until(lambda: len(node.peer.table) > 0, JOIN_SECONDS):
                self.run_until(lambda: node.peer.dialback.is_settled, JOIN_SECONDS)
                if self.look_up(node, node.device.node_key.node_id, records=False).closest:
                    return

    def also_at(self, node: Node, address: Address) -> None:
        """The node has this address of the other family, too: what it sends to that family comes from there."""
        self._by_address[address] = node
        node.other_address = address

    def move(self, node: Node, nat: Nat, *, host: str, lifetime: float = LIFETIME_SECONDS) -> None:
        """The node, its own address unchanged, stands behind another NAT now, with the outer host `host`."""
        if node.box is not None:
            self._boxes.pop(node.box.host, None)
        node.box = self._box(nat, host, lifetime)

    def vanish(self, node: Node) -> None:
        """The node is gone without a word."""
        node.alive = False
        del self._by_address[node.address]
        if node.other_address is not None:
            del self._by_address[node.other_address]

    def look_up(self, node: Node, key: bytes, *, records: bool = True) -> LookupDone:
        """One lookup from beginning to end."""
        number = node.peer.look_up(key, self.now, records=records)
        done = self._finish(node, number)
        assert isinstance(done, LookupDone)
        return done

    def find(self, node: Node, address: str) -> LookupDone:
        """Look up the registrations of a person."""
        return self.look_up(node, registration_key(address))

    def register(self, node: Node, sequence: int = 1, *, seconds: int = 600) -> StoreDone:
        """Store the node's own registration at its address."""
        return self.store(node, node.device.record(sequence, expiry=int(self.unix) + seconds))

    def store(self, node: Node, record: Record) -> StoreDone:
        """Store a record from beginning to end."""
        done = self._finish(node, node.peer.store_record(record, self.now))
        assert isinstance(done, StoreDone)
        return done

    def request(self, node: Node, other: Node, method: int, arguments: list[Any]) -> Answer | None:
        """One request and its answer."""
        done = self._finish(node, node.peer.request(other.key, other.address, method, arguments, self.now))
        assert isinstance(done, RequestDone)
        return done.answer

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self._step()
        self.now = end

    def run_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Let virtual time pass until `condition` holds, at most `seconds`; whether it holds."""
        end = self.now + seconds
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                return condition()
            self._step()
        return True

    def pump(self, node: Node) -> None:
        """Take the outputs of a node after a command: datagrams on their way, events into `node.events`."""
        while (output := node.core.poll_output()) is not None:
            if isinstance(output, Transmit):
                self.send(node, output.destination, output.data)
            elif isinstance(output, ProbeElsewhere):
                self.send(node, output.destination, output.data, port=ELSEWHERE_PORT)
            elif isinstance(output, VerdictChanged):
                node.verdicts.append(output.verdict)
            elif not isinstance(output, ReachTested):
                node.events.append(output)
        deadline = node.core.poll_timeout()
        if deadline is not None and (node.planned is None or deadline < node.planned):
            node.planned = deadline
            self._push(deadline, node.address, None, node.address)

    def send(self, node: Node, destination: Address, data: bytes, *, port: int | None = None) -> None:
        """Put a datagram on its way, from another `port` if one is given, through the sender's NAT; or lose it.

        Nothing gets from one address family to the other: who has no address of the destination's sends in vain.
        """
        own = node.address
        if node.other_address is not None and (":" in own[0]) != (":" in destination[0]):
            own = node.other_address
        source = (own[0], port or own[1])
        if node.box is not None and not self._is_neighbour(node.box, destination):
            source = node.box.outward(source, destination, self.now)
        self.trace.append((self.now, source, destination, len(data)))
        if (":" in source[0]) != (":" in destination[0]):
            return
        if self.loss and self._chance.uniform(0, 1) < self.loss:
            return
        self._push(self.now + self._chance.uniform(*LATENCY_SECONDS), destination, data, source)

    def _make(self, device: Device, address: Address, chance: Chance, role: Role | None) -> Node:
        peer = Peer(
            node_key=device.node_key,
            certificate=device.certificate.der,
            membership=Membership(self.town.ca_der, self.town.configuration()),
            chance=chance,
            now=self.now,
            unix_offset=self.unix_offset,
            role=role,
        )
        return Node(peer, device, address)

    def _box(self, nat: Nat, host: str, lifetime: float) -> Box | None:
        if nat is Nat.NONE:
            return None
        box = self._boxes[host] = Box(nat, host, lifetime=lifetime)
        return box

    def _box_of(self, address: Address) -> Box | None:
        """The NAT that the node with this own address stands behind."""
        node = self._by_address.get(address)
        return None if node is None else node.box

    def _is_neighbour(self, box: Box, destination: Address) -> bool:
        return box.translates and self._box_of(destination) is box

    def _receiver(self, target: Address, source: Address) -> Node | None:
        """The node that gets a datagram sent to `target`, if the NAT before it lets it pass."""
        box = self._boxes.get(target[0])
        if box is not None:
            inner = box.inward(target, source, self.now)
            return None if inner is None else self._by_address.get(inner)
        node = self._by_address.get(target)
        if node is None or node.box is None or self._box_of(source) is node.box:
            return node
        node.box.dropped += 1
        return None

    def _push(self, when: float, target: Address, data: bytes | None, source: Address) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, target, data, source))

    def _step(self) -> None:
        when, _sequence, target, data, source = heapq.heappop(self._heap)
        self.now = max(self.now, when)
        node = self._by_address.get(target) if data is None else self._receiver(target, source)
        assert self._sequence < STEPS_MAX, "the world never comes to rest"
        if node is None:
            return
        if data is not None:
            node.core.receive(data, source, self.now)
        elif node.planned == when:
            node.planned = None
            node.core.handle_timeout(self.now)
        self.pump(node)

    def _finish(self, node: Node, number: int) -> LookupDone | StoreDone | RequestDone:
        self.pump(node)
        ends: list[LookupDone | StoreDone | RequestDone] = []

        def is_done() -> bool:
            ends.extend(
                e for e in node.events if isinstance(e, LookupDone | StoreDone | RequestDone) and e.number == number
            )
            node.events = [event for event in node.events if event not in ends]
            return bool(ends)

        assert self.run_until(is_done), f"the end of {number} never came"
        return ends[0]
