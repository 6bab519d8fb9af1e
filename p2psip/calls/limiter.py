"""Password guessing: counted by source host and by user, slowed first, then blocked. A core: time is an argument.

A wrong answer to a challenge is a failure; a missing or stale one is not. A pair (host, user) that has proved the password
is known for a while: failures of others, be it against the same user or from the same host, do not block it.
"""

from collections import OrderedDict
from dataclasses import dataclass

FREE_FAILURES = 3
PAIR_FAILURES_MAX = 10
USER_FAILURES_MAX = 30
HOST_FAILURES_MAX = 50
DELAY_SECONDS_FIRST = 0.25
DELAY_SECONDS_MAX = 4.0
BLOCK_SECONDS = 300.0
FORGET_SECONDS = 600.0
GUESSERS_MAX = 4_096
KNOWN_PAIRS_MAX = 1_024
KNOWN_SECONDS = 86_400.0

_Key = tuple[str, str]


@dataclass(slots=True)
class _Count:
    failures: int
    last: float


class GuessLimiter:
    """Counts failures; says how long to wait with an answer, and who is not listened to at all."""

    def __init__(self) -> None:
        self._counts: OrderedDict[_Key, _Count] = OrderedDict()
        self._known: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def is_blocked(self, host: str, user: str, now: float) -> bool:
        """Whether answers from `host` for `user` are refused unread."""
        if self._failures((host, user), now, BLOCK_SECONDS) >= PAIR_FAILURES_MAX:
            return True
        if now - self._known.get((host, user), -KNOWN_SECONDS) < KNOWN_SECONDS:
            return False
        return (
            self._failures((host, ""), now, BLOCK_SECONDS) >= HOST_FAILURES_MAX
            or self._failures(("", user), now, BLOCK_SECONDS) >= USER_FAILURES_MAX
        )

    def fail(self, host: str, user: str, now: float) -> float:
        """Count a wrong password; the seconds that the answer must wait."""
        for key in ((host, user), (host, ""), ("", user)):
            count = self._counts.setdefault(key, _Count(0, now))
            count.failures = self._failures(key, now, FORGET_SECONDS) + 1
            count.last = now
            self._counts.move_to_end(key)
        while len(self._counts) > GUESSERS_MAX:
            self._counts.popitem(last=False)
        excess = self._counts[host, user].failures - FREE_FAILURES
        spread = max(self._counts[host, ""].failures, self._counts["", user].failures) // 3 - FREE_FAILURES
        steps = max(excess, spread)
        return min(DELAY_SECONDS_FIRST * 2 ** min(steps - 1, 8), DELAY_SECONDS_MAX) if steps > 0 else 0.0

    def succeed(self, host: str, user: str, now: float) -> None:
        """The password was proved: forget the pair's failures."""
        self._counts.pop((host, user), None)
        self._known[host, user] = now
        self._known.move_to_end((host, user))
        while len(self._known) > KNOWN_PAIRS_MAX:
            self._known.popitem(last=False)

    def _failures(self, key: _Key, now: float, seconds: float) -> int:
        count = self._counts.get(key)
        return count.failures if count is not None and now - count.last < seconds else 0
