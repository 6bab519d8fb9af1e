"""Session timers (RFC 4028) of one leg: who refreshes the session, how often, and when a silent peer is given up.

Each leg has its own timer, since a B2BUA ends both sessions itself. Towards a peer without the extension this node refreshes
alone (§7.2), so a phone that vanished over UDP is noticed there too.
"""

from collections.abc import Awaitable, Callable

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import SESSION_SECONDS_MIN
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.extensions import Refresher, SessionExpires, min_se_of, tokens
from p2psip.sip.message import Request, Response

SESSION_SECONDS = 1_800
MARGIN_SECONDS_MAX = 32.0
RETRY_SECONDS = 10.0
RAISES_MAX = 3

_GONE = (408, 481)

Refresh = Callable[[], Awaitable[None]]
"""Sends a refresh; RemoteError when it is refused or not answered."""


class SessionTimer:
    """The timer of one leg. `seconds` is what we ask for; 0 switches it off, unless the peer wants one.

    `interval` is what was agreed on, None without a timer; `we_refresh` tells whose task the refresh is.
    """

    def __init__(self, seconds: int = SESSION_SECONDS) -> None:
        self._wanted = seconds
        self._least = SESSION_SECONDS_MIN
        self._raises = 0
        self._noted = trio.Event()
        self.interval: int | None = None
        self.we_refresh = False

    # What our own requests and responses carry

    def asking(self) -> list[tuple[str, str]]:
        """The header fields of an INVITE or UPDATE of ours (§7.1). Later ones keep the roles, told from this request's side."""
        if not self._wanted and self.interval is None:
            return []
        seconds = max(self.interval or self._wanted, self._least)
        refresher: Refresher | None = None if self.interval is None else "uac" if self.we_refresh else "uas"
        headers = [("Session-Expires", str(SessionExpires(seconds, refresher)))]
        if self._least > SESSION_SECONDS_MIN:
            headers.append(("Min-SE", str(self._least)))
        return headers

    def check(self, request: Request) -> None:
        """RemoteError(422) when a peer that knows the extension wants too short an interval (§9)."""
        asked = SessionExpires.of(request.headers)
        if (
            asked is not None
            and asked.seconds < SESSION_SECONDS_MIN
            and "timer" in tokens(request.headers, "Supported")
        ):
            raise RemoteError(f"a session of {asked.seconds} s is too short", status=422)

    def answer(self, request: Request) -> list[tuple[str, str]]:
        """The header fields of our 2xx to an INVITE or UPDATE (§9, table 2); from here on the interval runs."""
        asked = SessionExpires.of(request.headers)
        knows = "timer" in tokens(request.headers, "Supported")
        if asked is None and not self._wanted:
            self._agree(None, we_refresh=False)
            return []
        least = max(SESSION_SECONDS_MIN, min_se_of(request.headers) or 0)
        wanted = self._wanted or SESSION_SECONDS
        seconds = max(wanted if asked is None else min(asked.seconds, wanted), least)
        by_peer = knows and asked is not None and asked.refresher == "uac"
        self._agree(seconds, we_refresh=not by_peer)
        if not knows:
            return []
        headers = [("Session-Expires", str(SessionExpires(seconds, "uac" if by_peer else "uas")))]
        return [*headers, ("Require", "timer")]

    # What the peer says to our requests

    def note_answer(self, response: Response) -> None:
        """The 2xx to an INVITE or UPDATE of ours (§7.2). Without an interval, the peer refreshes nothing."""
        try:
            said = SessionExpires.of(response.headers)
        except SipSyntaxError:
            said = None
        if said is not None:
            self._agree(max(said.seconds, SESSION_SECONDS_MIN), we_refresh=said.refresher != "uas")
        else:
            self._agree(max(self._wanted, self._least) if self._wanted else None, we_refresh=True)

    def raise_interval(self, response: Response) -> bool:
        """A 422: ask for no less than its Min-SE (§7.3). False when there is no sense in asking again."""
        least = min_se_of(response.headers)
        if least is None or least <= self._least or self._raises >= RAISES_MAX:
            return False
        self._raises += 1
        self._least = least
        if self.interval is not None:
            self.interval = max(self.interval, least)
        return True

    # Running

    async def run(self, refresh: Refresh, *, elapsed: float = 0.0) -> str:
        """Refresh when it is our task; return the reason when the session has expired or the peer has no such call (§10).

        `elapsed` seconds of the interval are over already.
        """
        while True:
            self._noted = noted = trio.Event()
            if self.interval is None:
                await noted.wait()
                continue
            started, interval = trio.current_time() - elapsed, float(self.interval)
            elapsed = 0.0
            due = interval / 2 if self.we_refresh else interval - min(MARGIN_SECONDS_MAX, interval / 3)
            with trio.move_on_at(started + due):
                await noted.wait()
                continue
            if not self.we_refresh:
                return f"no refresh of the session within {interval:g} s"
            reason = await self._refresh_until(started + interval - min(MARGIN_SECONDS_MAX, interval / 3), refresh)
            if reason:
                return reason

    async def _refresh_until(self, end: float, refresh: Refresh) -> str:
        """Try until it works (an empty answer), the peer turns out to be gone, or the session has expired."""
        noted, why = self._noted, "no answer"
        with trio.move_on_at(end):
            while not noted.is_set():
                try:
                    await refresh()
                    return ""
                except RemoteError as error:
                    if error.status in _GONE:
                        return f"the refresh of the session failed: {error}"
                    why = str(error)
                await trio.sleep(RETRY_SECONDS)
            return ""
        return f"the session could not be refreshed: {why}"

    def _agree(self, interval: int | None, *, we_refresh: bool) -> None:
        self.interval, self.we_refresh = interval, we_refresh
        self._noted.set()
