"""Requests and responses: typed access, what must stand once, writing."""

import pytest

from p2psip.sip.build import REASONS, make_request, make_response
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.headers import CSeq, Headers, NameAddr, Via
from p2psip.sip.message import SECONDS_MAX, Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.uri import SipUri

URI = SipUri.parse("sip:bob@biloxi.example")
ALICE = NameAddr.parse('"Alice" <sip:alice@atlanta.example>;tag=1')
BOB = NameAddr.parse("<sip:bob@biloxi.example>")


def _request(*headers: tuple[str, str], method: str = "INVITE", body: bytes = b"") -> Request:
    lines = (("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), *headers)
    return make_request(method, URI, from_=ALICE, to=BOB, call_id="c@h", cseq=7, headers=lines, body=body)


def test_a_request_as_it_is_written() -> None:
    request = _request(("Contact", "<sip:a@h>"), body=b"x\r\n\0")
    assert request.to_bytes() == (
        b"INVITE sip:bob@biloxi.example SIP/2.0\r\n"
        b"Max-Forwards: 70\r\n"
        b'From: "Alice" <sip:alice@atlanta.example>;tag=1\r\n'
        b"To: <sip:bob@biloxi.example>\r\n"
        b"Call-ID: c@h\r\n"
        b"CSeq: 7 INVITE\r\n"
        b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
        b"Contact: <sip:a@h>\r\n"
        b"Content-Length: 4\r\n"
        b"\r\n"
        b"x\r\n\0"
    )


def test_typed_access() -> None:
    message = _request(
        ("Route", "<sip:r1;lr>, <sip:r2;lr>"), ("Route", "<sip:r3;lr>"), ("Content-Type", "Text/Plain ;charset=x")
    )
    assert message.vias == (Via.parse("SIP/2.0/UDP h;branch=z9hG4bK1"),)
    assert (message.from_, message.to, message.call_id, message.cseq) == (ALICE, BOB, "c@h", CSeq(7, "INVITE"))
    assert [str(route.uri) for route in message.routes] == ["sip:r1;lr", "sip:r2;lr", "sip:r3;lr"]
    assert (message.record_routes, message.contacts, message.expires) == ((), (), None)
    assert (message.max_forwards, message.content_type) == (70, "text/plain")


def test_typed_values_follow_changes() -> None:
    message = _request()
    assert message.to == BOB
    message.headers.set("To", str(BOB.with_tag("9")))
    assert message.to.tag == "9"
    message.headers.insert_first("Via", "SIP/2.0/TCP i;branch=z9hG4bK2")
    assert message.top_via.host == "i"


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
@pytest.mark.parametrize("change", ["missing", "empty", "twice"])
def test_what_must_stand_once_stands_once(name: str, change: str) -> None:
    message = _request()
    value = message.headers.get(name) or ""
    if change == "missing":
        message.headers.remove(name)
    elif change == "empty":
        message.headers.set(name, "")
    else:
        message.headers.add(name, value)
    with pytest.raises(SipSyntaxError):
        getattr(message, {"From": "from_", "To": "to", "CSeq": "cseq", "Call-ID": "call_id"}[name])


def test_a_message_without_a_via_has_no_top_via() -> None:
    message = _request()
    message.headers.remove("Via")
    assert message.vias == ()
    with pytest.raises(SipSyntaxError):
        _ = message.top_via


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("255", 255), (" 070 ", 70), ("0000000001", 1)])
def test_max_forwards(text: str, number: int) -> None:
    message = _request()
    message.headers.set("Max-Forwards", text)
    assert message.max_forwards == number


@pytest.mark.parametrize("text", ["", "-1", "256", "x", "1 2", "٣", "00000000001", "²"])
def test_a_malformed_max_forwards_is_an_error(text: str) -> None:
    message = _request()
    message.headers.set("Max-Forwards", text)
    with pytest.raises(SipSyntaxError):
        _ = message.max_forwards


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("3600", 3600),
        (str(SECONDS_MAX + 1), SECONDS_MAX),
        ("-1", None),
        ("x", None),
        ("9" * 11, None),
        ("", None),
    ],
)
def test_expires_is_none_when_malformed(text: str, seconds: int | None) -> None:
    assert _request(("Expires", text)).expires == seconds


def test_a_star_contact_stands_alone() -> None:
    assert _request(("Contact", " * ")).is_star_contact
    assert _request(("Contact", "*")).contacts == ()
    both = _request(("Contact", "*"), ("Contact", "<sip:a@h>"))
    assert not both.is_star_contact
    with pytest.raises(SipSyntaxError):
        _ = both.contacts


def test_a_copy_of_a_request_is_independent() -> None:
    request = _request()
    copy = request.copy()
    copy.headers.set("To", "<sip:x@h>")
    assert request.to == BOB


def test_bytes_that_are_no_utf_8_pass_unchanged() -> None:
    wire = _request().to_bytes().replace(b'"Alice"', b'"\xff\xfe"').replace(b"c@h", b"c\x80@h")
    assert parse_message(wire).to_bytes() == wire


def test_a_response_copies_what_rfc_3261_8_2_6_2_lists() -> None:
    request = _request(
        ("Via", "SIP/2.0/UDP i"), ("Record-Route", "<sip:r;lr>"), ("Contact", "<sip:a@h>"), ("Subject", "x")
    )
    ok = make_response(request, 200, to_tag="t", body=b"b", content_type="text/plain", headers=(("Server", "s"),))
    assert (ok.status, ok.reason, ok.body, ok.content_type) == (200, "OK", b"b", "text/plain")
    assert (ok.vias, ok.from_, ok.call_id, ok.cseq) == (request.vias, request.from_, request.call_id, request.cseq)
    assert (ok.to.tag, len(ok.record_routes), ok.contacts, ok.headers.get("Subject")) == ("t", 1, (), None)
    assert make_response(request, 404).record_routes == ()
    assert make_response(request, 100, to_tag="t").to.tag is None


def test_a_tag_of_the_request_stays_in_the_response() -> None:
    request = _request()
    request.headers.set("To", str(BOB.with_tag("old")))
    assert make_response(request, 200, to_tag="new").to.tag == "old"


@pytest.mark.parametrize("status", sorted(REASONS))
def test_every_status_can_be_written_and_read(status: int) -> None:
    found = parse_message(make_response(_request(), status, to_tag="t").to_bytes())
    assert isinstance(found, Response)
    assert (found.status, found.reason) == (status, REASONS[status])


def test_an_unknown_status_has_a_reason_too() -> None:
    assert make_response(_request(), 499).reason == "Unknown"
    assert make_response(_request(), 499, "").reason == ""


def test_messages_show_themselves() -> None:
    assert repr(_request()) == "<Request INVITE sip:bob@biloxi.example>"
    assert repr(Response(200, "OK", Headers())) == "<Response 200 OK>"
