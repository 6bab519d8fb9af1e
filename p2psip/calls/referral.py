"""What a REFER asks for, and the reports to whoever sent it.

RFC 3515 (REFER, its implicit subscription, message/sipfrag), RFC 4488 (no subscription), RFC 3892 (Referred-By), RFC 6665 §4.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.replacing import Replaces
from p2psip.sip.build import REASONS
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import OtherUri, SipUri

SUBSCRIPTION_SECONDS = 180
NOTIFY_SECONDS_MAX = 32.0
REPORTS_QUEUED_MAX = 16

SendInDialog = Callable[[str, list[tuple[str, str]], bytes, str], ClientExchange]
"""(method, header fields, body, content type)."""


@dataclass(frozen=True, slots=True)
class Referral:
    """Whom to call, which call the new one replaces, and whether reports are wanted."""

    target: SipUri | OtherUri
    replaces: Replaces | None
    wants_reports: bool

    @classmethod
    def of_request(cls, request: Request) -> "Referral":
        """What `request` asks for; RemoteError(400) without exactly one Refer-To, 403 when it asks for more than a call.

        Header fields of the Refer-To but Replaces count for nothing: a phone does not write our INVITEs.
        """
        values = request.headers.all("Refer-To")
        if len(values) != 1:
            raise SipSyntaxError("a REFER needs exactly one Refer-To")
        uri = NameAddr.parse(values[0]).uri
        wants_reports = (request.headers.get("Refer-Sub") or "true").partition(";")[0].strip().lower() != "false"
        if isinstance(uri, OtherUri):
            if uri.scheme != "tel":
                raise RemoteError(f"the scheme {uri.scheme!r} is not supported", status=416)
            return cls(uri, None, wants_reports)
        if (uri.parameter("method") or "INVITE").upper() != "INVITE":
            raise RemoteError("a REFER may ask for a call and nothing else", status=403)
        target = replace(uri.without_parameter("method"), headers=())
        return cls(target, Replaces.of_uri(uri), wants_reports)


class Reports:
    """The subscription that a REFER makes: a NOTIFY for each step of the new call, in order, until the last.

    `event` is the value of Event; nothing is sent when reports are not wanted, nor after one was refused.
    """

    def __init__(self, send: SendInDialog, event: str, *, is_wanted: bool) -> None:
        self._send_request = send
        self._event = event
        self._is_wanted = is_wanted
        self._last = 0
        self._queue, self._taken = trio.open_memory_channel[tuple[int, str, bool]](math.inf)
        self.is_over = False

    def tell(self, status: int, reason: str = "") -> None:
        """Report one response of the new call; a final one ends the subscription, and each status is told once in a row.

        Beyond REPORTS_QUEUED_MAX that wait for their turn only the final one is kept.
        """
        is_full = status < 200 and self._queue.statistics().current_buffer_used >= REPORTS_QUEUED_MAX
        if self.is_over or status == self._last or is_full:
            return
        self._last = status
        self.is_over = status >= 200
        if self._is_wanted:
            self._queue.send_nowait((status, reason or REASONS.get(status, "Unknown"), self.is_over))
        if self.is_over:
            self._queue.close()

    async def run(self) -> None:
        """Send what is told, until the final report."""
        async for status, reason, is_last in self._taken:
            state = "terminated;reason=noresource" if is_last else f"active;expires={SUBSCRIPTION_SECONDS}"
            headers = [("Event", self._event), ("Subscription-State", state)]
            body = f"SIP/2.0 {status} {reason}\r\n".encode("utf-8", "replace")
            exchange = self._send_request("NOTIFY", headers, body, "message/sipfrag;version=2.0")
            if not await _is_taken(exchange):
                self._is_wanted = False
                self._taken.close()
                return


async def _is_taken(exchange: ClientExchange) -> bool:
    with trio.move_on_after(NOTIFY_SECONDS_MAX):
        try:
            return (await exchange.final_response()).status < 300
        except RemoteError:
            return False
    return False
