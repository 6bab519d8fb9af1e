"""Making the media path to another node anew within a call: a re-INVITE of our own with a new transport and the same audio.

RFC 8839 §4.4.1 (ICE restart), RFC 3261 §14.1 (one change at a time; after a 491 each side waits for another time). The call does
not end when the other node does not answer in time: whether it is gone is for the media path to say.
"""

from collections.abc import Callable

import trio

from media.legs import NETWORK_CHANGED
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.ends import OverlayEnd
from p2psip.calls.negotiation import Negotiation, glare_pause
from p2psip.calls.sides import Side

RETRY_SECONDS = 2.0
REFUSALS_MAX = 3
PATIENCE_SECONDS = {True: 0.7, False: 1.7}  # by whether the Call-ID is ours

_GONE = 481
_PASSING = (408, 491, 500, 503)


class PathRestarts:
    """Restarts the path to `side` whenever its leg wants that, until it has worked or the call is over.

    `gone` is called when the other node says that it has no such call.
    """

    def __init__(
        self, side: Side, end: OverlayEnd, negotiation: Negotiation, chance: Chance, gone: Callable[[RemoteError], None]
    ) -> None:
        self._side = side
        self._end = end
        self._negotiation = negotiation
        self._chance = chance
        self._gone = gone
        self._refusals = 0

    async def run(self) -> None:
        """Serve until cancelled, or until the other node has refused REFUSALS_MAX times: it cannot restart, then."""
        while self._refusals < REFUSALS_MAX:
            reason = await self._end.wait_restart_wanted()
            self._side.note_said(f"the media path is made anew: {reason}")
            done = self._end.restarts
            await trio.sleep(self._patience(reason))
            while self._end.restarts == done and self._refusals < REFUSALS_MAX:
                await self._try_once(done)

    def _patience(self, reason: str) -> float:
        """Who has moved says so at once. Who only finds the path dead lets the other one go first, and not both at once."""
        return 0.0 if reason == NETWORK_CHANGED else PATIENCE_SECONDS[self._side.owns_call_id]

    async def _try_once(self, done: int) -> None:
        """One attempt, unless the other node was quicker; after one that failed, the pause before the next."""
        await self._negotiation.wait_free()
        if self._end.restarts != done:
            return
        pause = 0.0
        self._negotiation.begin(self)
        try:
            await self._offer()
        except RemoteError as error:
            pause = self._pause_after(error)
        finally:
            self._negotiation.end()
        await trio.sleep(pause)

    async def _offer(self) -> None:
        exchange, response = await self._side.offer(self._end.offer_restart())
        self._side.acknowledge(exchange, response)
        done = self._end.restarts
        self._end.take(response.body, is_offer=False)
        if self._end.restarts == done:
            raise RemoteError(f"{self._side.name} kept its transport", status=488)
        self._refusals = 0

    def _pause_after(self, error: RemoteError) -> float:
        if error.status == _GONE:
            self._gone(error)
        if error.status not in _PASSING:
            self._refusals += 1
        if error.status == 491:
            return glare_pause(self._chance, owns_call_id=self._side.owns_call_id)
        return RETRY_SECONDS
