"""The only place that reads a clock. Three times are never mixed: `now` (steady), `unix` (wire formats), RTP time."""

import time


class Clock:
    """The machine's clocks; tests and simulations hand in another object with the same two methods."""

    def now(self) -> float:
        """Steady seconds since some fixed moment; for timers and durations."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970; for certificates, records and logs."""
        return time.time()
