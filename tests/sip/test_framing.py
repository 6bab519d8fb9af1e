"""Streams cut into messages: split anywhere, keep-alives, bounds, and what loses the stream."""

import pytest

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.framing import HEAD_BYTES_MAX, PONG, StreamFramer
from p2psip.sip.parser import MESSAGE_BYTES_MAX
from tests.sip.corpus import CORPUS

START = b"OPTIONS sip:a@h SIP/2.0\r\n"
FIRST = START + b"Content-Length: 4\r\n\r\nbody"
SECOND = b"SIP/2.0 200 OK\r\nl:0\r\nX: y\r\n\r\n"


def _drain(framer: StreamFramer) -> list[bytes]:
    return list(iter(framer.next_message, None))


def _cut(*pieces: bytes) -> tuple[list[bytes], int]:
    framer, found = StreamFramer(), list[bytes]()
    for piece in pieces:
        framer.feed(piece)
        found += _drain(framer)
    return found, framer.pings


@pytest.mark.parametrize("at", range(len(FIRST + SECOND) + 1))
def test_a_stream_may_be_split_anywhere(at: int) -> None:
    stream = FIRST + SECOND
    assert _cut(stream[:at], stream[at:]) == ([FIRST, SECOND], 0)


def test_a_stream_may_come_byte_by_byte_with_keep_alives_between() -> None:
    stream = b"\r\n\r\n" + FIRST + b"\r\n\r\n\r\n\r\n" + SECOND + b"\r\n" + FIRST + b"\r\n\r\n"
    assert _cut(*(bytes([byte]) for byte in stream)) == ([FIRST, SECOND, FIRST], 4)
    assert _cut(stream) == ([FIRST, SECOND, FIRST], 4)


@pytest.mark.parametrize("at", range(12))
def test_empty_lines_between_messages_are_keep_alives_wherever_they_are_split(at: int) -> None:
    between = b"\r\n\r\n\r\n\r\n\r\n"
    stream = between + FIRST
    assert _cut(stream[:at], stream[at:]) == ([FIRST], 2)


def test_a_keep_alive_is_counted_as_soon_as_it_is_whole() -> None:
    framer = StreamFramer()
    for byte, pings in zip(b"\r\n\r\n", (0, 0, 0, 1), strict=True):
        framer.feed(bytes([byte]))
        assert framer.next_message() is None
        assert framer.pings == pings
    assert PONG == b"\r\n"


def test_a_body_may_look_like_a_keep_alive_or_a_message() -> None:
    message = START + b"Content-Length: %d\r\n\r\n" % (len(FIRST) + 4) + b"\r\n\r\n" + FIRST
    assert _cut(message + SECOND) == ([message, SECOND], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 2",
        b"CONTENT-LENGTH:2",
        b"content-length \t:\t 2 \t",
        b"l:2",
        b"L : 002",
        b"Content-Length:\r\n 2",
        b"Content-Length: \r\n\t2\r\n ",
        b"X: y\r\nl: 2",
        b"X: y\r\n l: 9\r\nl: 2",
        b"X-l: 9\r\nl: 2",
        b"l: 2\r\nX: l: 9",
    ],
)
def test_content_length_in_all_its_spellings(line: bytes) -> None:
    message = START + line + b"\r\n\r\nab"
    assert _cut(message + SECOND) == ([message, SECOND], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"X: y",
        b"X: y\r\n l: 2",
        b"Content-Length:",
        b"Content-Length: x",
        b"Content-Length: -1",
        b"Content-Length: 1 1",
        b"Content-Length: 1\r\n 1",
        b"Content-Length: 1,1",
        b"Content-Length: 1\r\nl: 1",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 0000000002",
    ],
)
def test_without_one_readable_content_length_the_stream_is_lost(line: bytes) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        _cut(START + line + b"\r\n\r\nab")
    assert caught.value.status == 400


def test_a_message_may_be_so_large_and_no_larger() -> None:
    head = START + b"Content-Length: 65000\r\nX: \r\n\r\n"
    message = head.replace(b"X: ", b"X: " + b"y" * (MESSAGE_BYTES_MAX - 65_000 - len(head))) + b"z" * 65_000
    assert len(message) == MESSAGE_BYTES_MAX
    assert _cut(message[:-1], message[-1:]) == ([message], 0)
    with pytest.raises(SipSyntaxError) as caught:
        _cut(message.replace(b"65000", b"65001"))
    assert caught.value.status == 513


def test_a_message_that_says_it_is_too_large_is_refused_before_it_has_come() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        _cut(START + b"Content-Length: 999999999\r\n\r\n")
    assert caught.value.status == 513


def test_header_fields_may_be_so_large_and_no_larger() -> None:
    start = START + b"l: 0\r\nX: "
    longest = start + b"y" * (HEAD_BYTES_MAX - len(start)) + b"\r\n\r\n"
    for pieces in ([longest], [longest[:-1], longest[-1:]], [longest[:-4], longest[-4:]]):
        assert _cut(*pieces) == ([longest], 0)
    for pieces in ([b"y".join((start, longest.removeprefix(start)))], [longest[:-4] + b"yyyy"]):
        with pytest.raises(SipSyntaxError) as caught:
            _cut(*pieces)
        assert caught.value.status == 513


@pytest.mark.parametrize(
    "run", [b"\r\n \r" * 4000, b"l:" * 8000, b"\r\nl:" * 4000, b"\r\nl:" + b" " * 16_000, b"\r\nl:1" + b"\r\n " * 5000]
)
def test_long_runs_are_refused_in_linear_time(run: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        _cut(START + run + b"x\r\n\r\n")


def test_every_message_of_rfc_4475_in_one_stream() -> None:
    whole = [
        wire
        for name, wire in CORPUS.items()
        if name not in ("clerr", "ncl", "mcl01", "inv2543", "dblreq")  # those whose length is wrong, or unsaid
    ]
    assert _cut(b"\r\n\r\n".join(whole)) == (whole, len(whole) - 1)


def test_two_requests_in_one_datagram_are_two_on_a_stream() -> None:
    framer = StreamFramer()
    framer.feed(CORPUS["dblreq"])
    first, second = framer.next_message(), framer.next_message()
    assert first is not None
    assert second is not None
    assert (first[:8], second[:6]) == (b"REGISTER", b"INVITE")


@pytest.mark.parametrize("name", ["ncl", "mcl01", "inv2543"])
def test_messages_of_rfc_4475_that_lose_the_stream(name: str) -> None:
    with pytest.raises(SipSyntaxError):
        _cut(CORPUS[name])


def test_a_message_shorter_than_it_says_waits_for_the_rest() -> None:
    assert _cut(CORPUS["clerr"]) == ([], 0)
