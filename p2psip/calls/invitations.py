"""The INVITEs that a call sends to the places where it rings (RFC 3261 §13.2.1)."""

from p2psip.calls.answers import ALLOWED_METHODS
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.privacy import ANONYMOUS, shown_as, wants_privacy
from p2psip.calls.searching import presented_to
from p2psip.calls.session_timer import SessionTimer
from p2psip.calls.sides import SDP
from p2psip.calls.targets import Target
from p2psip.sip.build import MAX_FORWARDS, make_request
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import OVERLAY
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

_PASSED_ON = ("Subject", "Privacy")
_DIVERTED = ("History-Info", "Diversion")


class Invitations:
    """Makes them out of the INVITE of the caller. `is_diverted`: this node itself has redirected it."""

    def __init__(self, equipment: Equipment, invite: Request, caller: Party, *, is_diverted: bool = False) -> None:
        self._equipment = equipment
        self._invite = invite
        self._caller = caller
        self._private = wants_privacy(invite)
        self._passed_on = _PASSED_ON + (_DIVERTED if is_diverted or caller.is_node else ())

    def contact(self, target: Target) -> str:
        """Our Contact value towards `target`."""
        hidden = self._private and target.flow.transport != OVERLAY
        return self._equipment.contact(ANONYMOUS if hidden else self._caller.address, target.flow, target.line)

    def make(self, target: Target, body: bytes, timer: SessionTimer, *, reliable: bool) -> Request:
        """The INVITE for `target`; with `reliable` its provisional responses may be (RFC 3262 §4)."""
        hops = self._invite.max_forwards
        headers = [("Contact", self.contact(target)), ("Allow", ALLOWED_METHODS)]
        headers += [("Supported", "100rel, timer" if reliable else "timer"), *timer.asking()]
        headers += [pair for pair in self._invite.headers if pair[0] in self._passed_on]
        headers += self._referrer(target)
        from_ = shown_as(self._caller, target.flow, self._equipment.tag(), private=self._private)
        to = SipUri.of_address(target.address)
        presented = presented_to(self._equipment, self._caller, target, self._invite)
        if presented is not None:
            from_ = presented[0].with_tag(from_.tag or "")
            headers = [pair for pair in headers if pair[0] not in ("Privacy", *_DIVERTED)] + list(presented[1])
        if target.line is not None:
            to = target.uri
        request = make_request(
            "INVITE",
            target.uri,
            from_=from_,
            to=NameAddr(None, to),
            call_id=self._equipment.call_id(),
            cseq=1,
            max_forwards=(MAX_FORWARDS if hops is None else hops) - 1,
            headers=headers,
            body=body,
            content_type=SDP if body else None,
        )
        if target.line is not None and target.line.credentials is not None:
            target.line.credentials.attach(request)
        return request

    def _referrer(self, target: Target) -> list[tuple[str, str]]:
        """Referred-By (RFC 3892) where it names the caller, whom this node or theirs has proved: anybody can write another name.

        So it goes with a transfer by a person of the overlay, and never with what strangers and providers say, nor with who
        does not want to be shown, nor to providers, who know no name of the overlay. Its tokens (§5) are not passed on.
        """
        claimed = self._invite.headers.get("Referred-By")
        is_hidden = self._private and target.flow.transport != OVERLAY
        if claimed is None or is_hidden or target.line is not None or self._caller.kind not in ("phone", "node"):
            return []
        try:
            uri = NameAddr.parse(claimed).uri
        except SipSyntaxError:
            return []
        address = self._caller.address
        return [("Referred-By", f"<sip:{address}>")] if isinstance(uri, SipUri) and uri.address == address else []
