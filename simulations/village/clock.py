"""Virtual time for whole nodes: trio's clock jumps to the next deadline, and trio schedules the same way for the same seed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from trio._core import _run

from p2psip.base.chance import Chance
from p2psip.net.clock import Clock

START_SECONDS = 1_000.0
UNIX_START = 1_700_000_000


class VirtualClock(Clock):
    """The clocks of one machine. `skew`: how many seconds its calendar is ahead of true time."""

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew

    def now(self) -> float:
        """START_SECONDS at the start of the village."""
        return START_SECONDS + trio.current_time()

    def unix(self) -> float:
        """UNIX_START at the start of the village, by a right clock."""
        return UNIX_START + trio.current_time() + self.skew

    def boot(self) -> float:
        """Virtual machines never sleep."""
        return self.now()


@contextmanager
def scheduled_by(chance: Chance) -> Iterator[None]:
    """Inside, a run of trio orders its tasks by `chance` alone.

    Trio has this for Hypothesis (`trio._core._run`, `_hypothesis_plugin_setup`): a batch of tasks is sorted by the order of
    their making and then shuffled by `_r`, which is seeded. There is no public way.
    """
    scheduler: Any = _run
    before, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.setstate(random.Random(chance.bytes(32)).getstate())
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before
        scheduler._r.setstate(state)
