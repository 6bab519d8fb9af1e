"""A budget of events (or bytes) per second: what others may make us spend."""


class Budget:
    """Grants at most `per_second` events each second, and as many at once after a quiet second."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = float(per_second)
        self._left = self._per_second
        self._at: float | None = None

    def spend(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount` events from the budget; False if too few are left. `now` is in steady seconds."""
        if self._at is not None and now > self._at:
            self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True
