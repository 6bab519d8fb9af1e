"""Every call gets an answer or a clear cause."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A call of this number was begun."""

    number: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """It was answered, or there is a `cause` in words. `seconds`: from the begin to the answer or the cause."""

    number: int
    outcome: str
    cause: str
    seconds: float
    reachable: bool


class CallsAnswered(Checker):
    """No call is left hanging longer than `seconds_max`, and of those to somebody reachable at least `least` are answered."""

    name = "calls-answered"
    every = 10.0

    def __init__(self, *, seconds_max: float = 40.0, least: float = 0.99) -> None:
        super().__init__()
        self._seconds_max, self._least = seconds_max, least
        self._open: dict[int, float] = {}
        self._answered = self._reachable = self.ended = 0

    def start(self, run: "Run") -> None:
        """The run that the figures go to."""
        self._run = run

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Calls begin and end."""
        if isinstance(event, CallBegun):
            self._open[event.number] = now
        elif isinstance(event, CallEnded):
            self._open.pop(event.number, None)
            self.ended += 1
            if event.outcome != "answered" and not event.cause:
                self.fail(f"call {event.number} ended without a cause")
            if event.reachable and not node.hostile:
                self._reachable += 1
                self._answered += event.outcome == "answered"

    def inspect(self, now: float) -> None:
        """Look for calls that hang."""
        for number in [number for number, begun in self._open.items() if now - begun > self._seconds_max]:
            self.fail(f"call {number} has neither an answer nor a cause after {now - self._open.pop(number):.0f} s")

    def finish(self, now: float) -> None:
        """The share of all."""
        if not self._reachable:
            self.fail("nobody reachable was called: nothing is shown")
            return
        share = self._answered / self._reachable
        self._run.figure("calls to reachable people that are answered", round(100 * share, 3), "%")
        if share < self._least:
            self.fail(
                f"{100 * share:.2f} % of {self._reachable} calls to reachable people were answered, not {100 * self._least:g} %"
            )
