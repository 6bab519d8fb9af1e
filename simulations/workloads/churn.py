"""Churn: the same devices come and go for ever, and about as many are up at any time as at the beginning.

Each device alternates between a session and an absence (an alternating renewal process, as Yao et al., Modeling Heterogeneous
User Churn and Local Resilience of Unstructured P2P Networks, ICNP 2006). Beside the N that are up there are N · (mean absence /
mean session) that are away and come back; both kinds begin in the middle of what they are at (`Duration.residual`), so that
the process is stationary from its first second on.

Most leave without a word: computers are switched off, lids are closed, cables pulled. CRASH_SHARE is our assumption, no source
measures it; 1.0 is the worst case. Who comes back has its keys and the peers that it had written down.
"""

from collections.abc import Callable, Iterable
from typing import Any

from p2psip.base.chance import Chance
from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.durations import Duration

CRASH_SHARE = 0.9
REMEMBERED_OF_ANOTHER = 40

Kind = Callable[[Node], bool]


class Churn:
    """Lets nodes come and go. `sessions` and `absences` in seconds; `takes_part` tells which nodes do (default: all that are
    people's and honest)."""

    def __init__(
        self,
        swarm: Swarm,
        sessions: Duration,
        absences: Duration,
        *,
        crash_share: float = CRASH_SHARE,
        takes_part: Kind | None = None,
        name: str = "churn",
    ) -> None:
        self.sessions = sessions
        self.absences = absences
        self.crash_share = crash_share
        self.departures = self.crashes = self.returns = 0
        self._swarm = swarm
        self._takes_part = takes_part or is_person
        self._chance = swarm.world.chance.child(name)
        self._members: set[int] = set()
        self._stopped = False
        swarm.listeners.append(self)

    def begin(self, *, absent: Iterable[Node] | None = None) -> None:
        """From now on. `absent`: devices that are away now; by default as many new ones as keep the number that is up."""
        present = [node for node in self._swarm.alive if self._takes_part(node)]
        if absent is None:
            absent = self._absent(round(len(present) * self.absences.mean / self.sessions.mean), present)
        for node in present:
            self._members.add(node.number)
            self._leave_after(node, self.sessions.residual(self._of(node)))
        for node in absent:
            self._members.add(node.number)
            self._return_after(node, self.absences.residual(self._of(node)))

    def admit(self, node: Node) -> None:
        """A newcomer takes part from its first session on, which has just begun or is still to come."""
        self._members.add(node.number)
        if node.alive:
            self._leave_after(node, self.sessions.draw(self._of(node)))

    def observe(self, node: Node, event: Any, now: float) -> None:
        """As listener of the swarm: whoever starts a member (a mass restart, too), its next session begins."""
        if type(event) is str and event == "started" and node.number in self._members:
            self._leave_after(node, self.sessions.draw(self._of(node)))

    def stop(self) -> None:
        """No more comings and goings."""
        self._stopped = True

    def _absent(self, count: int, present: list[Node]) -> list[Node]:
        """Devices that are away, and remember peers of a time when they were there: those that one of the present knows."""
        chance = self._chance.child("absent")
        nodes = []
        for _ in range(count):
            node = self._swarm.add()
            table = [(contact.node_key, contact.address) for contact in chance.choice(present).core.peer.table]
            node.remembered = chance.sample(table, min(REMEMBERED_OF_ANOTHER, len(table)))
            nodes.append(node)
        return nodes

    def _of(self, node: Node) -> Chance:
        """A stream for this node and start, so that what one does changes nothing for the others."""
        return self._chance.child(f"{node.number} {node.starts}")

    def _leave_after(self, node: Node, seconds: float) -> None:
        starts = node.starts

        def depart() -> None:
            if self._stopped or not node.alive or node.starts != starts:
                return
            chance = self._of(node).child("end")
            self.departures += 1
            if chance.uniform(0, 1) < self.crash_share:
                self.crashes += 1
                self._swarm.crash(node)
            else:
                self._swarm.leave(node)
            self._return_after(node, self.absences.draw(chance))

        self._swarm.world.after(seconds, depart)

    def _return_after(self, node: Node, seconds: float) -> None:
        starts = node.starts

        def come_back() -> None:
            if self._stopped or node.starts != starts:
                return
            if node.alive:  # it is just about to leave
                self._return_after(node, 1.0)
                return
            self.returns += 1
            self._swarm.start(node)

        self._swarm.world.after(seconds, come_back)


def is_person(node: Node) -> bool:
    """Whether a node is somebody's and honest: neither the bootstrap server nor an attacker's."""
    return not node.hostile and node.wants_registration
