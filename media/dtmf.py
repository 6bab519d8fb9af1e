"""Digits as telephone events (RFC 4733). Between phones they pass unchanged; here they are read and made for services."""

import struct
from dataclasses import dataclass

from p2psip.base.errors import LocalError, RemoteError

DIGITS = "0123456789*#ABCD"
EVENT_VOLUME = 10
UPDATES_PER_DIGIT_MAX = 50
REPEATED_ENDS = 3
DURATION_MAX = 0xFFFF

_EVENT = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One event payload. `duration` is in timestamp units, `volume` in -dBm0."""

    digit: str
    end: bool
    volume: int
    duration: int

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """The event in an RTP payload; RemoteError when it is none of the 16 digits."""
        if len(payload) < _EVENT.size:
            raise RemoteError("a telephone event that is cut off")
        event, flags, duration = _EVENT.unpack_from(payload)
        if event >= len(DIGITS):
            raise RemoteError("a telephone event that is no digit")
        return cls(DIGITS[event], flags >= 0x80, flags & 0x3F, duration)

    def to_bytes(self) -> bytes:
        """The payload as it goes on the wire."""
        return _EVENT.pack(DIGITS.index(self.digit), (0x80 if self.end else 0) | self.volume, self.duration)


def digit_payloads(digit: str, updates: int, packet_samples: int = 160) -> list[TelephoneEvent]:
    """The events of one key press: `updates` growing ones, then the end three times (RFC 4733 §2.5.1.4)."""
    if len(digit) != 1 or digit not in DIGITS:
        raise LocalError(f"{digit!r} is no digit of a telephone")
    count = max(1, min(updates, UPDATES_PER_DIGIT_MAX))
    durations = [min(packet_samples * (number + 1), DURATION_MAX) for number in range(count + 1)]
    growing = [TelephoneEvent(digit, False, EVENT_VOLUME, duration) for duration in durations[:-1]]
    return growing + [TelephoneEvent(digit, True, EVENT_VOLUME, durations[-1])] * REPEATED_ENDS
