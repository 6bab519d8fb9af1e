"""How unevenly the work is spread: the busiest holder of records, the busiest super-node."""

from typing import TYPE_CHECKING

from simulations.checker import Checker
from simulations.quantiles import quantile

if TYPE_CHECKING:
    from simulations.run import Run


class Load(Checker):
    """No peer holds more than `held_max_ratio` times what the average one holds; no super-node keeps more flows than it may."""

    name = "load"

    def __init__(self, *, every: float = 60.0, held_max_ratio: float = 12.0) -> None:
        super().__init__()
        self.every = every
        self._ratio_max = held_max_ratio
        self._worst = 0.0
        self._held: list[int] = []
        self._kept: list[int] = []

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run = run

    def inspect(self, now: float) -> None:
        """Count what each holds and keeps."""
        nodes = [node for node in self._run.swarms[0].alive if not node.hostile]
        peers = [node for node in nodes if not node.core.peer.reach.is_client]
        self._held = [len(node.core.peer.store) for node in peers]
        mean = sum(self._held) / max(1, len(self._held))
        if mean >= 1.0:
            ratio = max(self._held) / mean
            self._worst = max(self._worst, ratio)
            if ratio > self._ratio_max:
                self.fail(f"the busiest holder has {max(self._held)} records, {ratio:.1f} times the average")
        self._kept = []
        for node in nodes:
            relaying = node.core.peer.crossing.relaying
            if relaying is not None:
                self._kept.append(len(relaying))
                if len(relaying) > relaying.clients_max:
                    self.fail(
                        f"super-node {node.number} keeps {len(relaying)} flows, {relaying.clients_max} are its bound"
                    )

    def finish(self, now: float) -> None:
        """The last count, and the worst ratio."""
        self.inspect(now)
        if not self._held:
            self.fail("there was no peer: nothing is shown")
            return
        self._run.figure("records held by a peer, mean", round(sum(self._held) / len(self._held), 1))
        self._run.figure("records held by a peer, 99 %", quantile(sorted(self._held), 0.99))
        self._run.figure("busiest holder over the average, at worst", round(self._worst, 2), "times")
        if self._kept:
            self._run.figure("flows kept by the busiest super-node", max(self._kept))
