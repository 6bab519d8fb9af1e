"""The trace of a world: one hash over every datagram that was sent, so that two runs can be compared to the byte."""

import hashlib
import struct

from p2psip.base.core import Address

_PARTS_MAX = 1_024

_time = struct.Struct(">d").pack


class Trace:
    """Hashes (time, destination, bytes) of each datagram in the order of sending. The source stands in every frame."""

    __slots__ = ("_hash", "_parts")

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._parts: list[bytes] = []

    def note(self, now: float, destination: Address, data: bytes) -> None:
        """A datagram leaves at `now` (virtual seconds)."""
        self._parts += (_time(now), destination[0].encode(), destination[1].to_bytes(2, "big"), data)
        if len(self._parts) >= _PARTS_MAX:
            self._flush()

    def hexdigest(self) -> str:
        """The hash of all so far, 32 hexadecimal digits."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(b"".join(self._parts))
        self._parts.clear()
