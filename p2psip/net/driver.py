"""The loop that runs any core on a real socket: datagrams in, datagrams and events out, one task for the timers."""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from p2psip.base.core import Address, Core, Transmit

E = TypeVar("E")

TIMER_GRAIN_SECONDS = 0.001


class Driver(Generic[E]):
    """Drives one core. `receive` and `pump` are plain calls; `run` is the task that serves the core's deadlines."""

    def __init__(
        self,
        core: Core[E],
        *,
        send: Callable[[bytes, Address], None],
        on_event: Callable[[E], None],
        now: Callable[[], float],
    ) -> None:
        self._core = core
        self._send = send
        self._on_event = on_event
        self._now = now
        self._deadline = math.inf
        self._scope: trio.CancelScope | None = None

    def receive(self, data: bytes, source: Address) -> None:
        """Hand one datagram to the core and drain it."""
        self._core.receive(data, source, self._now())
        self.pump()

    def pump(self) -> None:
        """Drain the core's outputs; call it after every command given to the core."""
        poll = self._core.poll_output
        while (output := poll()) is not None:
            if isinstance(output, Transmit):
                self._send(output.data, output.destination)
            else:
                self._on_event(output)
        self._plan()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the core's timers until cancelled."""
        self.pump()
        task_status.started()
        while True:
            delay = self._deadline - self._now()
            if delay > 0:
                with trio.CancelScope(deadline=trio.current_time() + delay) as self._scope:
                    await trio.sleep_forever()
                self._scope = None
                if self._now() < self._deadline:
                    continue
            else:
                await trio.lowlevel.checkpoint()
            self._core.handle_timeout(self._now())
            self.pump()

    def _plan(self) -> None:
        deadline = self._core.poll_timeout()
        earlier = deadline is not None and deadline < self._deadline
        self._deadline = math.inf if deadline is None else deadline
        if earlier and self._scope is not None:
            self._scope.deadline = trio.current_time() + max(self._deadline - self._now(), TIMER_GRAIN_SECONDS)
