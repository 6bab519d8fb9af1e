"""The only place that reads a clock. Three times are never mixed: `now` (steady), `unix` (wire formats), RTP time."""

import time

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


class Clock:
    """The machine's clocks; tests and simulations hand in another object with the same two methods."""

    def now(self) -> float:
        """Steady seconds since some fixed moment; for timers and durations."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970; for certificates, records and logs."""
        return time.time()

    def boot(self) -> float:
        """Steady seconds that go on while the machine sleeps, where the system has such a clock (Linux)."""
        return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)
