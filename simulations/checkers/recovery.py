"""After a collapse the network recovers by itself within a stated time, and what was not hit goes on as before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.lookups import LookedUp
from simulations.nodes import Node
from simulations.quantiles import wilson
from simulations.workloads.signalling import Call

if TYPE_CHECKING:
    from simulations.run import Run

WINDOW_SECONDS = 15.0
SAMPLES_MIN = 400
"""With fewer lookups after the fault, one miss in a hundred could not be told from none."""
START_SECONDS = 30.0
"""A node that has just started is given so long to be served."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was tried in the WINDOW_SECONDS before `end`, or since the fault began, and how much of it succeeded."""

    end: float
    hits: int
    tries: int

    @property
    def share(self) -> float:
        """The share that succeeded; 1 if nothing was tried."""
        return self.hits / self.tries if self.tries else 1.0

    def is_bad(self, least: float) -> bool:
        """Whether chance does not explain it: the upper end of the 95 % interval of the share lies below `least`."""
        return wilson(self.hits, self.tries)[1] < least


def recovered_at(windows: Sequence[Window], least: float) -> float | None:
    """From when on no window is bad, and the share of all that was tried from then on is `least`; None: from no time on.

    The first condition finds short failures, the second those that are too rare to show in one window.
    """
    recovered = None
    hits = tries = 0
    for place in range(len(windows) - 1, -1, -1):
        window = windows[place]
        if window.is_bad(least):
            break
        hits, tries = hits + window.hits, tries + window.tries
        if hits >= least * tries:
            recovered = windows[place - 1].end if place else window.end - WINDOW_SECONDS
    return recovered


class Recovery(Checker):
    """After the fault at least `least` of all lookups of live registrations are answered, and `least` of the clients have a
    flow, from `seconds_max` on at the latest (`recovered_at`)."""

    name = "recovery"
    every = WINDOW_SECONDS

    def __init__(self, *, seconds_max: float = 300.0, least: float = 0.99) -> None:
        super().__init__()
        self._seconds_max, self._least = seconds_max, least
        self._made = self._found = 0
        self._was_broken = False
        self._found_windows: list[Window] = []
        self._served_windows: list[Window] = []

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run = run

    def world_broke(self, now: float) -> None:
        """What was before does not count."""
        self._was_broken = True
        self._made = self._found = 0

    def world_healed(self, now: float) -> None:
        """A window ends with the fault."""
        self.inspect(now)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Count lookups of this window."""
        if isinstance(event, LookedUp) and event.live and not node.hostile:
            self._made += 1
            self._found += event.found

    def inspect(self, now: float) -> None:
        """A window ends."""
        if not self._was_broken:
            return
        found, served = Window(now, self._found, self._made), self._served(now)
        self._made = self._found = 0
        self._found_windows.append(found)
        self._served_windows.append(served)
        self._run.record(
            "recovery", t=now, lookups=found.tries, found=round(found.share, 4), served=round(served.share, 4)
        )

    def finish(self, now: float) -> None:
        """How long after the fault was over the network had recovered."""
        if not self._was_broken or self.broken:
            self.fail("the world was never broken and healed: nothing is shown")
            return
        after = [window for window in self._found_windows if window.end > self.whole_since]
        if sum(window.tries for window in after) < SAMPLES_MIN:
            self.fail(f"fewer than {SAMPLES_MIN} lookups after the fault: nothing is shown")
            return
        self._tell("lookups that succeed", self._found_windows)
        self._tell("clients with a flow", self._served_windows)

    def _tell(self, what: str, windows: Sequence[Window]) -> None:
        worst = min(window.share for window in windows)
        self._run.figure(f"worst share of {what}, in a quarter of a minute", round(100 * worst, 1), "%")
        at = recovered_at(windows, self._least)
        seconds = None if at is None else max(0.0, at - self.whole_since)
        met = seconds is not None and seconds <= self._seconds_max
        self._run.figure(
            f"{what}: recovered after the end of the fault",
            None if seconds is None else round(seconds),
            "s",
            goal=f"<= {self._seconds_max:g} s",
            met=met,
        )
        if not met:
            how_long = "" if seconds is None else f" for {seconds:.0f} s"
            self.fail(f"{what} had not recovered{how_long} after the fault was over")

    def _served(self, now: float) -> Window:
        """Each client counts in each window."""
        clients = [
            node
            for node in self._run.swarms[0].alive
            if not node.hostile and node.core.peer.reach.is_client and now - node.started_at >= START_SECONDS
        ]
        return Window(now, sum(bool(node.core.peer.crossing.rendezvous.flows) for node in clients), len(clients))


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
