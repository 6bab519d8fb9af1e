"""How long to wait for an answer, from measured round-trip times (the estimator of RFC 6298 §2)."""

START_SECONDS = 1.0
WAIT_SECONDS_MIN = 0.1
WAIT_SECONDS_MAX = 3.0
GIVE_UP_FACTOR = 2.5
_GRAIN_SECONDS = 0.01


class RoundTrips:
    """Smoothed round trip of all peers together. Times are seconds."""

    __slots__ = ("_smoothed", "_variation", "retransmit_seconds")

    def __init__(self) -> None:
        self._smoothed: float | None = None
        self._variation = 0.0
        self.retransmit_seconds = START_SECONDS  # when to repeat a request once

    def measured(self, seconds: float) -> None:
        """One answer to a request that was sent only once (Karn's rule)."""
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8
        wait = self._smoothed + max(_GRAIN_SECONDS, 4 * self._variation)
        self.retransmit_seconds = min(max(wait, WAIT_SECONDS_MIN), START_SECONDS)

    @property
    def give_up_seconds(self) -> float:
        """When to believe that no answer will come."""
        return min(max(GIVE_UP_FACTOR * self.retransmit_seconds, 0.5), WAIT_SECONDS_MAX)
