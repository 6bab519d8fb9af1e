"""The closest peers that a lookup finds are the true closest ones."""

from typing import TYPE_CHECKING, Any

from overlay.events import LookupDone
from overlay.lookup import WIDTH
from overlay.reachability import Role
from p2psip.base.errors import LocalError
from simulations.checker import Checker
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run

SETTLED_SECONDS = 60.0
PROBES_EACH = 4


class FoundSet(Checker):
    """Every few seconds some nodes look up random keys. While the world changes, `least` of the true WIDTH closest must be among
    the found on average; once it has been whole for `converge_seconds`, `least_whole`."""

    name = "found-set"

    def __init__(
        self, *, every: float = 30.0, least: float = 0.9, least_whole: float = 0.99, converge_seconds: float = 300.0
    ) -> None:
        super().__init__()
        self.every = every
        self.converge_seconds = converge_seconds
        self._least, self._least_whole = least, least_whole
        self._waiting: dict[tuple[int, int], tuple[int, bool]] = {}
        self._shares: dict[bool, list[float]] = {False: [], True: []}

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run, self._chance = run, run.chance.child("found set")

    def inspect(self, now: float) -> None:
        """Begin some lookups."""
        swarm = self._run.swarms[0]
        for node in swarm.alive.sample(self._chance, PROBES_EACH):
            if node.hostile or node.joined_at is None or now - node.joined_at < SETTLED_SECONDS:
                continue
            target = self._chance.integer(160)
            try:
                number = node.core.peer.look_up(target.to_bytes(20, "big"), now, records=False)
            except LocalError:
                continue
            self._waiting[(node.number, number)] = (target, self.is_due(now))
            swarm.world.pump(node)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """One of our lookups has ended: compare."""
        if not isinstance(event, LookupDone):
            return
        target, due = self._waiting.pop((node.number, event.number), (None, False))
        if target is None:
            return
        closest = self._closest(target, node, now)
        found = {contact.node_key for contact in event.closest}
        self._shares[due].append(sum(each.key in found for each in closest) / max(1, len(closest)))

    def finish(self, now: float) -> None:
        """Both shares."""
        for due, least in ((False, self._least), (True, self._least_whole)):
            shares = self._shares[due]
            if not shares:
                continue
            share = sum(shares) / len(shares)
            when = "in a whole network" if due else "under change"
            self._run.figure(f"found of the true {WIDTH} closest {when}", round(100 * share, 2), "%")
            if share < least:
                self.fail(f"{share:.3f} of the true closest were found {when}, not {least}")

    def _closest(self, target: int, asker: Node, now: float) -> list[Node]:
        """The peers alive that others have had time to learn of, and that are closest."""
        peers = [
            node
            for node in self._run.swarms[0].alive
            if node is not asker
            and not node.hostile
            and node.joined_at is not None
            and now - node.joined_at >= SETTLED_SECONDS
            and node.core.peer.reach.verdict.role is Role.PEER
        ]
        return sorted(peers, key=lambda node: node.core.peer.number ^ target)[:WIDTH]
