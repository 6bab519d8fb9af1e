"""What keeps a chosen way honest: consent (RFC 7675), the silence of its media, and spares that are kept warm.

quiet      a check every five seconds renews consent, on the chosen pair and on its spares
watching   media has come lately: half a second without any makes the pair suspect
probing    the pair is suspect: quick checks of it and of its spares: PROBES_MAX when its media has stopped, else more
dead       none was answered: the agent takes a spare, or says that it has stalled
"""

import enum
from collections.abc import Sequence

from media.ice.candidates import Pair, PairState
from media.ice.checklist import ATTEMPTS_MAX, Checklist
from p2psip.base.chance import Chance
from p2psip.base.timers import Timers

CONSENT_SECONDS = 5.0
CONSENT_EXPIRES_SECONDS = 30.0
SILENCE_SECONDS = 0.5
PROBE_SECONDS = 0.15
PROBES_MAX = 3
QUIET_PROBES_MAX = 8
ANSWER_SECONDS = 0.4
RECHECKS_MAX = 4
SPARE_ATTEMPTS_MAX = 3


class _Timer(enum.Enum):
    CONSENT = "consent"
    CONSENT_EXPIRES = "consent expires"
    SILENCE = "silence"
    ANSWER = "answer"
    PROBE = "probe"


class Upkeep:
    """The upkeep of one agent's chosen pair. `due` names the pairs to check now; afterwards look at the two flags."""

    def __init__(self, checklist: Checklist, chance: Chance) -> None:
        self._checklist = checklist
        self._chance = chance
        self._timers: Timers[_Timer] = Timers()
        self._selected: Pair | None = None
        self._received_at = 0.0
        self._probes, self._probes_max = 0, QUIET_PROBES_MAX
        self.probing_since: float | None = None
        self.is_watching = False
        self.is_dead = False
        self.is_expired = False
        self.spares: list[Pair] = []

    @property
    def is_suspect(self) -> bool:
        """Whether the chosen pair may be dead."""
        return self.is_dead or self.probing_since is not None

    def start(self, selected: Pair, now: float) -> None:
        """`selected` carries media from now on."""
        self._selected = selected
        self._calm()
        self.is_watching = False
        self._timers.stop(_Timer.SILENCE)
        self._timers.set(_Timer.CONSENT, now + self._consent_delay())
        self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)

    def stop(self) -> None:
        """No upkeep any more."""
        self._timers = Timers()
        self._selected = None
        self._calm()

    def note_received(self, now: float) -> bool:
        """Media has come the chosen way: called for every packet. True when a deadline is new."""
        self._received_at = now
        if self.is_watching or self._selected is None:
            return False
        self.is_watching = True
        self._timers.set(_Timer.SILENCE, now + SILENCE_SECONDS)
        return True

    def note_answer(self, pair: Pair, now: float) -> None:
        """A check of `pair` was answered."""
        if pair is self._selected:
            self._calm()
            self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)

    def suspect(self, now: float, probes_max: int = QUIET_PROBES_MAX) -> None:
        """Something says that the chosen pair may be dead: look now."""
        if self.is_suspect:
            self._probes_max = min(self._probes_max, probes_max)
        elif self._selected is not None:
            self.probing_since, self._probes, self._probes_max = now, 0, probes_max
            self._timers.set(_Timer.PROBE, now)

    def hint(self, now: float) -> None:
        """The peer uses another pair: doubt ours, unless something has just come on it."""
        if self._selected is not None and now - max(self._received_at, self._selected.answered_at) > PROBE_SECONDS:
            self.suspect(now)

    def due(self, now: float, *, controlling: bool) -> list[Pair]:
        """The pairs to check now."""
        found: list[Pair] = []
        for timer in self._timers.expired(now):
            match timer:
                case _Timer.CONSENT:
                    found += self._keep_warm(now, controlling)
                case _Timer.CONSENT_EXPIRES:
                    self.is_expired = True
                case _Timer.SILENCE:
                    self._look(now)
                case _Timer.ANSWER:
                    self.suspect(now)
                case _Timer.PROBE:
                    found += self._probe(now)
        return list(dict.fromkeys(found))

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self._timers.next()

    def best_spare(self) -> Pair | None:
        """Where to go when the chosen pair is dead: what has answered since the doubt began, else what last did."""
        since = self.probing_since or 0.0
        valid = [pair for pair in self._checklist.pairs if pair.state is PairState.SUCCEEDED]
        others = [pair for pair in valid if pair is not self._selected]
        fresh = [pair for pair in others if pair.answered_at >= since]
        if fresh:
            return min(fresh, key=lambda pair: (pair.relays, pair.rtt or 0.0))
        hopeful = [pair for pair in others if pair in self.spares]
        return max(hopeful, key=lambda pair: pair.answered_at, default=None)

    def _look(self, now: float) -> None:
        """Nothing is timed for each packet: the timer looks when the last one came."""
        quiet_at = self._received_at + SILENCE_SECONDS
        if quiet_at > now:
            self._timers.set(_Timer.SILENCE, quiet_at)
            return
        self.is_watching = False
        self.suspect(now, PROBES_MAX)

    def _probe(self, now: float) -> list[Pair]:
        assert self._selected is not None
        if self.is_dead or self.probing_since is None:
            return []
        if self._probes >= self._probes_max:
            self.is_dead = True
            return []
        self._probes += 1
        self._timers.set(_Timer.PROBE, now + max(PROBE_SECONDS, (self._selected.rtt or 0.0) / 2))
        unheard = [pair for pair in self.spares if pair.answered_at < self.probing_since]
        return [self._selected, *unheard]

    def _keep_warm(self, now: float, controlling: bool) -> list[Pair]:
        """The chosen pair, its spares, and a few of those that would be worth having."""
        assert self._selected is not None
        self._timers.set(_Timer.CONSENT, now + self._consent_delay())
        for pair in self.spares:
            if pair.attempts >= SPARE_ATTEMPTS_MAX:
                pair.state = PairState.FAILED
        self.spares = self._checklist.spares(self._selected, controlling)
        if not self.is_suspect:
            self._timers.set(_Timer.ANSWER, now + max(ANSWER_SECONDS, 2 * (self._selected.rtt or 0.0)))
        return [self._selected, *self.spares, *self._retry(self.spares)]

    def _retry(self, spares: Sequence[Pair]) -> list[Pair]:
        assert self._selected is not None
        lost = [
            pair
            for pair in self._checklist.pairs
            if pair.state is PairState.FAILED and self._checklist.is_wanted_beside(self._selected, pair, spares)
        ]
        chosen = sorted(lost, key=lambda pair: pair.checked_at)[:RECHECKS_MAX]
        for pair in chosen:
            pair.attempts = ATTEMPTS_MAX - 2
        return chosen

    def _calm(self) -> None:
        self.probing_since, self._probes, self.is_dead, self.is_expired = None, 0, False, False
        self._timers.stop(_Timer.PROBE)
        self._timers.stop(_Timer.ANSWER)

    def _consent_delay(self) -> float:
        return self._chance.uniform(0.8, 1.2) * CONSENT_SECONDS
