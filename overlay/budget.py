"""A budget of events per second: what a stranger may make us spend."""


class Budget:
    """Grants at most `per_second` events each second, and as many at once after a quiet second."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = float(per_second)
        self._left = self._per_second
        self._at: float | None = None

    def spend(self, now: float) -> bool:
        """Take one event from the budget; False if it is used up. `now` is in steady seconds."""
        if self._at is not None and now > self._at:
            self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
