"""Trunks and requests that many tests take."""

from typing import Any

from p2psip.sip.build import make_request
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri, parse_uri
from p2psip.trunks.trunk import Trunk

NUMBER = "+4930123456"


def trunk(**changes: Any) -> Trunk:
    """A trunk with an account, a number of alice's, and Germany as its country."""
    values: dict[str, Any] = {
        "name": "provider",
        "server": SipUri.parse("sip:provider.example"),
        "domain": "provider.example",
        "user": "4930123",
        "password": "s3cret",
        "numbers": {NUMBER: "alice@home.example"},
        "country": "49",
    }
    return Trunk(**values | changes)


def invite(
    uri: str = "sip:4930123@192.0.2.1:5080",
    *headers: tuple[str, str],
    to: str = f"sip:{NUMBER}@provider.example",
    from_: str = '"Bob" <sip:+4989555@provider.example>',
) -> Request:
    """An INVITE as a provider sends it."""
    return make_request(
        "INVITE",
        parse_uri(uri),
        from_=NameAddr.parse(from_).with_tag("t"),
        to=NameAddr(None, parse_uri(to)),
        call_id="c",
        cseq=1,
        headers=[("Contact", "<sip:gw@192.0.2.9>"), *headers],
    )
