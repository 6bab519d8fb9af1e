"""How much may be called: calls at once, calls per minute, minutes per day. A core: times are arguments.

Minutes are taken before they are talked, a little at a time (`take`), and what was not talked is given back. So those used and
those of calls under way are never more than the cap, however many calls there are; who finds nothing left ends.
"""

from collections import deque

from p2psip.base.errors import RemoteError

MINUTE_SECONDS = 60.0
DAY_SECONDS = 86_400
TAKEN_SECONDS_MAX = 10.0


class Caps:
    """The caps of `who`, a trunk or a member who uses one. Without `minutes_per_day_max` time is not counted."""

    def __init__(
        self, who: str, calls_max: int, calls_per_minute_max: int, minutes_per_day_max: int | None = None
    ) -> None:
        self.who = who
        self.calls_max = calls_max
        self.calls_per_minute_max = calls_per_minute_max
        self.minutes_per_day_max = minutes_per_day_max
        self.calls = 0
        self._begun: deque[float] = deque(maxlen=calls_per_minute_max)
        self._day = 0
        self._seconds = 0.0

    def check(self, now: float, unix: float) -> None:
        """RemoteError(503) with the cap that one more call would go over."""
        if self.calls >= self.calls_max:
            raise RemoteError(
                f"{self.who} carries {self.calls} calls already, and no more at once are allowed", status=503
            )
        full = len(self._begun) == self.calls_per_minute_max
        if full and now - self._begun[0] < MINUTE_SECONDS:
            raise RemoteError(
                f"{self.who} began {self.calls_per_minute_max} calls within a minute, its cap", status=503
            )
        left = self.seconds_left(unix)
        if left is not None and left <= 0:
            raise RemoteError(f"{self.who} has used up its {self.minutes_per_day_max} minutes of today", status=503)

    def begin(self, now: float) -> None:
        """A call begins; `check` was asked before."""
        self.calls += 1
        self._begun.append(now)

    def end(self) -> None:
        """A call is over."""
        self.calls -= 1

    def take(self, unix: float, talked: float = 0.0) -> float | None:
        """The seconds that a call may talk now, at most TAKEN_SECONDS_MAX and to the end of the day; None for any number.

        `talked` are seconds for which it had taken nothing, and which it has talked while the machine was busy: it pays them, too.
        """
        left = self.seconds_left(unix)
        if left is None:
            return None
        taken = min(left, talked + min(TAKEN_SECONDS_MAX, DAY_SECONDS - unix % DAY_SECONDS))
        self._seconds += taken
        return taken

    def give_back(self, seconds: float, taken_unix: float, unix: float) -> None:
        """Of what was taken at `taken_unix`, so much was not talked; another day has got nothing from it."""
        self._turn(unix)
        if int(taken_unix) // DAY_SECONDS == self._day:
            self._seconds -= seconds

    def seconds_left(self, unix: float) -> float | None:
        """What nobody has taken of today (UTC); None where time is not counted."""
        if self.minutes_per_day_max is None:
            return None
        self._turn(unix)
        return max(0.0, 60.0 * self.minutes_per_day_max - self._seconds)

    def _turn(self, unix: float) -> None:
        day = int(unix) // DAY_SECONDS
        if day != self._day:
            self._day, self._seconds = day, 0.0
