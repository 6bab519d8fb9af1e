"""Every table of every node stays within its bound."""

from collections import Counter
from typing import TYPE_CHECKING

from overlay.buckets import BUCKET_CONTACTS_MAX, TABLE_CONTACTS_MAX
from overlay.frame import PEER_KEYS_MAX
from overlay.membership import CERTIFICATES_MAX
from overlay.rendezvous import FLOWS_MAX
from overlay.routes import NODES_MAX
from overlay.rpc import PENDING_MAX
from overlay.searches import LOOKUPS_MAX
from overlay.standing import table_sizes
from overlay.store import RECORDS_MAX
from simulations.checker import Checker
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run

NODES_EACH = 100


class Bounds(Checker):
    """Measures the tables of some nodes at a time, hostile ones left out: who lies may also hoard."""

    name = "bounds"

    def __init__(self, *, every: float = 20.0) -> None:
        super().__init__()
        self.every = every
        self._largest: dict[str, tuple[int, int]] = {}

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run, self._chance = run, run.chance.child("bounds")

    def inspect(self, now: float) -> None:
        """Measure some nodes."""
        for node in self._run.swarms[0].alive.sample(self._chance, NODES_EACH):
            if not node.hostile:
                for name, size, bound in _sizes(node):
                    self._largest[name] = max(self._largest.get(name, (0, bound)), (size, bound))
                    if size > bound:
                        self.fail(f"node {node.number} has {size} {name}, more than {bound}")

    def finish(self, now: float) -> None:
        """What came nearest to its bound."""
        if not self._largest:
            self.fail("no node was measured: nothing is shown")
            return
        name, (size, bound) = max(self._largest.items(), key=lambda each: (each[1][0] / each[1][1], each[0]))
        self._run.figure("fullest table", f"{size} of {bound} {name}")


def _sizes(node: Node) -> list[tuple[str, int, int]]:
    peer = node.core.peer
    sizes = table_sizes(peer)
    found = [
        ("contacts", len(peer.table), TABLE_CONTACTS_MAX),
        ("contacts of one bucket", _largest_bucket(node), BUCKET_CONTACTS_MAX),
        ("records", len(peer.store), RECORDS_MAX),
        ("keys of peers", sizes.keys, PEER_KEYS_MAX),
        ("certificates shown", sizes.members, PEER_KEYS_MAX),
        ("certificates checked", len(peer.membership), CERTIFICATES_MAX),
        ("requests that wait", sizes.requests, PENDING_MAX),
        ("lookups under way", sizes.lookups, LOOKUPS_MAX),
        ("nodes spoken with", sizes.routes, NODES_MAX),
        ("flows", len(peer.crossing.rendezvous.flows), FLOWS_MAX),
    ]
    relaying = peer.crossing.relaying
    return found if relaying is None else [*found, ("clients attached", len(relaying), relaying.clients_max)]


def _largest_bucket(node: Node) -> int:
    own = node.core.peer.number
    counts = Counter((contact.number ^ own).bit_length() for contact in node.core.peer.table)
    return max(counts.values(), default=0)
