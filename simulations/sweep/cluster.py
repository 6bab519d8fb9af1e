"""Where the points of a sweep run: processes on this machine, or workers of a Dask cluster. Needs the extra `simulate`.

On this machine nothing listens but on loopback, with credentials made for this one sweep, and the processes end with the block.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
import distributed
from distributed import CancelledError, KilledWorker
from distributed.comm.core import CommClosedError

from simulations.results import Result
from simulations.sweep.plan import SweepError
from simulations.sweep.work import Task

Client: Any = distributed.Client  # these have no types
LocalCluster: Any = distributed.LocalCluster
wait: Any = distributed.wait
rpc: Any = distributed.rpc

ATTEMPTS_MAX = 3
CONNECT_SECONDS_MAX = 10.0
LOOK_SECONDS = 1.0
"""How often it is looked for workers that have come or gone."""

WORKERLESS_SECONDS_MAX = 120.0
"""A worker that died is replaced within seconds; without any for so long, the sweep is given up."""

Work = Callable[[Task], Result]
Answer = tuple[Task, Result | None, str]
"""A task, its result, or else the reason why there is none."""


class Cluster:
    """Runs tasks; made by `on_this_machine` or `on_scheduler`.

    A worker has as many tasks as cores and none in waiting, so that when it dies it is known which task was to blame.
    """

    def __init__(self, client: Any, deaths_max: int) -> None:
        self._client = client
        self._deaths_max = deaths_max
        self._places: dict[Any, str | None] = {}

    @property
    def cores(self) -> int:
        """How many tasks run at the same time just now."""
        return sum(self._client.nthreads().values())

    def run(self, work: Work, tasks: Sequence[Task]) -> Iterator[Answer]:
        """Every task once, in the order in which they end. A task that failed ATTEMPTS_MAX times gives the reason instead."""
        try:
            yield from self._run(work, tasks)
        except (CommClosedError, ConnectionError):
            raise SweepError("the scheduler has gone; what is finished is kept") from None

    def _run(self, work: Work, tasks: Sequence[Task]) -> Iterator[Answer]:
        waiting = deque(tasks)
        attempts: Counter[Task] = Counter()
        running: dict[Any, Task] = {}
        looks_without = 0
        while waiting or running:
            self._fill(work, waiting, running)
            looks_without = 0 if self.cores else looks_without + 1
            if looks_without * LOOK_SECONDS > WORKERLESS_SECONDS_MAX:
                raise SweepError("no worker is left; what is finished is kept")
            for future in self._ended(running):
                task = running.pop(future)
                self._places.pop(future)
                result, reason, attempts_max = self._answer(future)
                attempts[task] += 1
                if result is None and attempts[task] < attempts_max:
                    waiting.append(task)
                else:
                    yield task, result, reason

    def _fill(self, work: Work, waiting: deque[Task], running: dict[Any, Task]) -> None:
        while waiting and len(running) < max(1, self.cores):
            free = Counter(self._client.nthreads())
            free.subtract(place for place in self._places.values() if place in free)
            place = max(free, key=lambda address: (free[address], address)) if free else None
            task = waiting.popleft()
            prefer = {"workers": [place], "allow_other_workers": True} if place else {}
            future = self._client.submit(work, task, pure=False, **prefer)
            running[future], self._places[future] = task, place

    def _ended(self, running: dict[Any, Task]) -> list[Any]:
        try:
            ended = wait(list(running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        except CancelledError:
            raise SweepError("the scheduler has gone; what is finished is kept") from None
        return [future for future in running if future in ended]

    def _answer(self, future: Any) -> tuple[Result | None, str, int]:
        """Result, reason, and how often this kind of failure is borne."""
        error = future.exception()  # waits if the result was lost with its worker and is made again
        if error is None:
            return future.result(), "", 1
        if isinstance(error, CancelledError):
            raise SweepError("the scheduler has gone; what is finished is kept")
        if isinstance(error, SweepError):
            raise error
        if isinstance(error, KilledWorker):
            return None, "its worker died again and again", self._deaths_max
        return None, f"{type(error).__name__}: {error}".splitlines()[0], ATTEMPTS_MAX


def settings() -> dict[str, Any]:
    """Of Dask, for a cluster on this machine: no pages on HTTP, and a death of a worker is told at once."""
    return {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }


@contextlib.contextmanager
def on_this_machine(processes: int | None = None) -> Iterator[Cluster]:
    """One process per core (or so many). They end with the block, whatever ends it."""
    count = processes or len(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="p2psip-sweep-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings()),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=True,
            silence_logs=logging.CRITICAL,
            local_directory=folder,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Cluster(client, deaths_max=ATTEMPTS_MAX)


@contextlib.contextmanager
def on_scheduler(address: str) -> Iterator[Cluster]:
    """The workers of a running Dask scheduler; they are left running. Raises SweepError if it cannot be reached.

    How often the death of a worker is borne is a setting of that scheduler.
    """
    try:
        asyncio.run(_meet(address))
        client = Client(address, timeout=CONNECT_SECONDS_MAX)
    except (OSError, ValueError, TypeError, ImportError, CommClosedError) as error:
        said = str(error).splitlines()[0] if str(error) else "it does not answer"
        raise SweepError(f"there is no Dask scheduler at {address}: {said}") from None
    with client:
        if not client.nthreads():
            raise SweepError(f"the scheduler at {address} has no workers: start some with `dask worker {address}`")
        yield Cluster(client, deaths_max=1)


async def _meet(address: str) -> None:
    """Ask who is there: a client would wait for ever for somebody who accepts and says nothing."""
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        async with rpc(address) as scheduler:
            await scheduler.identity()
