"""People who look other people up, evenly over time: what a scenario of attack or collapse measures by."""

from simulations.lookups import Lookups
from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.churn import is_person

DRAWS_MAX = 50


class Looking:
    """So many lookups per second, each from an honest node that has joined to a registered person (or to one of `targets`)."""

    def __init__(self, swarm: Swarm, lookups: Lookups, per_second: float, *, targets: list[Node] | None = None) -> None:
        self._swarm = swarm
        self._lookups = lookups
        self._per_second = per_second
        self._targets = targets
        self._chance = swarm.world.chance.child("looking")
        self._is_on = False

    def begin(self) -> None:
        """From now on, until `stop`."""
        self._is_on = True
        self._next()

    def stop(self) -> None:
        """No more."""
        self._is_on = False

    def _next(self) -> None:
        self._swarm.world.after(self._chance.uniform(0.5, 1.5) / self._per_second, self._look)

    def _look(self) -> None:
        if not self._is_on:
            return
        asker = self._draw(None)
        target = self._chance.choice(self._targets) if self._targets else self._draw(asker)
        if asker is not None and target is not None and asker.person != target.person:
            self._lookups.look_up(asker, target)
        self._next()

    def _draw(self, other: Node | None) -> Node | None:
        for _ in range(DRAWS_MAX):
            node = self._swarm.alive.draw(self._chance)
            if node is not other and is_person(node) and node.registered_at is not None:
                return node
        return None
