"""Lookups as people make them: one person looks another up, and what came of it is recorded and shown to the checkers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overlay.found import Found
from overlay.participant import FoundDone
from p2psip.base.errors import LocalError
from simulations.nodes import Node
from simulations.swarm import Swarm

if TYPE_CHECKING:
    from simulations.run import Run

SETTLED_SECONDS = 15.0
"""A registration counts as live once it was stored, and its node has been up since, for so long."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a lookup of the person of `target` gave to `node`. `live`: a device of theirs was registered and up from the begin to
    the end. `found`: one of its live devices was among what was found; `stale`: something was found that is no more up."""

    node: Node
    target: Node
    done: FoundDone
    live: bool
    found: bool
    stale: bool
    seconds: float

    @property
    def result(self) -> Found:
        """What the core gave."""
        return self.done.found


Then = Callable[[LookedUp], None]


class Lookups:
    """Makes lookups in a swarm, records each in the table `lookups`, and hands `LookedUp` to the checkers as an event."""

    def __init__(self, run: "Run", swarm: Swarm) -> None:
        self._run = run
        self._swarm = swarm
        self._devices: dict[str, list[Node]] = {}
        self._known = 0
        self.made = 0

    def devices_of(self, person: str) -> list[Node]:
        """All devices of a person."""
        for node in self._swarm.nodes[self._known :]:
            self._devices.setdefault(node.person, []).append(node)
        self._known = len(self._swarm.nodes)
        return self._devices.get(person, [])

    def look_up(self, node: Node, target: Node, then: Then | None = None, *, address: str | None = None) -> None:
        """One lookup from beginning to end."""
        swarm, begun = self._swarm, self._swarm.now
        self.made += 1
        number = self.made
        before = {each.number: each.starts for each in self.devices_of(target.person) if self._is_live(each)}

        def done(event: FoundDone) -> None:
            after = [
                each for each in self.devices_of(target.person) if before.get(each.number) == each.starts and each.alive
            ]
            offered = {each.node_key for each in event.found.registrations}
            live = bool(after)
            found = any(each.key in offered for each in after)
            stale = any(other is None or not other.alive for other in map(swarm.node_of, sorted(offered)))
            looked = LookedUp(node, target, event, live, found, stale, swarm.now - begun)
            self._record(number, looked, begun)
            if then is not None:
                then(looked)

        try:
            swarm.find(node, address or target.address, done)
        except LocalError as error:
            self._run.record("refused", t=begun, node=node.number, why=str(error))

    def _is_live(self, node: Node) -> bool:
        registered = node.registered_at
        return node.alive and registered is not None and self._swarm.now - registered >= SETTLED_SECONDS

    def _record(self, number: int, looked: LookedUp, begun: float) -> None:
        found = looked.result
        self._run.record(
            "lookups",
            t=round(begun, 3),
            number=number,
            node=looked.node.number,
            target=looked.target.number,
            live=looked.live,
            found=looked.found,
            stale=looked.stale,
            cached=found.cached,
            seconds=looked.seconds,
            round_trips=looked.seconds / self._swarm.world.network.median_round_trip,
            hops=found.hops,
            messages=found.messages,
            nat=looked.node.endpoint.kind.name,
            target_nat=looked.target.endpoint.kind.name,
        )
        self._run.observe(looked.node, looked, self._swarm.now)
