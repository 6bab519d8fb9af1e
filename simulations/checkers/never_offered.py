"""A registration that was withdrawn or has expired is never offered to a caller."""

from typing import Any

from overlay.publishing import REGISTRATION_SECONDS
from simulations.checker import Checker
from simulations.lookups import LookedUp
from simulations.nodes import Node

SKEW_SECONDS_MAX = 300.0
"""The overlay bears clocks that are wrong by so much (`overlay.records.CLOCK_SKEW_SECONDS`)."""
UNDER_WAY_SECONDS = 10.0
"""A withdrawal takes so long to reach its holders."""


class NeverOffered(Checker):
    """Watches every answer to a lookup. `skewed`: some nodes have wrong clocks, which is allowed for."""

    name = "never-offered"

    def __init__(self, *, skewed: bool = False) -> None:
        super().__init__()
        self._allowed = SKEW_SECONDS_MAX if skewed else 0.0
        self._gone: dict[bytes, tuple[str, float]] = {}
        self.offers = 0

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Note who went; look at what is offered."""
        if event in ("crashed", "left"):
            self._gone[node.key] = (event, now)
        elif event == "started":
            self._gone.pop(node.key, None)
        elif isinstance(event, LookedUp) and not node.hostile:
            self._judge(event, now)

    def _judge(self, looked: LookedUp, now: float) -> None:
        begun = now - looked.seconds
        for offered in looked.result.registrations:
            self.offers += 1
            unix = looked.node.core.peer.unix_offset + begun
            if offered.expires <= unix - self._allowed:
                self.fail(
                    f"node {looked.node.number} was offered a registration that expired {unix - offered.expires:.0f} s ago"
                )
            how, when = self._gone.get(offered.node_key, ("", now))
            if how == "left" and begun - when > UNDER_WAY_SECONDS:
                self.fail(f"node {looked.node.number} was offered one withdrawn {begun - when:.0f} s ago")
            if how == "crashed" and begun - when > REGISTRATION_SECONDS + self._allowed:
                self.fail(f"node {looked.node.number} was offered a device that died {begun - when:.0f} s ago")

    def finish(self, now: float) -> None:
        """A checker that saw nothing has shown nothing."""
        if not self.offers:
            self.fail("nothing was offered: nothing is shown")
