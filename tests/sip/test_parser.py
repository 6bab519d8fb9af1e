"""Bytes to a message: what is refused, with which status, and when it can be answered; bounds."""

import pytest

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import LIST_ITEMS_MAX
from p2psip.sip.message import Message, Request, Response
from p2psip.sip.parser import HEADER_LINES_MAX, MESSAGE_BYTES_MAX, parse_message

LINES = (
    b"Via: SIP/2.0/UDP h;branch=z9hG4bK1",
    b"From: <sip:a@h>;tag=1",
    b"To: <sip:b@h>",
    b"Call-ID: c",
    b"CSeq: 1 OPTIONS",
)
RUN = 60_000


def _wire(*more: bytes, start: bytes = b"OPTIONS sip:b@h SIP/2.0", body: bytes = b"", leave: bytes = b"-") -> bytes:
    kept = [line for line in LINES if not line.startswith(leave)]
    return b"\r\n".join([start, *kept, *more]) + b"\r\n\r\n" + body


def _refused(data: bytes) -> SipSyntaxError:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(data)
    return caught.value


def _request(data: bytes) -> Request:
    found = parse_message(data)
    assert isinstance(found, Request)
    return found


def test_the_least_request() -> None:
    found = _request(_wire())
    assert (found.method, str(found.uri), found.body, found.max_forwards) == ("OPTIONS", "sip:b@h", b"", None)


def test_the_least_response() -> None:
    found = parse_message(_wire(start=b"sip/2.0 699"))
    assert isinstance(found, Response)
    assert (found.status, found.reason) == (699, "")


def test_empty_lines_before_the_start_line_are_skipped() -> None:
    assert _request(b"\r\n\r\n\r\n" + _wire()).method == "OPTIONS"


@pytest.mark.parametrize(
    ("length", "body"), [(b"Content-Length: 3", b"abc"), (b"l:0", b""), (b"L : 005", b"abcde"), (b"X: y", b"abcdef")]
)
def test_the_body_ends_at_content_length_or_with_the_datagram(length: bytes, body: bytes) -> None:
    assert _request(_wire(length, body=b"abcdef")).body == body


@pytest.mark.parametrize("length", [b"7", b"-1", b"+1", b"x", b"", b"1 1", b"1,1", b"0x1", b"9" * 5000, "٣".encode()])
def test_a_wrong_content_length_is_refused(length: bytes) -> None:
    assert _refused(_wire(b"Content-Length: " + length, body=b"abcdef")).status == 400


def test_folded_lines_are_one_line() -> None:
    found = _request(_wire(b"Subject: a \t\r\n \tb\r\n\tc", b"X:\r\n y"))
    assert (found.headers.get("Subject"), found.headers.get("X")) == ("a b c", "y")


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_request_without_a_mandatory_field_is_refused_and_cannot_be_answered(name: bytes) -> None:
    error = _refused(_wire(leave=name))
    assert (error.status, error.request) == (400, None)


@pytest.mark.parametrize("name", [b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_request_with_a_mandatory_field_twice_is_refused(name: bytes) -> None:
    again = next(line for line in LINES if line.startswith(name))
    error = _refused(_wire(again))
    assert error.status == 400
    assert error.request is not None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (b"From", b"From: x"),
        (b"To", b'To: "x <sip:b@h>'),
        (b"CSeq", b"CSeq: 1 INVITE"),
        (b"CSeq", b"CSeq: 2147483648 OPTIONS"),
        (b"-", b"Max-Forwards: 256"),
        (b"-", b"Contact: <sip:"),
        (b"-", b"Route: x"),
        (b"-", b"Record-Route: <>"),
        (b"-", b"No colon here"),
        (b"-", b": no name"),
        (b"-", b"Bad name : x"),
        (b"-", b"X: a\rb"),
        (b"-", b"X: a\nVia: b"),
        (b"-", b"X: a\0b"),
    ],
)
def test_a_broken_line_is_refused_and_answered(name: bytes, line: bytes) -> None:
    error = _refused(_wire(line, leave=name))
    assert error.status == 400
    assert error.request is not None
    assert error.request.call_id == "c"


def test_an_unreadable_via_leaves_nobody_to_answer() -> None:
    assert _refused(_wire(b"Via: x", leave=b"Via")).request is None


def test_an_ack_is_never_answered() -> None:
    assert _refused(_wire(b"CSeq: 2 ACK", b"X", start=b"ACK sip:b@h SIP/2.0", leave=b"CSeq")).request is None


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"OPTIONS sip:b@h SIP/3.0", 505),
        (b"OPTIONS sip:b@h SIP/2.1", 505),
        (b"OPTIONS sip:b@h HTTP/1.1", 400),
        (b"OPTIONS sip:b@h", 400),
        (b"OPTIONS", 400),
        (b"", 400),
        (b"OPTIONS  sip:b@h SIP/2.0", 400),
        (b"OPTIONS sip:b@h SIP/2.0 ", 400),
        (b" OPTIONS sip:b@h SIP/2.0", 400),
        (b"OPT(IONS sip:b@h SIP/2.0", 400),
        (b"OPTIONS sip: SIP/2.0", 400),
        (b"OPTIONS sip:b@h?x=y SIP/2.0", 400),
        (b"OPTIONS sip:" + b"b" * 2048 + b"@h SIP/2.0", 414),
    ],
)
def test_a_broken_start_line_is_refused(start: bytes, status: int) -> None:
    assert _refused(_wire(start=start)).status == status


@pytest.mark.parametrize(
    "start",
    [
        b"SIP/2.0",
        b"SIP/2.0 ",
        b"SIP/2.0 99 x",
        b"SIP/2.0 099 x",
        b"SIP/2.0 700 x",
        b"SIP/2.0 2000 x",
        b"SIP/2.0 200x",
        b"SIP/2.0  200 OK",
        b"SIP/3.0 200 OK",
        b"SIP/2.0 200 O\nK",
        b"SIP/2.0 200 O\rK",
        b"SIP/2.0 200 O\0K",
    ],
)
def test_a_broken_status_line_is_dropped(start: bytes) -> None:
    assert _refused(_wire(start=start)).request is None


def test_a_broken_response_is_dropped() -> None:
    assert _refused(_wire(b"X", start=b"SIP/2.0 200 OK")).request is None


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"x", b"OPTIONS sip:b@h SIP/2.0\r\nVia: x\r\n", b"\0" * 100])
def test_a_datagram_without_an_end_of_header_fields_is_refused(data: bytes) -> None:
    assert _refused(data).request is None


def test_a_message_may_be_so_large_and_no_larger() -> None:
    full = MESSAGE_BYTES_MAX - len(_wire())
    assert len(_request(_wire(body=b"x" * full)).body) == full
    error = _refused(_wire(body=b"x" * (full + 1)))
    assert (error.status, error.request) == (513, None)


def test_a_message_may_have_so_many_lines_and_no_more() -> None:
    room = HEADER_LINES_MAX - len(LINES) - 1
    assert len(_request(_wire(*[b"X: y"] * room)).headers.all("X")) == room
    assert _refused(_wire(*[b"X: y"] * (room + 1))).status == 400


def test_a_via_may_have_so_many_values_and_no_more() -> None:
    values = b"Via: " + b",".join([b"SIP/2.0/UDP h"] * LIST_ITEMS_MAX)
    assert len(_request(_wire(values, leave=b"Via")).vias) == LIST_ITEMS_MAX
    assert _refused(_wire(values + b",SIP/2.0/UDP h", leave=b"Via")).status == 400


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\r\n b" + b" " * RUN + b"x",
        b"Contact: a" + b" " * RUN + b"b",
        b"Contact: " + b"\x0b" * RUN + b"b",
        b"X: \n" + b"\\" * RUN,
        b"X: a\r\n" + b" \r\n" * (RUN // 3) + b" b",
    ],
)
def test_a_long_run_takes_linear_time(line: bytes) -> None:
    try:
        found: Message | None = parse_message(_wire(line))
    except SipSyntaxError:
        found = None
    assert found is None or found.headers.get("X")
