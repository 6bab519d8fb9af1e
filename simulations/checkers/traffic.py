"""What the overlay costs each node: bytes per second sent, mean and busiest."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.nodes import Node
from simulations.quantiles import quantile

if TYPE_CHECKING:
    from simulations.run import Run

UP_SECONDS_MIN = 120.0
BYTES_PER_SECOND_MAX = 500.0


class Traffic(Checker):
    """From now to the end of the run, a node sends at most `mean_max` bytes per second on average over all nodes and the time
    that they are up. Datagram payloads are counted; UDP and IP add 28 bytes to each."""

    name = "traffic"

    def __init__(self, mean_max: float = BYTES_PER_SECOND_MAX) -> None:
        super().__init__()
        self._mean_max = mean_max
        self._before: dict[int, tuple[int, float]] = {}

    def start(self, run: "Run") -> None:
        """What was sent before does not count."""
        self._run, self._begun = run, run.now
        for node in run.swarms[0].nodes:
            self._before[node.number] = (node.sent_bytes, self._up(node, run.now))

    def finish(self, now: float) -> None:
        """Mean, median and highest."""
        rates, total, seconds = [], 0, 0.0
        for node in self._run.swarms[0].nodes:
            sent, up = self._before.get(node.number, (0, 0.0))
            total += node.sent_bytes - sent
            seconds += self._up(node, now) - up
            if self._up(node, now) - up >= UP_SECONDS_MIN:
                rates.append((node.sent_bytes - sent) / (self._up(node, now) - up))
        if not rates:
            self.fail("no node was up for long enough: nothing is shown")
            return
        mean = total / seconds
        self._run.figure(
            "overlay traffic sent by a node, mean",
            round(mean, 1),
            "B/s",
            goal=f"<= {self._mean_max:g} B/s",
            met=mean <= self._mean_max,
        )
        self._run.figure("overlay traffic sent by a node, 99 %", round(quantile(sorted(rates), 0.99), 1), "B/s")
        self._run.figure("overlay traffic of the busiest node", round(max(rates), 1), "B/s")
        if mean > self._mean_max:
            self.fail(f"a node sends {mean:.0f} bytes per second on average, more than {self._mean_max:g}")

    @staticmethod
    def _up(node: Node, now: float) -> float:
        return node.up_seconds + (now - node.started_at if node.alive else 0.0)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Nothing: nodes count themselves."""
