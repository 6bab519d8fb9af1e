"""The contest played by our own nodes: a swarm of the cores of production, which register their people by themselves."""

from overlay.participant import FoundDone
from simulations.network.nat import PUBLIC
from simulations.nodes import Node
from simulations.referee.contest import (
    JOIN_SECONDS,
    LOOKUP_SECONDS,
    PATIENCE_SECONDS,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    Contest,
    Score,
    Tries,
)
from simulations.run import Run
from simulations.swarm import Swarm


def play_ours(contest: Contest, run: Run, swarm: Swarm) -> Score:
    """Play it; all nodes are public. The bootstrap server is node 0."""
    return _Ours(contest, run, swarm).play()


class _Ours:
    def __init__(self, contest: Contest, run: Run, swarm: Swarm) -> None:
        self.contest = contest
        self.run = run
        self.swarm = swarm
        self.score = Score()

    def play(self) -> Score:
        contest, run, counters = self.contest, self.run, self.swarm.world.counters
        nodes = [self.swarm.bootstrap, *self.swarm.grow(contest.peers, per_second=1 / JOIN_SECONDS, nat=PUBLIC)]
        run.for_seconds(contest.peers * JOIN_SECONDS + 2 * SETTLE_SECONDS)
        self.score.stored = sum(node.registered_at is not None for node in nodes[1:])
        self.score.joining_bytes = counters.bytes / len(nodes)
        before = counters.bytes
        run.for_seconds(QUIET_SECONDS)
        self.score.upkeep = (counters.bytes - before) / QUIET_SECONDS / len(nodes)
        for number in contest.crashed:
            self.swarm.crash(nodes[number])
        for asker, target in contest.lookups:
            self._look(nodes[asker], nodes[target].address, nodes[target], self.score.live)
            run.for_seconds(LOOKUP_SECONDS)
        for number, asker in enumerate(contest.absent):
            self._look(nodes[asker], f"nobody{number}@{self.swarm.enrolment.overlay}", None, self.score.absent)
            run.for_seconds(LOOKUP_SECONDS)
        run.for_seconds(PATIENCE_SECONDS)
        return self.score

    def _look(self, asker: Node, address: str, target: Node | None, tries: Tries) -> None:
        begun = self.swarm.now

        def done(event: FoundDone) -> None:
            keys = [each.node_key for each in event.found.registrations]
            right = not keys if target is None else target.key in keys
            tries.note(right, event.found.messages, self.swarm.now - begun)

        self.swarm.find(asker, address, done)
