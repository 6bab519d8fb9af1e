"""The replay window: which of the numbers that only grow were seen before (the method of RFC 6479, as one integer)."""

from p2psip.base.errors import RemoteError

REPLAY_WINDOW_FRAMES = 512

_MASK = (1 << REPLAY_WINDOW_FRAMES) - 1


class ReplayWindow:
    """Takes each number once, in any order, within REPLAY_WINDOW_FRAMES of the highest one.

    Kept are the numbers that are missing, a bit for each: where frames come in order, that is 0 in the end, which takes no memory.
    In the beginning all are, to infinity: a negative number.
    """

    __slots__ = ("_missing", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._missing = -1

    def check(self, number: int) -> None:
        """RemoteError(409) if the number was seen, or is too far behind to tell. Changes nothing."""
        behind = self.highest - number
        if behind >= 0 and (behind >= REPLAY_WINDOW_FRAMES or not self._missing >> behind & 1):
            raise RemoteError("a frame that was seen before, or is too old", status=409)

    def add(self, number: int) -> None:
        """Remember a number that `check` let pass and that was found authentic."""
        ahead = number - self.highest
        if ahead <= 0:
            self._missing &= ~(1 << -ahead)
            return
        self.highest = number
        missing = (self._missing + 1 << ahead) - 2 if ahead < REPLAY_WINDOW_FRAMES else -2
        self._missing = missing if missing.bit_length() <= REPLAY_WINDOW_FRAMES else missing & _MASK
