"""Super-nodes that meet their limits shed new work and go on: none exceeds a bound, none ceases to be one because of its load.

Skype's super-nodes protected themselves by switching off when their load grew, which gave it to the others, who did the same
(Rabbe, CIO update, 29 December 2010).
"""

from typing import TYPE_CHECKING

from overlay.relaying import FRAMES_PER_SECOND_MAX, Relaying
from simulations.checker import Checker
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.run import Run

EVERY_SECONDS = 1.0


class SuperNodesStand(Checker):
    """Looks at each super-node, and at the bootstrap server's own node, each second."""

    name = "super-nodes-stand"
    every = EVERY_SECONDS

    def __init__(self) -> None:
        super().__init__()
        self._serving: dict[int, tuple[int, Relaying, int]] = {}
        self._received: dict[int, int] = {}
        self._most_frames = self._most_received = self._most_door = self._fullest = 0
        self._door_begun = self._all_begun = 0

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run = run
        self._swarm = run.swarms[0]
        self._door_begun, self._all_begun = self._swarm.bootstrap.received, self._delivered()
        self._received = {node.number: node.received for node in self._swarm.nodes}

    def inspect(self, now: float) -> None:
        """Compare with a second ago."""
        for node in self._swarm.alive:
            if node.hostile:
                continue
            received = node.received - self._received.get(node.number, 0)
            self._received[node.number] = node.received
            if node is self._swarm.bootstrap:
                self._most_door = max(self._most_door, received)
            relaying = node.core.peer.crossing.relaying
            if relaying is not None:
                self._most_received = max(self._most_received, received)
                self._look_at(node, relaying)
            elif self._serving.get(node.number, (0,))[0] == node.starts and not node.core.peer.reach.is_client:
                self.fail(f"super-node {node.number} is up and a peer, and has ceased to be a super-node")
                del self._serving[node.number]

    def finish(self, now: float) -> None:
        """The heaviest loads."""
        if not self._serving:
            self.fail("there was no super-node: nothing is shown")
            return
        figure = self._run.figure
        figure("most flows that a super-node kept, of what it keeps at most", self._fullest, "%")
        figure("most frames passed on in a second by a super-node", self._most_frames, "1/s")
        figure("most datagrams that a super-node got in a second", self._most_received, "1/s")
        figure("most datagrams that the bootstrap server's node got in a second", self._most_door, "1/s")
        share = (self._swarm.bootstrap.received - self._door_begun) / max(1, self._delivered() - self._all_begun)
        figure("share of all datagrams that the bootstrap server's node got", round(100 * share, 2), "%")

    def _look_at(self, node: Node, relaying: Relaying) -> None:
        starts, before, frames = self._serving.get(node.number, (0, None, 0))
        passed = relaying.counters.frames - (frames if before is relaying and starts == node.starts else 0)
        self._serving[node.number] = node.starts, relaying, relaying.counters.frames
        self._most_frames = max(self._most_frames, passed)
        self._fullest = max(self._fullest, round(100 * len(relaying) / max(1, relaying.clients_max)))
        if len(relaying) > relaying.clients_max:
            self.fail(f"super-node {node.number} keeps {len(relaying)} flows, {relaying.clients_max} are its bound")
        if passed > 2 * FRAMES_PER_SECOND_MAX:  # a budget that was full, and what came to it within the second
            self.fail(f"super-node {node.number} passed {passed} frames on in a second")

    def _delivered(self) -> int:
        return self._swarm.world.counters.delivered
