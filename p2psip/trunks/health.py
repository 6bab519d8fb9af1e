"""Whether a provider answers, as a core: when to ask with OPTIONS (RFC 3261 §11), and what to conclude."""

from p2psip.base.chance import Chance

FAILURES_MAX = 2
DOWN_SECONDS_MAX = 15.0


class Health:
    """Of one provider: up until FAILURES_MAX requests in a row came to nothing, then down until one is answered."""

    def __init__(self, interval_seconds: float, chance: Chance) -> None:
        self.is_up = True
        self.words = "not asked yet"
        self.due: float | None = None
        self._interval = interval_seconds
        self._chance = chance
        self._failures = 0

    def begin(self, now: float) -> None:
        """Ask soon; at a drawn time, so that the trunks of a node do not all ask at once. An interval of 0: never."""
        if self._interval:
            self.due = now + self._interval * self._chance.uniform(0.1, 1.0)

    def answered(self, now: float, status: int) -> None:
        """Any answer shows that it lives, but for 503 and 408, which a proxy gives for one that does not."""
        if status in (408, 503):
            self.failed(f"it says {status}", now)
            return
        self._failures = 0
        self.is_up, self.words = True, "answers"
        self._plan(now)

    def passed(self, now: float, words: str) -> None:
        """A question that says nothing either way."""
        self.words = words
        self._plan(now)

    def failed(self, words: str, now: float) -> None:
        """A request came to nothing."""
        self._failures += 1
        self.words = words
        if self._failures >= FAILURES_MAX and self._interval:
            self.is_up = False
        self._plan(now)

    def _plan(self, now: float) -> None:
        if self._interval:
            longest = self._interval if self.is_up else min(self._interval, DOWN_SECONDS_MAX)
            self.due = now + longest * self._chance.uniform(0.75, 1.0)
