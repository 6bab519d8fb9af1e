"""Virtual time for whole nodes: trio's clock is a heap of what happens outside of tasks, and trio schedules the same way each time.

The time jumps to whatever comes first, an event of the heap or a deadline of a task. Events are plain calls between two steps of
tasks, as the arrival of a datagram is in production, where a loop calls receivers; they cost no switch of tasks.
"""

import heapq
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from trio._core import _run

from p2psip.base.chance import Chance
from p2psip.net.clock import Clock

START_SECONDS = 1_000.0
UNIX_START = 1_700_000_000
IDLE_MAX = 100
"""How often trio may look for input (its own, at its end) while nothing is planned."""

_trio: Any = _run


class Timeline(trio.abc.Clock):
    """A clock for `trio.run`. `seconds` is virtual time since the start; `at` plans an event."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.events = 0
        self._idle = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, seconds: float, action: Callable[..., None], *values: Any) -> None:
        """Call `action(*values)` at this time, or at once if it has passed. Nothing may wait in it."""
        self.events += 1
        heapq.heappush(self._heap, (max(seconds, self.seconds), self.events, action, values))

    def start_clock(self) -> None:
        """It does not tick."""

    def current_time(self) -> float:
        """Trio's time."""
        return self.seconds

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio has nothing to do: let events happen until a task can run, or the next deadline has come. Nobody ever sleeps."""
        runner, heap = _trio.GLOBAL_RUN_CONTEXT.runner, self._heap
        while not runner.runq:
            deadline = runner.deadlines.next_deadline()
            if heap and heap[0][0] <= deadline:
                self.seconds, _number, action, values = heapq.heappop(heap)
                action(*values)
            else:
                self._idle = 0 if deadline < math.inf else self._idle + 1
                assert self._idle < IDLE_MAX, "nothing will ever happen"
                self.seconds = max(self.seconds, deadline) if deadline < math.inf else self.seconds
                break
        return 0.0


class VirtualClock(Clock):
    """The clocks of one machine. `skew`: how many seconds its calendar is ahead of true time."""

    def __init__(self, timeline: Timeline, skew: float = 0.0) -> None:
        self._timeline = timeline
        self.skew = skew

    def now(self) -> float:
        """START_SECONDS at the start of the village."""
        return START_SECONDS + self._timeline.seconds

    def unix(self) -> float:
        """UNIX_START at the start of the village, by a right clock."""
        return UNIX_START + self._timeline.seconds + self.skew + self.correction

    def boot(self) -> float:
        """Virtual machines never sleep."""
        return self.now()


@contextmanager
def scheduled_by(chance: Chance) -> Iterator[None]:
    """Inside, a run of trio orders its tasks by `chance` alone.

    Trio has this for Hypothesis (`trio._core._run`, `_hypothesis_plugin_setup`): a batch of tasks is sorted by the order of
    their making and then shuffled by `_r`, which is seeded. There is no public way.
    """
    before, state = _trio._ALLOW_DETERMINISTIC_SCHEDULING, _trio._r.getstate()
    _trio._ALLOW_DETERMINISTIC_SCHEDULING = True
    _trio._r.setstate(random.Random(chance.bytes(32)).getstate())
    try:
        yield
    finally:
        _trio._ALLOW_DETERMINISTIC_SCHEDULING = before
        _trio._r.setstate(state)
