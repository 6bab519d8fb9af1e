"""How long lookups of live registrations take, in round trips of the median link, and what they cost."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.lookups import LookedUp
from simulations.nodes import Node
from simulations.quantiles import quantile

if TYPE_CHECKING:
    from simulations.run import Run


class LookupTime(Checker):
    """The median is at most `median_max`, 95 of 100 at most `most_max` round trips of the median link."""

    name = "lookup-time"

    def __init__(self, median_max: float = 2.0, most_max: float = 4.0) -> None:
        super().__init__()
        self._median_max, self._most_max = median_max, most_max
        self._seconds: list[float] = []
        self._hops: list[int] = []
        self._messages: list[int] = []

    def start(self, run: "Run") -> None:
        """The run whose first swarm's network gives the median link."""
        self._run = run

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Collect what a true lookup took; what came from the cache took nothing."""
        if isinstance(event, LookedUp) and event.live and event.found and not event.result.cached and not node.hostile:
            self._seconds.append(event.seconds)
            self._hops.append(event.result.hops)
            self._messages.append(event.result.messages)

    def finish(self, now: float) -> None:
        """Quantiles."""
        if not self._seconds:
            self.fail("no lookup succeeded: nothing is shown")
            return
        link = self._run.swarms[0].world.network.median_round_trip
        trips = sorted(seconds / link for seconds in self._seconds)
        self._run.figure("round trip of the median link", round(1000 * link, 1), "ms")
        for name, share, bound in (("median", 0.5, self._median_max), ("95 %", 0.95, self._most_max)):
            value = quantile(trips, share)
            self._run.figure(
                f"lookup time, {name}", round(value, 2), "round trips", goal=f"<= {bound:g}", met=value <= bound
            )
            if value > bound:
                self.fail(f"{name} of lookups take {value:.2f} round trips of the median link, more than {bound:g}")
        self._run.figure("lookup time, median in ms", round(1000 * quantile(sorted(self._seconds), 0.5)), "ms")
        self._run.figure("hops of a lookup, mean", round(sum(self._hops) / len(self._hops), 2))
        self._run.figure("requests of a lookup, mean", round(sum(self._messages) / len(self._messages), 2))
