"""A live registration is found by who looks it up."""

from typing import TYPE_CHECKING, Any

from simulations.checker import Checker
from simulations.lookups import LookedUp
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run

SAMPLE_MIN = 50


class RegistrationFound(Checker):
    """At least the share `least` of the lookups of live registrations gives one of the person's live devices.

    `least_whole`: of those made once the world has been whole for `converge_seconds` after a fault (default: the same).
    """

    name = "registration-found"

    def __init__(
        self, least: float = 0.995, *, least_whole: float | None = None, converge_seconds: float = 0.0
    ) -> None:
        super().__init__()
        self.converge_seconds = converge_seconds
        self._least = {False: 0.0 if least_whole is not None else least, True: least_whole or least}
        self._goal = least
        self._made = {False: 0, True: 0}
        self._found = {False: 0, True: 0}
        self._missed: list[str] = []

    def start(self, run: "Run") -> None:
        """The run that the figures go to."""
        self._run = run

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Count a lookup of a live registration that an honest node has made."""
        if not isinstance(event, LookedUp) or not event.live or event.done.found.cached or node.hostile:
            return
        due = self.is_due(now - event.seconds)
        self._made[due] += 1
        self._found[due] += event.found
        if not event.found:
            self._missed.append(f"node {node.number} did not find node {event.target.number} at {now:.1f} s")

    def finish(self, now: float) -> None:
        """The share of all."""
        made, found = sum(self._made.values()), sum(self._found.values())
        if not made:
            self.fail("no live registration was looked up: nothing is shown")
            return
        share = found / made
        self._run.figure(
            "lookups of live registrations that succeed",
            round(100 * share, 3),
            "%",
            goal=f">= {100 * self._goal:g} %",
            met=share >= self._goal,
        )
        self._run.figure("lookups of live registrations", made)
        for due, least in self._least.items():
            share = self._found[due] / self._made[due] if self._made[due] else 1.0
            if share < least:
                example = f"; {self._missed[-1]}" if self._missed else ""
                self.fail(f"{100 * share:.2f} % of {self._made[due]} lookups found, not {100 * least:g} %{example}")
