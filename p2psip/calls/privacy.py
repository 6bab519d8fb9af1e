"""Callers who do not want to be shown: what they asked for, and what phones are told of them then.

RFC 3323 (Privacy), RFC 3325 §9.3 (`id`). Nodes of the overlay prove who they are to one another and pass the wish on, so they are
what RFC 3325 calls a trust domain; the phone that rings is outside of it.
"""

from p2psip.calls.equipment import Party
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

ANONYMOUS = "anonymous@anonymous.invalid"
VALUES_MAX = 8

_WISHES = frozenset(("id", "user", "header", "session"))


def wants_privacy(request: Request) -> bool:
    """Whether the caller asks not to be named: by Privacy, or by an anonymous From (RFC 3323 §4.1)."""
    values = {v.strip().lower() for line in request.headers.all("Privacy") for v in line.split(";", VALUES_MAX)}
    if "none" in values:
        return False
    uri = request.from_.uri
    return bool(values & _WISHES) or (isinstance(uri, SipUri) and uri.host.lower() == "anonymous.invalid")


def shown_as(caller: Party, flow: Flow, tag: str, *, private: bool) -> NameAddr:
    """The From value towards the other end of `flow`: nodes hear who calls and keep it to themselves."""
    if private and flow.transport != OVERLAY:
        return NameAddr("Anonymous", SipUri.of_address(ANONYMOUS)).with_tag(tag)
    return caller.name_addr(tag)
