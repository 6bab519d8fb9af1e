"""After a collapse the network recovers by itself within a stated time, and what was not hit goes on as before."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.lookups import LookedUp
from simulations.nodes import Node
from simulations.workloads.signalling import Call

if TYPE_CHECKING:
    from simulations.run import Run

WINDOW_SECONDS = 15.0
SAMPLE_MIN = 20
START_SECONDS = 30.0
"""A node that has just started is given so long to be served."""


class Recovery(Checker):
    """From `heal_world` on, each window of WINDOW_SECONDS is looked at: the network has recovered in the first one from which on
    at least `least` of all lookups of live registrations are answered, and `least` of the clients have a flow."""

    name = "recovery"
    every = WINDOW_SECONDS

    def __init__(self, *, seconds_max: float = 300.0, least: float = 0.99) -> None:
        super().__init__()
        self._seconds_max, self._least = seconds_max, least
        self._made = self._found = 0
        self._bad_at: float | None = None
        self._fault_at: float | None = None
        self._worst = (1.0, 1.0)

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run = run

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Count lookups of this window."""
        if isinstance(event, LookedUp) and event.live and not node.hostile:
            self._made += 1
            self._found += event.found

    def inspect(self, now: float) -> None:
        """A window ends."""
        found = self._found / self._made if self._made >= SAMPLE_MIN else 1.0
        served = self._served(now)
        self._made = self._found = 0
        if self.broken and self._fault_at is None:
            self._fault_at = now
        if self._fault_at is not None:
            self._worst = min(self._worst[0], found), min(self._worst[1], served)
            if found < self._least or served < self._least:
                self._bad_at = now
            self._run.record("recovery", t=now, found=round(found, 4), served=round(served, 4))

    def finish(self, now: float) -> None:
        """How long after the fault was over the last bad window ended."""
        if self._fault_at is None or self.broken:
            self.fail("the world was never broken and healed: nothing is shown")
            return
        seconds = max(0.0, (self._bad_at or self.whole_since) - self.whole_since)
        self._run.figure(
            "recovered after the end of the fault",
            round(seconds),
            "s",
            goal=f"<= {self._seconds_max:g} s",
            met=seconds <= self._seconds_max,
        )
        self._run.figure(
            "worst share of lookups that succeed, in a quarter of a minute", round(100 * self._worst[0], 1), "%"
        )
        self._run.figure("worst share of clients with a flow", round(100 * self._worst[1], 1), "%")
        if seconds > self._seconds_max:
            self.fail(f"the network had not recovered {seconds:.0f} s after the fault was over")

    def _served(self, now: float) -> float:
        clients = [
            node
            for node in self._run.swarms[0].alive
            if not node.hostile and node.core.peer.reach.is_client and now - node.started_at >= START_SECONDS
        ]
        if not clients:
            return 1.0
        return sum(bool(node.core.peer.crossing.rendezvous.flows) for node in clients) / len(clients)


class NothingLost(Checker):
    """Who has a flow to a super-node that stays up never is without any, whatever newcomers do; and no talk is cut unless one of
    its two nodes was hit."""

    name = "nothing-lost"
    every = 5.0

    def __init__(self, *, bare_seconds_max: float = 10.0) -> None:
        super().__init__()
        self._bare_seconds_max = bare_seconds_max
        self._held: dict[int, tuple[int, list[bytes]]] = {}
        self._bare: dict[int, float] = {}
        self.watched = 0

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run = run

    def inspect(self, now: float) -> None:
        """Compare with what was held before."""
        swarm = self._run.swarms[0]
        for node in swarm.alive:
            if node.hostile or not node.core.peer.reach.is_client:
                continue
            flows = [flow.node_key for flow in node.core.peer.crossing.rendezvous.flows]
            starts, before = self._held.get(node.number, (0, []))
            kept = [other for other in map(swarm.node_of, before) if other is not None and other.alive]
            if flows or starts != node.starts or not kept:
                self._bare.pop(node.number, None)
                self._held[node.number] = (node.starts, flows)
                self.watched += bool(flows)
                continue
            since = self._bare.setdefault(node.number, now)
            if now - since >= self._bare_seconds_max:
                self.fail(f"client {node.number} has lost its flows to super-nodes that are still up")
                self._held[node.number] = (node.starts, [])

    def observe(self, node: Node, event: Any, now: float) -> None:
        """A talk that both nodes outlived must have been answered to its end."""
        if isinstance(event, Call) and event.cut and event.caller_is_there and event.device_is_there:
            self.fail(f"call {event.number} was cut though both nodes are up")

    def finish(self, now: float) -> None:
        """A checker that saw nothing has shown nothing."""
        if not self.watched:
            self.fail("no client had a flow: nothing is shown")
