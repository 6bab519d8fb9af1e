"""Every call gets an answer or a clear cause."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.nodes import Node
from simulations.workloads.signalling import HANGS, UNREACHED, Call

if TYPE_CHECKING:
    from simulations.run import Run

SETTLED_SECONDS = 15.0


class CallsAnswered(Checker):
    """No call hangs, each has a cause if it was not answered, and at least `least` of those to people whose node was up and
    registered from dialling to the end reach that node. Calls that began in a fault must only come to an end."""

    name = "calls-answered"

    def __init__(self, *, least: float = 0.99, converge_seconds: float = 0.0) -> None:
        super().__init__()
        self.converge_seconds = converge_seconds
        self._least = least
        self._tried = self._reached = self.ended = 0
        self._setups: list[float] = []
        self._example = ""

    def start(self, run: "Run") -> None:
        """The run that the figures go to."""
        self._run = run

    def observe(self, node: Node, event: Any, now: float) -> None:
        """The outcome of a call is known."""
        if not isinstance(event, Call) or node.hostile:
            return
        self.ended += 1
        if event.outcome == HANGS:
            self.fail(f"call {event.number} has neither an answer nor a cause after {now - event.begun:.0f} s")
        elif not event.cause and event.outcome != "answered":
            self.fail(f"call {event.number} ended as {event.outcome} without a cause")
        if event.setup_seconds is not None:
            self._setups.append(event.setup_seconds)
        if self.is_due(event.begun) and self._was_there(event):
            self._tried += 1
            self._reached += event.setup_seconds is not None
            if event.outcome == UNREACHED:
                self._example = f"; call {event.number}: {event.cause}"

    def finish(self, now: float) -> None:
        """The share of all, and how long they took."""
        if not self._tried:
            self.fail("nobody reachable was called: nothing is shown")
            return
        share = self._reached / self._tried
        self._run.figure("calls to people at home that reach their node", round(100 * share, 3), "%")
        self._run.figure("calls to people at home", self._tried)
        if self._setups:
            middle = sorted(self._setups)[len(self._setups) // 2]
            self._run.figure(
                "call set-up, from dialling to the first answer of the other node, median", round(middle, 3), "s"
            )
        if share < self._least:
            self.fail(
                f"{100 * share:.2f} % of {self._tried} calls reached their node, not {100 * self._least:g} %{self._example}"
            )

    @staticmethod
    def _was_there(call: Call) -> bool:
        callee, registered = call.callee, call.callee.registered_at
        if not (call.live and call.caller_is_there and callee.alive and registered is not None):
            return False
        return call.begun - registered >= SETTLED_SECONDS and callee.started_at < call.begun
