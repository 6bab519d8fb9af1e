"""A small swarm of people at public addresses, for the tests of hostile nodes and workloads."""

from collections.abc import Iterable
from typing import Any

from overlay.contact import Contact, unpack_contact
from overlay.events import RequestDone
from overlay.found import Found
from overlay.participant import FoundDone
from overlay.records import Record, decode_record
from overlay.rpc import FIND, Answer
from overlay.searches import SearchPolicy
from p2psip.base.chance import Chance
from simulations.network.nat import PUBLIC
from simulations.network.plain import PlainNetwork
from simulations.nodes import Node
from simulations.sealing import StandInSealing
from simulations.swarm import Swarm

SETTLING_SECONDS = 30.0


def empty_town(seed: int, *, policy: SearchPolicy | None = None) -> Swarm:
    """Nobody but the bootstrap server."""
    network = PlainNetwork(Chance.seeded(seed).child("network"))
    return Swarm(seed, network=network, sealing=StandInSealing(), policy=policy)


def town(seed: int, people: int, *, policy: SearchPolicy | None = None) -> Swarm:
    """So many people, all joined and registered."""
    swarm = empty_town(seed, policy=policy)
    swarm.grow(people, nat=PUBLIC, per_second=4.0)
    swarm.world.run(people / 4.0 + SETTLING_SECONDS)
    assert all(node.registered_at is not None for node in people_of(swarm))
    return swarm


def people_of(swarm: Swarm) -> list[Node]:
    """The nodes of people."""
    return [node for node in swarm.nodes if node.wants_registration and not node.hostile]


def find(swarm: Swarm, node: Node, target: Node, *, seconds: float = 30.0) -> Found:
    """What a lookup of a person gives."""
    ends: list[FoundDone] = []
    node.core.forget_found(target.address)
    swarm.find(node, target.address, ends.append)
    assert swarm.world.run_until(lambda: bool(ends), seconds), "the lookup never ended"
    return ends[0].found


def share_found(swarm: Swarm, pairs: Iterable[tuple[Node, Node]]) -> float:
    """The share of lookups (who, whom) that find the person at their own node."""
    results = [
        any(each.node_key == target.key for each in find(swarm, node, target).registrations) for node, target in pairs
    ]
    return sum(results) / len(results)


def pairs(swarm: Swarm, count: int, seed: int = 1) -> list[tuple[Node, Node]]:
    """Random pairs of different people."""
    chance, people = Chance.seeded(seed), people_of(swarm)
    drawn = [chance.sample(people, 2) for _ in range(count)]
    return [(one, other) for one, other in drawn]


class Answers:
    """Listens for the ends of requests that a test makes."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._ends: dict[tuple[int, int], RequestDone] = {}
        swarm.listeners.append(self)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """As listener of the swarm."""
        if isinstance(event, RequestDone):
            self._ends[node.number, event.number] = event

    def ask(self, asker: Node, other: Node, method: int, arguments: list[Any]) -> Answer | None:
        """One request from beginning to end."""
        world = self._swarm.world
        number = asker.core.peer.request(other.key, other.endpoint.address, method, arguments, world.now)
        world.pump(asker)
        assert world.run_until(lambda: (asker.number, number) in self._ends, 30.0)
        return self._ends[asker.number, number].answer

    def find(self, asker: Node, other: Node, target: bytes) -> tuple[list[Contact], list[Record]]:
        """The contacts and records that one node names when it is asked for a target."""
        answer = self.ask(asker, other, FIND, [target, True])
        assert answer is not None
        contacts, records, *_left = answer.result
        return [unpack_contact(each) for each in contacts], [decode_record(each) for each in records]
