"""What a checker is: one property of a run, watched while the world is broken and demanded in full after it is healed.

A safety property is failed the moment it is violated (`observe`, `inspect`). A convergence property is inspected only while the
world has been whole for `converge_seconds` (`is_due`).
"""

from typing import TYPE_CHECKING, Any

from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run

FINDINGS_MAX = 20


class Checker:
    """Overwrite what you need. `name` stands in the line that a failure prints; `every` is in virtual seconds, None for never."""

    name = "checker"
    every: float | None = None
    converge_seconds = 0.0

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.failures = 0
        self.broken = False
        self.whole_since = 0.0

    def start(self, run: "Run") -> None:
        """The run begins, or the checker was added to it."""

    def observe(self, node: Node, event: Any, now: float) -> None:
        """A node has put out an event (see `simulations.swarm.Listener`)."""

    def inspect(self, now: float) -> None:
        """Called each `every` seconds."""

    def world_broke(self, now: float) -> None:
        """A fault begins; `broken` is set. It may be over before the next `inspect`."""

    def world_healed(self, now: float) -> None:
        """The fault is over; `whole_since` is set."""

    def finish(self, now: float) -> None:
        """The run ends."""

    def is_due(self, now: float) -> bool:
        """Whether the world has been whole long enough for convergence to be demanded."""
        return not self.broken and now - self.whole_since >= self.converge_seconds

    def fail(self, detail: str) -> None:
        """The property was violated. All are counted, FINDINGS_MAX are kept."""
        self.failures += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(detail)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return self.failures == 0

    @property
    def detail(self) -> str:
        """The first finding, and how many there were."""
        if not self.failures:
            return ""
        return self.findings[0] if self.failures == 1 else f"{self.findings[0]} ({self.failures} in all)"
