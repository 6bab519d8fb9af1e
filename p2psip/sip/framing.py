"""Cutting a stream into messages (RFC 3261 §18.3, RFC 5626 §3.5.1 for the CRLF keep-alive)."""

import re

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.parser import MESSAGE_BYTES_MAX

HEAD_BYTES_MAX = 16_384

PONG = b"\r\n"

_LENGTH = re.compile(rb"(?:^|\r\n)(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)


class StreamFramer:
    """Feed bytes; take whole messages. After a SipSyntaxError the stream is lost and must be closed."""

    __slots__ = ("_buffer", "pings")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None; `pings` counts the double CRLFs that want an answer (`PONG` each)."""
        self._skip_keepalives()
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise SipSyntaxError("a stream without an end of header fields", status=513)
            return None
        if end > HEAD_BYTES_MAX:
            raise SipSyntaxError("header fields that are too large", status=513)
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if length is None:
            raise SipSyntaxError("a message without Content-Length on a stream")
        total = end + 4 + int(length[1])
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
