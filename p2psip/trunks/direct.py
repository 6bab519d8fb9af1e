"""One call straight to the servers of another domain (RFC 3263), in the name of our own domain, where it can be answered by SRV."""

from p2psip.base.core import Address
from p2psip.calls.privacy import ANONYMOUS, wants_privacy
from p2psip.sip.credentials import Credentials
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

SILENT_SECONDS = 4.0


class DirectCall:
    """Fulfils `p2psip.calls.outside.Line` where there is no provider: no password, no caps, no redirection."""

    credentials: Credentials | None = None
    codecs: tuple[str, ...] = ()
    silent_seconds = SILENT_SECONDS

    def __init__(self, home: str, name: str) -> None:
        self._home = home
        self.name = name

    def contact(self, flow: Flow) -> str:
        """See Line."""
        host = f"[{flow.local[0]}]" if ":" in flow.local[0] else flow.local[0]
        transport = () if flow.transport == "udp" else (("transport", flow.uri_transport),)
        return f"<{SipUri('sip', None, None, host, flow.local[1] or None, transport)}>"

    def announced_host(self, flow: Flow) -> str | None:
        """See Line."""
        return None

    def present(
        self, address: str, account: str | None, request: Request
    ) -> tuple[NameAddr, tuple[tuple[str, str], ...]]:
        """See Line: the name of the caller at our domain, as the open world may call it back."""
        if wants_privacy(request):
            return NameAddr("Anonymous", SipUri.of_address(ANONYMOUS)), (("Privacy", "id"),)
        user = address.partition("@")[0]
        return NameAddr(request.from_.display, SipUri.of_address(f"{user}@{self._home}")), ()

    def may_redirect(self, uri: SipUri | OtherUri) -> bool:
        """See Line."""
        return False

    def note_failed(
        self, status: int, words: str, *, server: Address | None = None, refusal: Response | None = None
    ) -> None:
        """See Line: nobody keeps the health of strangers' servers."""

    def note_answered(self) -> None:
        """See Line."""

    def more_seconds(self) -> float | None:
        """See Line."""
        return None

    def close(self) -> None:
        """See Line."""
