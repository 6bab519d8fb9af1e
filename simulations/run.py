"""One run of a scenario: its seed and parameters, the swarm it drives, what it records, and the checkers that watch it."""

import gc
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from overlay.sealing import Sealing
from overlay.searches import SearchPolicy
from p2psip.base.chance import Chance
from simulations.checker import Checker
from simulations.network.model import Network
from simulations.nodes import Node
from simulations.origin import commit, version
from simulations.recorder import Recorder
from simulations.results import Cell, Check, Result
from simulations.scenario import Scenario, Value, find_scenario
from simulations.sealing import SharedSealing, StandInSealing
from simulations.swarm import Listener, Swarm
from simulations.world import World

PROGRESS_SECONDS = 10.0
SEALINGS: dict[str, Callable[[], Sealing]] = {"real": SharedSealing, "stand-in": StandInSealing}
MINUTE = 60.0
GARBAGE_OBJECTS_MAX = 200000
"""So many new objects before garbage is looked for: a run makes few cycles, and the more nodes there are the longer it takes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `done` and `total` are in virtual seconds; `total` is 0 while it is not known."""

    done: float
    total: float
    messages: int
    alive: int
    failed: int


Watcher = Callable[[Progress], None]


class Run:
    """What a scenario is given. `sealing` is "real" or "stand-in"; `watcher` is told the progress."""

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        sealing: str = "stand-in",
        watcher: Watcher | None = None,
        taps: Iterable[Any] = (),
    ) -> None:
        self.scenario = name
        self.seed = seed
        self.sealing = sealing
        self.chance = Chance.seeded(seed).child("run")
        self.checkers: list[Checker] = []
        self.listeners: list[Listener] = []
        self.recorder = Recorder()
        self.worlds: list[World] = []
        self.swarms: list[Swarm] = []
        self.total_seconds = 0.0
        self.virtual_seconds = 0.0
        self._watcher = watcher
        self._taps = list(taps)

    # --- building

    def swarm(self, *, network: Network | None = None, policy: SearchPolicy | None = None) -> Swarm:
        """A new swarm with a bootstrap server and nobody else."""
        swarm = Swarm(self.seed, network=network, sealing=SEALINGS[self.sealing](), policy=policy)
        self.swarms.append(swarm)
        self.adopt(swarm.world)
        swarm.listeners.append(self)
        return swarm

    def adopt(self, world: World) -> None:
        """Count what a world sends, and hash its trace."""
        self.worlds.append(world)
        world.taps.extend(self._taps)

    @property
    def world(self) -> World:
        """The world of this run (the first)."""
        return self.worlds[0]

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.world.now

    def check(self, *checkers: Checker) -> None:
        """Watch these properties from now on."""
        for checker in checkers:
            self.checkers.append(checker)
            checker.start(self)
            if checker.every is not None:
                self.world.every(checker.every, self._inspection(checker))

    def break_world(self) -> None:
        """What follows is a fault: checkers demand safety only."""
        for checker in self.checkers:
            checker.broken = True
            checker.world_broke(self.now)

    def heal_world(self) -> None:
        """The fault is over: checkers demand convergence within their `converge_seconds`."""
        for checker in self.checkers:
            checker.broken, checker.whole_since = False, self.now
            checker.world_healed(self.now)

    # --- recording

    def record(self, table: str, /, **row: Cell) -> None:
        """One more row (`simulations.recorder`)."""
        self.recorder.record(table, **row)

    def figure(
        self,
        name: str,
        value: float | int | str | None,
        unit: str = "",
        *,
        goal: str | None = None,
        met: bool | None = None,
    ) -> None:
        """One number that sums the run up."""
        self.recorder.figure(name, value, unit, goal=goal, met=met)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """As listener of the swarm: hand on to the checkers and to who else listens."""
        for listener in self.listeners:
            listener.observe(node, event, now)
        for checker in self.checkers:
            checker.observe(node, event, now)

    # --- driving

    def for_minutes(self, minutes: float) -> None:
        """Let so much virtual time pass."""
        self.for_seconds(minutes * MINUTE)

    def for_seconds(self, seconds: float) -> None:
        """Let so much virtual time pass, in steps that a person can watch."""
        self.total_seconds = max(self.total_seconds, self.virtual_seconds + seconds)
        end = self.world.now + seconds
        while self.world.now < end:
            step = min(PROGRESS_SECONDS, end - self.world.now)
            self.world.run(step)
            self.virtual_seconds += step
            self.tell()

    def tell(self) -> None:
        """Tell the watcher how far we are."""
        if self._watcher is not None:
            alive = sum(len(swarm.alive) for swarm in self.swarms)
            failed = sum(not checker.passed for checker in self.checkers)
            messages = sum(world.counters.sent for world in self.worlds)
            self._watcher(Progress(self.virtual_seconds, self.total_seconds, messages, alive, failed))

    def finish(self) -> None:
        """The run ends: checkers give their last word."""
        for checker in self.checkers:
            checker.finish(self.now)

    def _inspection(self, checker: Checker) -> Callable[[], None]:
        return lambda: checker.inspect(self.now)


def run_scenario(
    name: str,
    parameters: Mapping[str, Any],
    seed: int,
    *,
    sealing: str = "stand-in",
    watcher: Watcher | None = None,
    taps: Iterable[Any] = (),
) -> Result:
    """Run a registered scenario from beginning to end. A KeyboardInterrupt ends it early; the result says so."""
    found = find_scenario(name)
    return run_function(found, found.parameters(parameters), seed, sealing=sealing, watcher=watcher, taps=taps)


def run_function(
    found: Scenario,
    parameters: Mapping[str, Value],
    seed: int,
    *,
    sealing: str,
    watcher: Watcher | None,
    taps: Iterable[Any],
) -> Result:
    """Run a scenario with its complete parameters."""
    run = Run(found.name, seed, sealing=sealing, watcher=watcher, taps=taps)
    cpu, wall = time.process_time(), time.monotonic()
    interrupted = False
    thresholds = gc.get_threshold()
    gc.set_threshold(GARBAGE_OBJECTS_MAX, *thresholds[1:])
    try:
        found(run, parameters)
    except* KeyboardInterrupt:  # from a village it comes in the group of its nursery
        interrupted = True
    finally:
        gc.set_threshold(*thresholds)
    run.finish()
    return Result(
        scenario=found.name,
        seed=seed,
        commit=commit(),
        version=version(),
        parameters=dict(parameters),
        virtual_seconds=run.virtual_seconds,
        cpu_seconds=time.process_time() - cpu,
        wall_seconds=time.monotonic() - wall,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        messages=sum(world.counters.sent for world in run.worlds),
        trace_hash=" ".join(world.trace.hexdigest() for world in run.worlds),
        figures=run.recorder.figures,
        checks=[Check(each.name, each.passed, each.detail) for each in run.checkers],
        tables=run.recorder.tables(),
        sealing=sealing,
        interrupted=interrupted,
        kept_one_in=run.recorder.thinned(),
    )
