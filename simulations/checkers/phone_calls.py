"""In a village every call ends with an answer or a clear cause, and every pair of NATs that talk hear one another."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.village.calls import ANSWERED, LOST, REFUSED, CallResult

if TYPE_CHECKING:
    from simulations.run import Run


class PhoneCalls(Checker):
    """`least`: the share of all calls that must be answered or find the phone busy; the rest must have a cause, too."""

    name = "phone-calls"

    def __init__(self, *, least: float = 0.98) -> None:
        super().__init__()
        self._least = least
        self.calls: list[CallResult] = []

    def start(self, run: "Run") -> None:
        """The run that the figures go to."""
        self._run = run

    def observe(self, node: Any, event: Any, now: float) -> None:
        """A call is over."""
        if not isinstance(event, CallResult):
            return
        self.calls.append(event)
        names = f"the call {event.nat} to {event.callee_nat} at {event.t:.1f}"
        if event.outcome == LOST:
            self.fail(f"{names} was answered, but not heard both ways: {event.cause}")
        elif event.outcome != ANSWERED and not event.cause:
            self.fail(f"{names} ended as {event.outcome} without a cause")

    def finish(self, now: float) -> None:
        """The share of all, and each pair."""
        if not self.calls:
            self.fail("nobody called: nothing is shown")
            return
        good = [call for call in self.calls if call.outcome in (ANSWERED, "busy")]
        share = len(good) / len(self.calls)
        if share < self._least:
            worst = next(call for call in self.calls if call not in good)
            self.fail(f"{100 * share:.1f} % of {len(self.calls)} calls reached a phone; one did not: {worst.cause}")
        silent = sorted(self._pairs(REFUSED) - self._pairs(ANSWERED))
        for nat, callee_nat in silent:
            self.fail(f"nobody behind {nat} ever talked to somebody behind {callee_nat}, though they tried")
        self._tell(good, share)

    def _pairs(self, outcome: str) -> set[tuple[str, str]]:
        return {(call.nat, call.callee_nat) for call in self.calls if call.outcome == outcome}

    def _tell(self, good: list[CallResult], share: float) -> None:
        run, talks = self._run, [call for call in good if call.has_media]
        run.figure("calls", len(self.calls))
        goal = f">= {100 * self._least:g} %"
        run.figure("calls that reached a phone", round(100 * share, 2), "%", goal=goal, met=share >= self._least)
        run.figure("pairs of NATs that talked", len(self._pairs(ANSWERED)))
        if not talks:
            return
        relayed = sum(call.way != "direct" for call in talks)
        run.figure("calls over relays or streams", round(100 * relayed / len(talks), 1), "%")
        for words, values in (
            ("INVITE to 180", [call.setup_seconds for call in talks if call.setup_seconds is not None]),
            ("200 to media both ways", [call.media_seconds for call in talks if call.media_seconds is not None]),
        ):
            found = sorted(values)
            for name, at in (("median", 0.5), ("95 %", 0.95)):
                run.figure(f"{words}, {name}", round(found[min(int(at * len(found)), len(found) - 1)], 3), "s")
