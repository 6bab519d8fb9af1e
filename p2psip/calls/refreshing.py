"""The refresh of a session (RFC 4028 §7.4): an UPDATE without a description, or a re-INVITE with the one that stands."""

import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.negotiation import Negotiation, glare_pause
from p2psip.calls.sides import Side

GLARES_MAX = 8

_NO_UPDATE = (405, 415, 420, 488, 501)


class Refreshing:
    """Refreshes the session of one side. UPDATE is left for good when the side turns out not to serve it."""

    def __init__(self, side: Side, negotiation: Negotiation, chance: Chance) -> None:
        self._side = side
        self._negotiation = negotiation
        self._chance = chance
        self._refuses_update = False

    async def refresh(self) -> None:
        """One refresh; RemoteError when it fails."""
        for _ in range(GLARES_MAX):
            try:
                await self._once()
                return
            except RemoteError as error:
                if error.status != 491:
                    raise
            await trio.sleep(glare_pause(self._chance, owns_call_id=self._side.owns_call_id))
        raise RemoteError(f"{self._side.name} is changing the call all the time", status=491)

    async def _once(self) -> None:
        if self._side.allows("UPDATE") and not self._refuses_update:
            try:
                await self._side.offer(b"", method="UPDATE")
                return
            except RemoteError as error:
                if error.status not in _NO_UPDATE:
                    raise
                self._refuses_update = True
        await self._negotiation.wait_free()
        self._negotiation.begin(self)
        try:
            await self._reinvite()
        finally:
            self._negotiation.end()

    async def _reinvite(self) -> None:
        end = self._side.end
        assert end.said is not None
        exchange, response = await self._side.offer(end.write(end.said, is_offer=True))
        self._side.acknowledge(exchange, response)
        end.take(response.body, is_offer=False)
