"""The way to the peer through the ICE restarts of a call (RFC 8445 §9, RFC 8839 §4.4.1).

Each restart is an agent of its own with new credentials. The agent before it carries media and keeps consent until the new
one has nominated a pair, or works while the old way is dead; then it stays for a while, for what is still on its way.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from media.ice.agent import IceAgent
from media.ice.candidates import Candidate, Pair, Way
from media.ice.events import Failed, Output, Selected, Stalled, State
from p2psip.base.chance import Chance

RETIRED_SECONDS = 3.0
AGENTS_MAX = 3


class IcePath:
    """The agents of one call: the newest, and those before it that are still of use."""

    def __init__(self, *, controlling: bool, local: Sequence[Candidate], chance: Chance) -> None:
        self._chance = chance
        self.agents: list[IceAgent] = [IceAgent(controlling=controlling, local=local, chance=chance)]
        self.in_use = self.agents[0]
        self._retire_at: float | None = None
        self._outputs: deque[Output] = deque()

    @property
    def newest(self) -> IceAgent:
        """The agent that descriptions are of."""
        return self.agents[-1]

    @property
    def selected(self) -> Pair | None:
        """The pair that media goes by."""
        return self.in_use.selected

    def restart(self, local: Sequence[Candidate]) -> None:
        """Begin anew with fresh credentials and candidates; a restart that the peer has not answered is given up."""
        before = self.newest
        if before.state is State.GATHERED:
            self.agents.pop()
        fresh = IceAgent(controlling=before.controlling, local=local, chance=self._chance)
        self.agents = [each for each in self.agents if each.state is not State.FAILED][1 - AGENTS_MAX :]
        if self.in_use not in self.agents and self.in_use.state is not State.GATHERED:
            self.agents = [self.in_use, *self.agents[2 - AGENTS_MAX :]]
        self.agents.append(fresh)
        if self.in_use.selected is None:
            self.in_use = fresh

    def needs_restart_for(self, ufrag: str, password: str) -> bool:
        """Whether the peer's credentials say that it has restarted and we have not."""
        return self.newest.state is not State.GATHERED and not self.knows(ufrag, password)

    def knows(self, ufrag: str, password: str) -> bool:
        """Whether the peer's credentials belong to an agent of this call already."""
        return any(each.is_of_peer(ufrag, password) for each in self.agents)

    def set_remote(self, ufrag: str, password: str, lines: Iterable[str], now: float) -> None:
        """The peer's description, new or again. One that belongs to an older agent changes nothing."""
        if not self.knows(ufrag, password) or self.newest.is_of_peer(ufrag, password):
            self.newest.set_remote(ufrag, password, lines, now)
            self._take(now)

    def add_local(self, candidate: Candidate, now: float) -> None:
        """One more candidate of ours."""
        self.newest.add_local(candidate, now)

    def drop_relay(self, relay: int, now: float) -> None:
        """A relay of ours is gone."""
        for agent in self.agents:
            agent.drop_relay(relay, now)
        self._take(now)

    def suspect(self, now: float) -> None:
        """The way in use may be dead."""
        self.in_use.suspect(now)

    def receive(self, data: bytes, source: Way, now: float) -> None:
        """Take one STUN datagram: answers and checks are of one agent, which the passwords tell."""
        for agent in list(self.agents):
            agent.receive(data, source, now)
        self._take(now)

    def note_received(self, now: float) -> bool:
        """Media has come the way in use; True when `poll_timeout` has changed."""
        return self.in_use.note_received(now)

    def is_checked(self, way: Way) -> bool:
        """Whether a way is being checked, by us or by the peer."""
        return any(agent.checklist.find(way) is not None for agent in self.agents)

    def wrap(self, data: bytes) -> bytes:
        """A DTLS datagram in an indication for the peer."""
        return self.in_use.wrap(data)

    def unwrap(self, data: bytes) -> bytes | None:
        """The DTLS datagram in an indication of the peer; None for anything else."""
        return next((inner for agent in self.agents if (inner := agent.unwrap(data)) is not None), None)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for agent in list(self.agents):
            agent.handle_timeout(now)
        self._take(now)
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            self.agents = self.agents[self.agents.index(self.in_use) :]

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        deadlines = [agent.poll_timeout() for agent in self.agents] + [self._retire_at]
        return min((when for when in deadlines if when is not None), default=None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _take(self, now: float) -> None:
        """Pass on what the agents say, but for news of those that are not in use."""
        for agent in list(self.agents):
            while (output := agent.poll_output()) is not None:
                match output:
                    case Selected():
                        self._take_selected(agent, output, now)
                    case Failed():
                        self._take_failed(agent, output)
                    case Stalled():
                        self._take_stalled(agent, output, now)
                    case _:
                        self._outputs.append(output)

    def _take_selected(self, agent: IceAgent, output: Selected, now: float) -> None:
        if agent is not self.in_use:
            is_newer = self.agents.index(agent) > self.agents.index(self.in_use)
            if not is_newer or not (output.nominated or self.in_use.is_suspect):
                return
            self.in_use = agent
            self._retire_at = now + RETIRED_SECONDS
        self._outputs.append(output)

    def _take_stalled(self, agent: IceAgent, output: Stalled, now: float) -> None:
        """The old way is dead: what the newer agent has found need not be nominated first."""
        if agent is not self.in_use:
            return
        if self.newest is not agent and self.newest.selected is not None and not self.newest.is_suspect:
            self._take_selected(self.newest, Selected(self.newest.selected.destination, nominated=False), now)
        else:
            self._outputs.append(output)

    def _take_failed(self, agent: IceAgent, output: Failed) -> None:
        """An agent that fails ends the path only when no other can carry it."""
        others = [each for each in self.agents if each is not agent and each.state is not State.FAILED]
        if agent is not self.in_use:
            if agent is self.newest and self.in_use.state is State.FAILED:
                self._outputs.append(output)
            elif agent is self.newest and self.in_use.is_stalled:
                self._outputs.append(Stalled())  # a restart that found nothing: another may
        elif not any(each.state is State.CHECKING for each in others):
            self._outputs.append(output)
