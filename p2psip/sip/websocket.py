"""SIP in WebSockets, the server's side (RFC 7118): a core around wsproto that cuts one connection into SIP messages.

Each SIP message is one WebSocket message, of text or of bytes (§4.2), so that Content-Length is not needed.
"""

import contextlib
from collections import deque

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.framing import PONG
from p2psip.sip.parser import MESSAGE_BYTES_MAX

SUBPROTOCOL = "sip"
PARTS_MAX = 1_024
PING = b"\r\n\r\n"
HTTP_BYTES_MAX = 16_384


class WebSocketFraming:
    """A `p2psip.sip.framing.Framing` for a connection that a browser opened. After a SipSyntaxError it must be closed."""

    __slots__ = ("_connection", "_error", "_http_bytes", "_is_open", "_messages", "_part_bytes", "_parts", "_replies")

    def __init__(self) -> None:
        self._connection = WSConnection(ConnectionType.SERVER)
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self._http_bytes = 0
        self._replies = bytearray()
        self._is_open = False
        self._error: SipSyntaxError | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether the handshake or a message has begun that must end within its time."""
        return not self._is_open or bool(self._parts)

    def feed(self, data: bytes) -> None:
        """Append received bytes. What is wrong with them is told by `next_message`, after the messages before it."""
        if self._error is not None or not data:  # to h11, nothing is an end
            return
        if not self._is_open:
            self._http_bytes += len(data)
            if self._http_bytes > HTTP_BYTES_MAX:
                return self._fail("an HTTP request that is too large")
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._take(event)
                if self._error is not None:
                    return
        except RemoteProtocolError as error:
            if error.event_hint is not None:
                self._send(error.event_hint)
            self._fail(f"no WebSocket: {error}")
        except ValueError:  # header fields that are no ASCII: wsproto lets the decoder's error through
            self._fail("no WebSocket: a header field that cannot be read")

    def next_message(self) -> bytes | None:
        """The next whole message, or None; SipSyntaxError when the connection is over."""
        if self._messages:
            return self._messages.popleft()
        if self._error is not None:
            raise self._error
        return None

    def encode(self, message: bytes) -> bytes:
        """One frame: text if it is UTF-8, as a browser likes it; nothing when the connection is closing."""
        if self._connection.state is not ConnectionState.OPEN:
            return b""
        try:
            return self._connection.send(TextMessage(data=message.decode("utf-8")))
        except UnicodeDecodeError:
            return self._connection.send(BytesMessage(data=message))

    def replies(self) -> bytes:
        """What the browser must be sent for what it has sent: handshake, pongs, close."""
        answer = bytes(self._replies)
        self._replies.clear()
        return answer

    def _take(self, event: Event) -> None:
        match event:
            case Request(subprotocols=offered):
                self._greet(offered)
            case Message(data=data, message_finished=is_whole):
                self._collect(
                    data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data), is_whole
                )
            case Ping():
                self._send(event.response())
            case CloseConnection():
                if self._connection.state is ConnectionState.REMOTE_CLOSING:
                    self._send(event.response())
                self._fail("the other side closed it")

    def _greet(self, offered: list[str]) -> None:
        if SUBPROTOCOL in offered:
            self._send(AcceptConnection(subprotocol=SUBPROTOCOL))
            self._is_open = True
            return
        words = b"This is a SIP server: ask for the WebSocket subprotocol sip (RFC 7118).\n"
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(words)), (b"connection", b"close")]
        self._send(RejectConnection(status_code=400, headers=headers, has_body=True))
        self._send(RejectData(data=words))
        self._fail("a WebSocket for something else than SIP")

    def _collect(self, data: bytes, is_whole: bool) -> None:
        if data:
            self._parts.append(data)
            self._part_bytes += len(data)
        if self._part_bytes > MESSAGE_BYTES_MAX or len(self._parts) > PARTS_MAX:
            self._send(CloseConnection(code=CloseReason.MESSAGE_TOO_BIG))
            self._fail("a message that is too large", status=513)
        elif is_whole:
            message = b"".join(self._parts)
            self._parts.clear()
            self._part_bytes = 0
            if message == PING:
                self._replies += self.encode(PONG)
            else:
                self._messages.append(message)

    def _send(self, event: Event) -> None:
        with contextlib.suppress(LocalProtocolError):  # the other side made its mistake where no answer fits any more
            self._replies += self._connection.send(event)

    def _fail(self, words: str, *, status: int = 400) -> None:
        self._error = SipSyntaxError(words, status=status)
        self._parts.clear()
