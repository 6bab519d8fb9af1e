"""Datagrams on a stream: STUN messages and TURN channels as RFC 8656 §12.5 lays them there, and overlay frames beside them.

A STUN message (first byte 0 to 3) brings its own length (RFC 8489 §6.2.2). ChannelData (64 to 79) too, and is padded to a
multiple of four. An overlay frame (192) is put behind four bytes of ours: C0 00 and its length. A foreign TURN client sends
the first two kinds only.
"""

from p2psip.base.errors import LocalError, RemoteError

DATAGRAM_BYTES_MAX = 2_048
HEAD_BYTES = 4
STUN_HEAD_BYTES = 20
MAGIC_COOKIE = b"\x21\x12\xa4\x42"
FRAME_MARK = b"\xc0\x00"

_STUN_LAST = 3
_CHANNELS = range(64, 80)
_FRAMES = range(192, 256)


class StreamFramer:
    """Feed bytes; take whole datagrams. After a RemoteError the stream is lost and must be closed.

    What is longer than a datagram of the node's port may be is skipped without being kept, as UDP would lose it.
    """

    __slots__ = ("_buffer", "_is_begun", "_skip", "_start", "skipped")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._skip = 0
        self._is_begun = False
        self.skipped = 0

    def feed(self, data: bytes | bytearray) -> None:
        """Append received bytes."""
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip -= gone
            data = data[gone:]
        del self._buffer[: self._start]
        self._start = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole datagram without what the stream has put around it, or None; RemoteError on garbage."""
        while True:
            buffer, start = self._buffer, self._start
            if len(buffer) - start < HEAD_BYTES:
                return None
            first, length = buffer[start], int.from_bytes(buffer[start + 2 : start + 4], "big")
            if first <= _STUN_LAST:
                if not self._is_stun(start, length):
                    return None
                begin, end = start, start + STUN_HEAD_BYTES + length
                following = end
            elif first in _CHANNELS and self._is_begun:
                begin, end = start, start + HEAD_BYTES + length
                following = end + -length % 4
            elif buffer[start : start + 2] == FRAME_MARK:
                begin, end = start + HEAD_BYTES, start + HEAD_BYTES + length
                following = end
                if length and len(buffer) > begin and buffer[begin] not in _FRAMES:
                    raise RemoteError("a stream whose frame is none")
            else:
                raise RemoteError("a stream that carries neither STUN nor frames")
            if end - begin > DATAGRAM_BYTES_MAX:
                self._skip_to(following)
                continue
            if len(buffer) < following:
                return None
            self._start, self._is_begun = following, True
            if end > begin:
                return bytes(buffer[begin:end])

    @staticmethod
    def frame(datagram: bytes) -> bytes:
        """The bytes that carry `datagram` on a stream; LocalError for a kind that no stream carries."""
        first = datagram[0] if datagram else -1
        if len(datagram) > DATAGRAM_BYTES_MAX:
            raise LocalError("a datagram that is too large for a stream")
        if first in _FRAMES:
            return FRAME_MARK + len(datagram).to_bytes(2, "big") + datagram
        if first in _CHANNELS:
            return datagram + bytes(-len(datagram) % 4)
        if 0 <= first <= _STUN_LAST:
            return datagram
        raise LocalError("a stream carries STUN, channels and frames only")

    def _is_stun(self, start: int, length: int) -> bool:
        """Whether enough has come to see that this is STUN; RemoteError when it is not."""
        if length % 4:
            raise RemoteError("a STUN message whose length is no multiple of four")
        cookie = bytes(self._buffer[start + 4 : start + 8])
        if not MAGIC_COOKIE.startswith(cookie):
            raise RemoteError("a STUN message without the magic cookie")
        return len(cookie) == len(MAGIC_COOKIE)

    def _skip_to(self, following: int) -> None:
        """Forget everything before `following`, of what has come and of what will come."""
        self.skipped += 1
        self._skip = max(0, following - len(self._buffer))
        self._start = min(following, len(self._buffer))
