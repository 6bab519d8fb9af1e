"""The only place that reads a clock. Three times are never mixed: `now` (steady), `unix` (wire formats), RTP time."""

import time

CLOCK_ERROR_SECONDS_MAX = 60.0
"""A machine's clock that is wrong by no more than this is left as it is; others bear 300 s (`CLOCK_SKEW_SECONDS`)."""

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


class Clock:
    """The machine's clocks; tests and simulations hand in another object with the same methods."""

    correction = 0.0
    """Seconds that `unix` is ahead of the machine's own calendar, which is never set."""

    def now(self) -> float:
        """Steady seconds since some fixed moment; for timers and durations."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970, corrected; for certificates, records and logs."""
        return time.time() + self.correction

    def boot(self) -> float:
        """Steady seconds that go on while the machine sleeps, where the system has such a clock (Linux)."""
        return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)

    def correct(self, seconds: float) -> None:
        """From now on `unix` is the machine's own calendar and `seconds`; 0 goes by the machine alone."""
        self.correction = seconds
