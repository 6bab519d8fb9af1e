"""One call over a trunk, outgoing or incoming: what it takes of the caps, how it shows itself, and what it gives back."""

from p2psip.base.core import Address
from p2psip.sip.credentials import Credentials
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri, unescape
from p2psip.trunks.caps import Caps
from p2psip.trunks.identity import present
from p2psip.trunks.line import TrunkLine
from p2psip.trunks.registration import retry_after


class PlacedCall:
    """Fulfils `p2psip.calls.outside.Line`. `member` are the caps of the member of the overlay who calls, if it is not us.

    RemoteError(503) when a cap would be passed, but for an emergency; what was counted is given back by `close`. Calls that
    come in have caps of their own: where UDP proves a provider, others can forge them, and nobody could call out any more.
    The minutes of a member are taken from the first ring on; an emergency needs none.
    `number` is what was called, in the words of the provider.
    """

    def __init__(
        self,
        line: TrunkLine,
        member: Caps | None = None,
        *,
        number: str = "",
        is_emergency: bool = False,
        is_arrival: bool = False,
    ) -> None:
        now, unix = line.clock.now(), line.clock.unix()
        own = line.arrivals if is_arrival else line.caps
        self._caps = [own] if member is None else [own, member]
        for caps in self._caps:
            if not is_emergency:
                caps.check(now, unix)
        for caps in self._caps:
            caps.begin(now)
        self.line = line
        self._number = number
        self._minutes = None if is_emergency else member
        self._taken: float | None = None
        self._taken_unix = unix
        self._ends: float | None = None
        self._is_closed = False
        self._take()
        self.name = f"trunk {line.trunk.name}"
        self.credentials: Credentials | None = line.credentials
        self.codecs = line.trunk.codecs
        self.silent_seconds = line.trunk.answer_seconds

    def contact(self, flow: Flow) -> str:
        """See Line."""
        return self.line.contact(flow)

    def announced_host(self, flow: Flow) -> str | None:
        """See Line."""
        return self.line.announced_host(flow)

    def present(
        self, address: str, account: str | None, request: Request
    ) -> tuple[NameAddr, tuple[tuple[str, str], ...]]:
        """See Line."""
        who = (account, address) if account else (address,)
        shown = present(self.line.trunk, who, request)
        return shown.from_, shown.headers

    def may_redirect(self, uri: SipUri | OtherUri) -> bool:
        """See Line: to the same number at a server that the settings name, and nowhere else."""
        if not isinstance(uri, SipUri) or unescape(uri.user or "") != self._number:
            return False
        if uri.parameter("maddr") is not None:  # it, and not the host, would say where the call goes
            return False
        return uri.host.lower() in self.line.trunk.redirects_to

    def note_failed(
        self, status: int, words: str, *, server: Address | None = None, refusal: Response | None = None
    ) -> None:
        """See Line."""
        seconds = None if refusal is None or status != 503 else retry_after(refusal)
        if server is not None and seconds:
            self.line.servers.rest(server, seconds)
        self.line.note_error(f"a call failed ({status}): {words}")
        if status in (408, 503):
            self.line.health.failed(f"a call failed with {status}", self.line.clock.now())

    def note_answered(self) -> None:
        """See Line."""
        if self._taken is not None and self._ends is None and not self._is_closed:
            self._ends = self.line.clock.now() + self._taken

    def more_seconds(self) -> float | None:
        """See Line."""
        if self._ends is None or self._is_closed:
            return None
        now = self.line.clock.now()
        if self._ends <= now:
            self._take(now - self._ends)
            self._ends += self._taken or 0.0
        return max(0.0, self._ends - now)

    def close(self) -> None:
        """See Line."""
        if self._is_closed:
            return
        self._is_closed = True
        for caps in self._caps:
            caps.end()
        if self._minutes is None or self._taken is None:
            return
        unused = self._taken if self._ends is None else max(0.0, self._ends - self.line.clock.now())
        self._minutes.give_back(min(unused, self._taken), self._taken_unix, self.line.clock.unix())

    def _take(self, talked: float = 0.0) -> None:
        if self._minutes is not None:
            self._taken_unix = self.line.clock.unix()
            self._taken = self._minutes.take(self._taken_unix, talked)
