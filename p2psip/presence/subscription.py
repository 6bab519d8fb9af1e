"""One subscription as its notifier sees it (RFC 6665 §4.2), as a state machine: time in, what to send out.

    pending ─ accepted ─▶ active ─ expiry, end, a failed NOTIFY ─▶ terminated

It says what NOTIFY is due (`take`), one at a time, and learns what became of it (`answered`). After a burst of BURST, NOTIFYs
follow one another at the package's interval; what changes meanwhile is told together.
"""

from dataclasses import dataclass
from typing import Literal

from p2psip.base.errors import RemoteError

SECONDS_MIN = 30
NODE_SECONDS_MIN = 10
"""Nodes may ask for less than phones: a short life is how a node that dies is noticed."""
SECONDS_MAX = 3_600
BURST = 3
RETRIES_MAX = 3
RETRY_SECONDS_MAX = 60.0
ENDING_STATUSES = frozenset((401, 403, 404, 405, 407, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604))
"""Answers to a NOTIFY that end its subscription (RFC 5057 §5.1, RFC 6665 §4.2.2)."""

Reason = Literal["deactivated", "giveup", "noresource", "rejected", "timeout"]


class IntervalTooBrief(RemoteError):
    """Somebody asked for less than `least` seconds (423)."""

    def __init__(self, what: str, least: int) -> None:
        super().__init__(f"a {what} lasts at least {least} seconds here", status=423)
        self.least = least


@dataclass(frozen=True, slots=True)
class Notice:
    """A NOTIFY that is due: its Subscription-State, and whether everything must be told."""

    subscription_state: str
    is_whole: bool
    is_last: bool


class Subscription:
    """One watcher. `interval_seconds`: between NOTIFYs, on average."""

    def __init__(self, seconds: int, interval_seconds: float, now: float) -> None:
        self._interval = interval_seconds
        self._tokens = float(BURST)
        self._counted_at = now
        self._is_due = self._is_whole = True
        self._is_waiting = False
        self._not_before = now
        self._retries = 0
        self._reason: Reason | None = None
        self._told_end = False
        self.is_over = False
        self.expires_at = now
        self.refresh(seconds, now)

    @property
    def is_ending(self) -> bool:
        """Whether the watcher is being told that it is over: then it cannot be refreshed any more."""
        return self._reason is not None

    def refresh(self, seconds: int, now: float) -> None:
        """A SUBSCRIBE: lives `seconds` from now, and everything is told (§4.2.1.2); 0 ends it after that (§4.4.3)."""
        self.expires_at = now + seconds
        self._is_due = self._is_whole = True
        self._tokens = max(self._tokens, 1.0)  # a refresh is answered at once
        if seconds == 0:
            self.end("timeout")

    def change(self) -> None:
        """There is something new to tell."""
        self._is_due = True

    def end(self, reason: Reason) -> None:
        """Tell the watcher that it is over; the first reason counts."""
        if self._reason is None:
            self._reason = reason
            self._is_due = True

    def take(self, now: float) -> Notice | None:
        """The NOTIFY to send now, if one is due; `answered` must follow."""
        if self.expires_at <= now:
            self.end("timeout")
        if self.is_over or self._is_waiting or not self._is_due or self._ready_at(now) > now:
            return None
        self._tokens -= 1.0
        self._is_due, self._is_waiting = False, True
        is_whole, self._is_whole = self._is_whole, False
        if self._reason is not None:
            self._told_end = True
            return Notice(f"terminated;reason={self._reason}", is_whole, True)
        return Notice(f"active;expires={max(1, round(self.expires_at - now))}", is_whole, False)

    def answered(self, status: int, retry_after: int | None, now: float) -> None:
        """What became of the NOTIFY: `status` 408 when nothing came. A failure with Retry-After is tried again, twice."""
        self._is_waiting = False
        if self._told_end:
            self.is_over = True
        elif status < 300:
            self._retries = 0
        elif status in ENDING_STATUSES or retry_after is None or self._retries + 1 >= RETRIES_MAX:
            self.is_over = True
        else:
            self._retries += 1
            self._is_due = self._is_whole = True
            self._not_before = now + min(float(retry_after), RETRY_SECONDS_MAX)

    def poll_timeout(self, now: float) -> float | None:
        """When `take` may have something: at once when it is `now`. None when it is over."""
        if self.is_over:
            return None
        if self._is_waiting:
            return float("inf")
        if self._is_due:
            return max(now, self._ready_at(now))
        return max(now, self.expires_at)

    def _ready_at(self, now: float) -> float:
        """When the next NOTIFY may go; the last one need not wait for its turn."""
        if self._reason is not None:
            return now
        self._tokens = min(float(BURST), self._tokens + (now - self._counted_at) / self._interval)
        self._counted_at = now
        lacking = 0.0 if self._tokens >= 0.999 else (1.0 - self._tokens) * self._interval
        return max(now + lacking, self._not_before)


def granted(asked: int | None, default: int, least: int = SECONDS_MIN) -> int | None:
    """The lifetime for what a SUBSCRIBE asks (§4.2.1.1); None when it is too brief (423). 0: fetch, or unsubscribe."""
    if asked is None:
        return default
    if 0 < asked < least:
        return None
    return min(asked, SECONDS_MAX)
