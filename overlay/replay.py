"""The replay window: which of the numbers that only grow were seen before (the method of RFC 6479, as one integer)."""

from p2psip.base.errors import RemoteError

REPLAY_WINDOW_FRAMES = 512

_MASK = (1 << REPLAY_WINDOW_FRAMES) - 1


class ReplayWindow:
    """Takes each number once, in any order, within REPLAY_WINDOW_FRAMES of the highest one."""

    __slots__ = ("_seen", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._seen = 0

    def check(self, number: int) -> None:
        """RemoteError(409) if the number was seen, or is too far behind to tell. Changes nothing."""
        behind = self.highest - number
        if behind >= 0 and (behind >= REPLAY_WINDOW_FRAMES or self._seen >> behind & 1):
            raise RemoteError("a frame that was seen before, or is too old", status=409)

    def add(self, number: int) -> None:
        """Remember a number that `check` let pass and that was found authentic."""
        ahead = number - self.highest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        self._seen = (self._seen << ahead | 1) & _MASK if ahead < REPLAY_WINDOW_FRAMES else 1
        self.highest = number
