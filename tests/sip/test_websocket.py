"""SIP in WebSockets: the handshake, messages in one or many frames, keep-alives, bounds, endings, garbage."""

import contextlib
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from p2psip.sip import connections
from p2psip.sip.connections import Door
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.parser import MESSAGE_BYTES_MAX
from p2psip.sip.websocket import HTTP_BYTES_MAX, PARTS_MAX, WebSocketFraming
from tests.sip.test_connections import drip, ends, host

SIP = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\n\r\n"
PIECES = 7


class Browser:
    """A WebSocket client in memory."""

    def __init__(self, *subprotocols: str) -> None:
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.hello = self.connection.send(Request(host="node", target="/", subprotocols=list(subprotocols)))

    def hear(self, data: bytes) -> list[Event]:
        self.connection.receive_data(data)
        return list(self.connection.events())

    def say(self, event: Event) -> bytes:
        return self.connection.send(event)


def opened() -> tuple[Browser, WebSocketFraming]:
    """Both sides after the handshake."""
    browser, framing = Browser("chat", "sip"), WebSocketFraming()
    framing.feed(browser.hello)
    (accepted,) = browser.hear(framing.replies())
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "sip"
    return browser, framing


def all_messages(framing: WebSocketFraming) -> list[bytes]:
    return list(iter(framing.next_message, None))


def test_it_is_unfinished_until_the_handshake_is_over() -> None:
    browser, framing = Browser("sip"), WebSocketFraming()
    assert framing.is_unfinished
    framing.feed(browser.hello[:20])
    assert (framing.is_unfinished, framing.replies(), framing.next_message()) == (True, b"", None)
    framing.feed(browser.hello[20:])
    assert not framing.is_unfinished


@pytest.mark.parametrize("offered", [[], ["chat"], ["SIP"]])
def test_who_does_not_ask_for_sip_is_refused_with_words(offered: list[str]) -> None:
    browser, framing = Browser(*offered), WebSocketFraming()
    framing.feed(browser.hello)
    refused, *body = browser.hear(framing.replies())
    assert isinstance(refused, RejectConnection)
    assert refused.status_code == 400
    assert b"subprotocol sip" in b"".join(bytes(each.data) for each in body if isinstance(each, RejectData))
    with pytest.raises(SipSyntaxError):
        framing.next_message()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
        b"\x16\x03\x01\x00\x05garbage\r\n\r\n",
    ],
)
def test_what_is_no_handshake_is_refused(data: bytes) -> None:
    framing = WebSocketFraming()
    framing.feed(data)
    assert framing.replies().startswith(b"HTTP/1.1 4")
    with pytest.raises(SipSyntaxError, match="no WebSocket"):
        framing.next_message()


def test_a_request_one_byte_too_large_is_refused() -> None:
    framing = WebSocketFraming()
    framing.feed(b"GET / HTTP/1.1\r\nX: ".ljust(HTTP_BYTES_MAX, b"x"))
    assert framing.next_message() is None
    framing.feed(b"x")
    with pytest.raises(SipSyntaxError, match="too large"):
        framing.next_message()


@pytest.mark.parametrize("make", [lambda data: TextMessage(data.decode()), lambda data: BytesMessage(data)])
def test_messages_are_cut_wherever_the_stream_breaks(make: Callable[[bytes], Event]) -> None:
    browser, framing = opened()
    wire = browser.say(make(SIP)) + browser.say(make(SIP + b"body"))
    found = []
    for start in range(0, len(wire), PIECES):
        framing.feed(wire[start : start + PIECES])
        found += all_messages(framing)
    assert found == [SIP, SIP + b"body"]


def test_a_message_may_come_in_several_frames_with_a_ping_between() -> None:
    browser, framing = opened()
    framing.feed(browser.say(TextMessage(SIP[:10].decode(), message_finished=False)))
    assert (all_messages(framing), framing.is_unfinished) == ([], True)
    framing.feed(browser.say(Ping(b"p")))
    assert browser.hear(framing.replies()) == [Pong(b"p")]
    framing.feed(browser.say(TextMessage(SIP[10:].decode())))
    assert (all_messages(framing), framing.is_unfinished) == ([SIP], False)


def test_what_we_say_is_text_if_it_can_be() -> None:
    browser, framing = opened()
    assert browser.hear(framing.encode("grüße".encode())) == [TextMessage("grüße")]
    (heard,) = browser.hear(framing.encode(b"\xff"))
    assert isinstance(heard, BytesMessage)
    assert heard.data == b"\xff"


def test_a_keep_alive_is_answered_and_is_no_message() -> None:
    browser, framing = opened()
    framing.feed(browser.say(TextMessage("\r\n\r\n")))
    assert browser.hear(framing.replies()) == [TextMessage("\r\n")]
    assert all_messages(framing) == []


def test_a_message_one_byte_too_large_ends_it() -> None:
    browser, framing = opened()
    framing.feed(browser.say(BytesMessage(b"x" * MESSAGE_BYTES_MAX)))
    assert [len(each) for each in all_messages(framing)] == [MESSAGE_BYTES_MAX]
    framing.feed(browser.say(BytesMessage(b"x" * (MESSAGE_BYTES_MAX + 1))))
    (closed,) = browser.hear(framing.replies())
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1009
    with pytest.raises(SipSyntaxError, match="too large"):
        framing.next_message()
    assert framing.encode(b"x") == b""


def test_one_part_more_than_there_may_be_ends_it() -> None:
    browser, framing = opened()
    for _ in range(PARTS_MAX):
        framing.feed(browser.say(BytesMessage(b"x", message_finished=False)))
    assert framing.next_message() is None
    framing.feed(browser.say(BytesMessage(b"x", message_finished=False)))
    with pytest.raises(SipSyntaxError, match="too large"):
        framing.next_message()


def test_messages_before_a_close_are_served_and_the_close_is_answered() -> None:
    browser, framing = opened()
    framing.feed(browser.say(TextMessage(SIP.decode())) + browser.say(CloseConnection(code=1001)))
    assert framing.next_message() == SIP
    with pytest.raises(SipSyntaxError, match="closed"):
        framing.next_message()
    (closed,) = browser.hear(framing.replies())
    assert isinstance(closed, CloseConnection)
    framing.feed(b"more")
    assert (framing.replies(), framing.encode(SIP)) == (b"", b"")


@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans())
def test_garbage_is_an_error_of_theirs(pieces: list[bytes], is_open: bool) -> None:
    framing = opened()[1] if is_open else WebSocketFraming()
    try:
        for piece in pieces:
            framing.feed(piece)
            all_messages(framing)
            framing.replies()
    except SipSyntaxError:
        framing.feed(b"more")
        framing.replies()


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_connection_gives_messages_or_an_error_of_theirs(changes: list[tuple[int, int]]) -> None:
    browser, framing = Browser("sip"), WebSocketFraming()
    twin = WebSocketFraming()
    twin.feed(browser.hello)
    browser.hear(twin.replies())
    wire = bytearray(browser.hello + browser.say(TextMessage(SIP.decode())) + browser.say(Ping()))
    for place, byte in changes:
        wire[place % len(wire)] = byte
    framing.feed(bytes(wire))
    with contextlib.suppress(SipSyntaxError):
        all_messages(framing)
    framing.encode(SIP)


# On sockets


async def test_a_browser_is_answered_and_heard_when_it_goes(autojump_clock: MockClock) -> None:
    async with host() as there:
        address = await there.transport.listen("127.0.0.1", 0, Door("ws"))
        browser = Browser("sip")
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(browser.hello)
            browser.hear(bytes(await stream.receive_some(1_000)))
            await stream.send_all(browser.say(TextMessage(SIP.decode())))
            await wait_all_tasks_blocked(0.01)
            ((data, flow),) = there.messages
            assert (data, flow.transport, flow.reliable) == (SIP, "ws", True)
            assert there.transport.send(b"SIP/2.0 200 OK\r\n\r\n", flow)
            (heard,) = browser.hear(bytes(await stream.receive_some(1_000)))
            assert isinstance(heard, TextMessage)
            assert heard.data.startswith("SIP/2.0 200")
            await stream.send_all(browser.say(CloseConnection(code=1000)))
            (closed,) = browser.hear(bytes(await stream.receive_some(1_000)))
            assert isinstance(closed, CloseConnection)
            assert await ends(stream)
        assert [each for each, _when in there.closed] == [flow]


async def test_a_handshake_must_be_over_in_its_time(autojump_clock: MockClock) -> None:
    async with host() as there:
        address = await there.transport.listen("127.0.0.1", 0, Door("ws"))
        async with await trio.open_tcp_stream(*address) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await drip(stream, Browser("sip").hello)
            assert there.closed[0][1] == pytest.approx(connections.HANDSHAKE_SECONDS_MAX)


async def test_a_refusal_reaches_the_browser_before_the_end(autojump_clock: MockClock) -> None:
    async with host() as there:
        address = await there.transport.listen("127.0.0.1", 0, Door("ws"))
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert bytes(await stream.receive_some(1_000)).startswith(b"HTTP/1.1 4")
            assert await ends(stream)
