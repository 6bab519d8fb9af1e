"""Who changes a call at present: one change at a time, and how long to wait after a collision.

RFC 3261 §14.1 and §14.2, RFC 3311 §5.2.
"""

import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError

GLARE_SECONDS = {True: (2.1, 4.0), False: (0.0, 2.0)}  # §14.1: by whether the Call-ID is ours; in steps of 10 ms


class Negotiation:
    """Who changes the call at present. One at a time: others get 491, the same side a second time 500 (§14.2)."""

    def __init__(self) -> None:
        self._by: object | None = None
        self._free = trio.Event()
        self._free.set()

    def begin(self, by: object) -> None:
        """A change by `by` (a side of the call, or this node itself) begins; RemoteError(491 or 500) during another one."""
        if self._by is not None:
            raise RemoteError("another change of this call is under way", status=500 if self._by is by else 491)
        self._by = by
        self._free = trio.Event()

    def end(self) -> None:
        """The change is made, or refused."""
        self._by = None
        self._free.set()

    async def wait_free(self) -> None:
        """Return when nobody changes the call."""
        while self._by is not None:
            await self._free.wait()


def glare_pause(chance: Chance, *, owns_call_id: bool) -> float:
    """Seconds until the next try after a 491."""
    return round(chance.uniform(*GLARE_SECONDS[owns_call_id]), 2)
