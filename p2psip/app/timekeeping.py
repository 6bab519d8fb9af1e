"""The time that a node goes by: the machine's, or the bootstrap server's where the machine's clock is far from it.

The machine's clock is never set. What the server says is kept as a difference (seconds, `Clock.correction`) in the node's
state, so that a start without a bootstrap server has it, too. It is forgotten when the machine's clock has been set right
meanwhile: while the node runs, a jump of that clock against the steady one shows it; after a start, the server's next answer.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from p2psip.app.state import State, StateError
from p2psip.base.errors import RemoteError
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX, Clock

LOOK_SECONDS = 30.0
ASK_SECONDS_MIN = 1_800.0

_log = logging.getLogger(__name__)
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))
_UNIT_LEAST = 2


class Overlay(Protocol):
    """Whose time must be right (`overlay.service.OverlayService`)."""

    is_accepted: bool
    is_refused: bool

    def clock_changed(self) -> None:
        """Go by what the clock says now."""


class Timekeeper:
    """Corrects `clock`, and keeps the correction in `state`."""

    def __init__(self, clock: Clock, state: State) -> None:
        self._clock = clock
        self._state = state
        self._clock.correct(state.clock_correction())
        self._started = clock.unix() - clock.boot()

    async def run(self, overlay: Overlay, ask: Callable[[], Awaitable[float]]) -> None:
        """Look every LOOK_SECONDS until cancelled. Where all refuse what we store, `ask` the server how late we are.

        Who stores nothing, for no phone is registered, hears of no refusal and yet takes live registrations for dead ones: it
        asks, too, and an answer that does not come is no news there.
        """
        asked = wondered = -ASK_SECONDS_MIN
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()
            overlay.clock_changed()
            if overlay.is_refused and trio.current_time() - asked >= ASK_SECONDS_MIN:
                asked = wondered = trio.current_time()
                await self.ask(ask)
            elif not overlay.is_accepted and trio.current_time() - wondered >= ASK_SECONDS_MIN:
                wondered = trio.current_time()
                await self.ask(ask, in_vain=logging.INFO)
            else:
                continue
            overlay.clock_changed()

    def take(self, late: float, overlay: Overlay) -> None:
        """Learn from an answer to something else. RemoteError when all others agree with us: the server's clock is wrong."""
        if overlay.is_accepted and abs(late) > CLOCK_ERROR_SECONDS_MAX:
            words = f"the bootstrap server's clock is {abs(late):.0f} s {'ahead of' if late > 0 else 'behind'} the overlay's"
            raise RemoteError(f"{words}: tell its operator", status=503)
        if self.learn(late):
            overlay.clock_changed()

    async def ask(self, ask: Callable[[], Awaitable[float]], *, in_vain: int = logging.WARNING) -> None:
        """Learn from the bootstrap server; without one all stays as it is, which is logged at the level `in_vain`."""
        try:
            self.learn(await ask())
        except RemoteError as error:
            _log.log(in_vain, "whether this machine's clock is right could not be asked: %s", error)

    def learn(self, late: float) -> bool:
        """The server says that we are this many seconds behind, as corrected so far; whether that changes anything."""
        if abs(late) <= CLOCK_ERROR_SECONDS_MAX:
            return False
        self._correct(self._clock.correction + late)
        return True

    def look(self) -> None:
        """See whether the machine's clock was set since the last look, and go on by the right time all the same.

        With a correction in force, time goes on as before; without one the machine is believed.
        """
        clock = self._clock
        jump = clock.unix() - clock.boot() - self._started
        if clock.correction and abs(jump) > CLOCK_ERROR_SECONDS_MAX:
            self._correct(clock.correction - jump)
        self._started = clock.unix() - clock.boot()

    def _correct(self, seconds: float) -> None:
        """`seconds` in all; so few that the machine's clock is good enough count as none."""
        seconds = seconds if abs(seconds) > CLOCK_ERROR_SECONDS_MAX else 0.0
        self._clock.correct(seconds)
        self._started = self._clock.unix() - self._clock.boot()
        _log.warning("%s", correction_in_words(seconds))
        try:
            self._state.save_clock_correction(seconds)
        except StateError as error:  # a full disk; the server says it again
            _log.error("%s", error)


def correction_in_words(seconds: float) -> str:
    """What a person must know of a correction by so many seconds, and do."""
    if not seconds:
        return "The clock of this machine is right again; this node goes by it."
    size, unit = next((each for each in _UNITS if abs(seconds) >= _UNIT_LEAST * each[0]), (1, "seconds"))
    way = "behind" if seconds > 0 else "ahead"
    much = f"{abs(seconds) / size:.0f} {unit}"
    return (
        f"The clock of this machine is {much} {way}; this node goes by the time of the bootstrap server. Set the clock."
    )
