"""One ICE agent with one component (RFC 8445), for one pair of credentials; `media/ice/path.py` makes a new one to restart.

    GATHERED   local candidates are known, remote credentials are not: early checks are answered and remembered
    CHECKING   checks run; the first valid pair may carry media at once (`Selected`)
    CONNECTED  a pair is nominated; `Upkeep` watches it; a spare or a more direct pair may take over
    FAILED     no pair became valid before the deadline, or consent was lost

Packets leave by the node's one socket of their address family, or through one of our relays (TURN allocations).
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from media.ice.candidates import Candidate, Pair, PairState, is_credential, parse_candidate, relay_of
from media.ice.checking import CANDIDATES_MAX, RETRANSMIT_SECONDS, Checking, Deadline
from media.ice.checklist import ATTEMPTS_MAX, PAIRS_MAX, Check
from media.ice.events import Selected, Stalled, State
from p2psip.base.errors import RemoteError

HOLD_BACK_SECONDS = 0.25
RELAY_HOLD_BACK_SECONDS = 1.5
DEADLINE_SECONDS = 8.0
REVIVE_SECONDS = 1.0


class IceAgent(Checking):
    """The core of one agent. Feed it STUN only; drain it after every input."""

    @property
    def spares(self) -> Sequence[Pair]:
        """The pairs that are kept warm beside the selected one."""
        return self._upkeep.spares

    def set_remote(self, ufrag: str, password: str, lines: Iterable[str], now: float) -> None:
        """Begin the checks: the peer's credentials (RemoteError(488) for none) and candidate lines, the usable ones.

        Said again it only adds candidates. With other credentials the peer has restarted (§9): that is for a new agent.
        """
        if not (is_credential(ufrag) and is_credential(password)):
            raise RemoteError("ICE credentials that cannot be used", status=488)
        if self.state is State.GATHERED:
            self._credentials.remote_ufrag, self._credentials.remote_password = ufrag, password
            self.state = State.CHECKING
            self._begun = now
            self._timers.set(Deadline.DEADLINE, now + DEADLINE_SECONDS)
        self._add_remotes(islice(lines, PAIRS_MAX), now)
        while self._early:
            way, priority, use = self._early.popleft()
            self._take_check(way, priority, use, now)
        if Deadline.PACE in self._timers:
            self._timers.stop(Deadline.PACE)
            self._pace(now)

    def add_remote_candidate(self, line: str, now: float) -> None:
        """One more candidate of the peer (RFC 8838)."""
        self._add_remotes([line], now)

    def add_local(self, candidate: Candidate, now: float) -> None:
        """One more candidate of ours, such as a relay that was allocated meanwhile."""
        if len(self.local) < CANDIDATES_MAX and self.state is not State.FAILED:
            self.local.append(candidate)
            self.checklist.pair_up([candidate], self._remotes)
            self._plan_pace(now)

    def drop_relay(self, relay: int, now: float) -> None:
        """A relay of ours is gone, and all ways through it."""
        self.local = [candidate for candidate in self.local if relay_of(candidate) != relay]
        gone = self.checklist.drop_relay(relay)
        for pair in gone:
            self._retransmit.stop(pair)
        if self.state is State.CONNECTED and self.selected in gone:
            self._fail_over(now)

    def note_received(self, now: float) -> bool:
        """Media has come the selected way; True when `poll_timeout` has changed, which is rare."""
        return self._upkeep.note_received(now)

    def suspect(self, now: float) -> None:
        """Something (a change of the network) says that the selected way may be dead."""
        if self.state is State.CONNECTED:
            self._upkeep.suspect(now)

    def handle_timeout(self, now: float) -> None:
        """Serve all deadlines that are due."""
        for pair in self._retransmit.expired(now):
            if self.state is State.CONNECTED and (pair.attempts >= ATTEMPTS_MAX or not self._is_wanted(pair)):
                pair.state = PairState.FAILED
            elif pair.state is PairState.IN_PROGRESS:
                self._check(pair, now)
        for timer in self._timers.expired(now):
            match timer:
                case Deadline.PACE:
                    self._pace(now)
                case Deadline.NOMINATE:
                    self._nominate(now)
                case Deadline.DEADLINE:
                    self._fail(self.checklist.reason())
                case Deadline.REVIVE:
                    self._revive(now)
        if self.state is State.CONNECTED:
            self._keep_up(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        sources = (self._timers.next(), self._retransmit.next(), self._upkeep.poll_timeout())
        return min((when for when in sources if when is not None), default=None)

    def _add_remotes(self, lines: Iterable[str], now: float) -> None:
        found: list[Candidate] = []
        for line in lines:
            try:
                found.append(parse_candidate(line))
            except RemoteError:
                continue
        self._remotes = (self._remotes + found)[:PAIRS_MAX]
        self.checklist.pair_up(self.local, found)
        self._plan_pace(now)

    def _check_succeeded(self, check: Check, now: float) -> None:
        pair = check.pair
        pair.rtt, pair.answered_at, pair.attempts = now - check.sent_at, now, 0
        self._retransmit.stop(pair)
        pair.state = PairState.SUCCEEDED
        self._upkeep.note_answer(pair, now)
        if pair.nominated and (check.nominate or not self.controlling):
            self._conclude(pair, now)
        elif self.state is State.CHECKING:
            self._use_early(pair)
            self._plan_nomination(now)
        elif self.is_stalled or self.selected is None:
            self._use(pair, now)
        else:
            self._upkeep.spares = self.checklist.spares(self.selected, self.controlling)
            if self.controlling and pair.relays < self.selected.relays and self._agreed is self.selected:
                self.checklist.nominate(pair)  # what is more direct takes over; both ways are accepted meanwhile
                self._nominate(now)

    def _use_early(self, pair: Pair) -> None:
        best = self.selected
        if best is None or pair.rank(self.controlling) > best.rank(self.controlling):
            self.selected = pair
            self._outputs.append(Selected(pair.destination, nominated=False))

    def _plan_nomination(self, now: float) -> None:
        """A relay waits RELAY_HOLD_BACK_SECONDS for something more direct, though media flows over it meanwhile."""
        best = self.checklist.best_valid(True)
        if best is None or not self.controlling or any(pair.nominated for pair in self.checklist.pairs):
            return
        if not self.checklist.may_do_better_than(best, True):
            self._nominate(now)
            return
        is_held = best.relays > 0 and self.checklist.may_pass_fewer_relays_than(best)
        due = max(now, self._begun + RELAY_HOLD_BACK_SECONDS) if is_held else now + HOLD_BACK_SECONDS
        if Deadline.NOMINATE not in self._timers or due < self._nominate_at:
            self._nominate_at = due
            self._timers.set(Deadline.NOMINATE, due)

    def _nominate(self, now: float) -> None:
        """Regular nomination of the best valid pair (§8.1.1), repeated until it is answered."""
        if self.state not in (State.CHECKING, State.CONNECTED) or not self.controlling or self.is_stalled:
            return
        nominee = self.checklist.nominee(self.selected if self.state is State.CONNECTED else None)
        if nominee is not None and (nominee is not self._agreed or nominee is not self.selected):
            self.checklist.nominate(nominee)
            self._check(nominee, now, nominate=True)
            self._timers.set(Deadline.NOMINATE, now + 2 * RETRANSMIT_SECONDS)

    def _conclude(self, pair: Pair, now: float) -> None:
        if self.state is State.CONNECTED and pair is self.selected and pair is self._agreed:
            return
        self._agreed = pair
        self.checklist.nominate(pair)
        for timer in (Deadline.DEADLINE, Deadline.NOMINATE):
            self._timers.stop(timer)
        self._take_up(pair, now, nominated=True)

    def _use(self, pair: Pair, now: float) -> None:
        """Send by another pair than the nominated one, for that is dead; in control also nominate it."""
        self._agreed = None
        self.checklist.nominate(pair if self.controlling else None)
        self._take_up(pair, now, nominated=False)
        self._nominate(now)

    def _take_up(self, pair: Pair, now: float, *, nominated: bool) -> None:
        self.state, self.selected, self.is_stalled = State.CONNECTED, pair, False
        self._timers.stop(Deadline.REVIVE)
        self._outputs.append(Selected(pair.destination, nominated=nominated))
        self._upkeep.start(pair, now)
        self._upkeep.spares = self.checklist.spares(pair, self.controlling)
        for other in self.checklist.pairs:  # §8.1.2: the other checks end, but for what may still better the path
            if other.state is PairState.IN_PROGRESS and not self._is_wanted(other):
                self._retransmit.stop(other)
                other.state = PairState.FAILED
        self._plan_pace(now)

    def _keep_up(self, now: float) -> None:
        for pair in self._upkeep.due(now, controlling=self.controlling):
            self._check(pair, now, nominate=self.controlling and pair is self._agreed)
        if self._upkeep.is_expired:
            self._fail("the other side has vanished: it no longer answers connectivity checks")
        elif self._upkeep.is_dead and not self.is_stalled:
            self._fail_over(now)

    def _fail_over(self, now: float) -> None:
        """The selected pair is dead: go on over a spare, without a word to the peer but the checks (both sides do so)."""
        spare = self._upkeep.best_spare()
        if self.selected is not None:
            self.selected.state = PairState.FAILED
            self._retransmit.stop(self.selected)
        if spare is not None:
            self._use(spare, now)
            return
        self.is_stalled, self._agreed = True, None
        self.checklist.nominate(None)
        self._outputs.append(Stalled())
        self._revive(now)

    def _revive(self, now: float) -> None:
        """While everything is dead, try everything."""
        for pair in self.checklist.pairs:
            if pair.state is PairState.SUCCEEDED:
                self._check(pair, now)
            elif pair.state is PairState.FAILED:
                pair.state, pair.attempts = PairState.WAITING, 0
        self._timers.set(Deadline.REVIVE, now + REVIVE_SECONDS)
        self._plan_pace(now)
