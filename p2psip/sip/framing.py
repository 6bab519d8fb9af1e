"""Cutting a stream into messages (RFC 3261 §18.3, RFC 5626 §3.5.1 for the CRLF keep-alive)."""

import re
from typing import Protocol

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.parser import MESSAGE_BYTES_MAX

HEAD_BYTES_MAX = 16_384

PONG = b"\r\n"

_LENGTHS = re.compile(rb"\r\n(?:content-length|l)[ \t]*:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?=\r\n)", re.IGNORECASE)
_NUMBER = re.compile(rb"[ \t\r\n]*([0-9]{1,9})[ \t\r\n]*")


class Framing(Protocol):
    """How messages are put on one connection and cut out of it: a `StreamFramer`, or a WebSocket."""

    @property
    def is_unfinished(self) -> bool:
        """Whether something has begun that must end within its time."""

    def feed(self, data: bytes) -> None:
        """Append received bytes; SipSyntaxError when the connection is lost."""

    def next_message(self) -> bytes | None:
        """The next whole message, or None; SipSyntaxError when the connection is lost."""

    def encode(self, message: bytes) -> bytes:
        """What goes on the wire for `message`."""

    def replies(self) -> bytes:
        """What the peer must be sent for what it has sent."""


class StreamFramer:
    """Feed bytes; take whole messages. After a SipSyntaxError the stream is lost and must be closed."""

    __slots__ = ("_buffer", "pings")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    @property
    def is_unfinished(self) -> bool:
        """Whether the rest of a message is awaited."""
        return bool(self._buffer[:4].strip(b"\r\n"))

    def encode(self, message: bytes) -> bytes:
        """What goes on the wire for `message`: itself."""
        return message

    def replies(self) -> bytes:
        """What the peer must be sent for what it has sent: a `PONG` for each ping."""
        answer, self.pings = PONG * self.pings, 0
        return answer

    def next_message(self) -> bytes | None:
        """The next whole message, or None; `pings` counts the double CRLFs that want an answer (`PONG` each)."""
        self._skip_keepalives()
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX + 3:  # the end may have come but for its last byte
                raise SipSyntaxError("a stream without an end of header fields", status=513)
            return None
        if end > HEAD_BYTES_MAX:
            raise SipSyntaxError("header fields that are too large", status=513)
        total = end + 4 + _content_length(self._buffer[: end + 2])
        if total > MESSAGE_BYTES_MAX:
            raise SipSyntaxError("a message that is too large", status=513)
        if len(self._buffer) < total:
            return None
        message = bytes(self._buffer[:total])
        del self._buffer[:total]
        return message

    def _skip_keepalives(self) -> None:
        while self._buffer.startswith(b"\r\n\r\n"):
            del self._buffer[:4]
            self.pings += 1
        if self._buffer.startswith(b"\r\n") and len(self._buffer) > 2 and self._buffer[2:3] != b"\r":
            del self._buffer[:2]


def _content_length(head: bytearray) -> int:
    """The one Content-Length of these header fields: with none or two, nobody knows where the message ends."""
    found = _LENGTHS.findall(head)
    number = _NUMBER.fullmatch(found[0]) if len(found) == 1 else None
    if number is None:
        raise SipSyntaxError("a message without one readable Content-Length on a stream")
    return int(number[1])
