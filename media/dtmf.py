"""Digits as telephone events (RFC 4733). Between phones they pass unchanged; here they are read, made for services, put into a
stream of audio for a phone that says its digits by signalling, and taken out of one for a phone that hears them so.
"""

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from media.rtp import RtpPacket, is_rtp
from p2psip.base.errors import LocalError, RemoteError

DIGITS = "0123456789*#ABCD"
EVENT_VOLUME = 10
UPDATES_PER_DIGIT_MAX = 50
REPEATED_ENDS = 3
DURATION_MAX = 0xFFFF

PACKETS_PER_SECOND = 50

EVENT_SILENCE_SECONDS = 0.2
"""A press of which nothing is heard for so long is over: four updates of the slowest senders (RFC 4733 §2.5.1.2)."""
PRESSES_QUEUED_MAX = 32
PRESSES_REMEMBERED_MAX = 16

_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32

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


class DigitInsertion:
    """One key press in the place of audio: packets keep their source and number, so that nothing after them must be changed.

    Feed every packet of the stream to `replace`; while the stream is silent, `make` gives packets that go on from the last one.
    """

    def __init__(self, digit: str, seconds: float, *, payload_type: int, clock_rate: int) -> None:
        if len(digit) != 1 or digit not in DIGITS:
            raise LocalError(f"{digit!r} is no digit of a telephone")
        self._digit = digit
        self._payload_type = payload_type
        self._step = max(clock_rate // PACKETS_PER_SECOND, 1)
        self._wanted = min(max(int(seconds * clock_rate), self._step), DURATION_MAX)
        self._begun: int | None = None
        self._duration = 0
        self._ends = 0
        self.replaced = 0

    @property
    def is_done(self) -> bool:
        """Whether its end has been said REPEATED_ENDS times."""
        return self._ends >= REPEATED_ENDS

    def replace(self, packet: bytes) -> bytes:
        """The packet to send for one of the stream: an event, or the packet itself once the press is over (and for RTCP)."""
        if self.is_done or not is_rtp(packet):
            return packet
        audio = RtpPacket.parse(packet)
        if self._begun is None:
            self._begun = audio.timestamp
        self.replaced += 1
        return self._event(audio.ssrc, audio.sequence, (audio.timestamp - self._begun) % _TIMESTAMPS)

    def make(self, last: bytes, ssrc: int) -> bytes:
        """A packet for a stream that is silent since `last`, or that has not begun: then of the source `ssrc`."""
        before = RtpPacket.parse(last) if is_rtp(last) else RtpPacket(0, False, 0, 0, ssrc, b"")
        if self._begun is None:
            is_event = before.payload_type == self._payload_type and len(before.payload) >= _EVENT.size
            lasted = int.from_bytes(before.payload[2:4], "big") if is_event else 0
            self._begun = (before.timestamp + lasted + self._step) % _TIMESTAMPS
        return self._event(before.ssrc, (before.sequence + 1) % _SEQUENCES, self._duration)

    def _event(self, ssrc: int, sequence: int, since: int) -> bytes:
        assert self._begun is not None
        is_first = self._duration == 0
        if self._duration < self._wanted:
            later = since + self._step if since < DURATION_MAX else self._duration + self._step
            self._duration = min(max(later, self._duration + 1), self._wanted)
        else:
            self._ends += 1
        event = TelephoneEvent(self._digit, self._ends > 0, EVENT_VOLUME, self._duration)
        return RtpPacket(self._payload_type, is_first, sequence, self._begun, ssrc, event.to_bytes()).to_bytes()


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One key that was pressed, and for how long, in seconds."""

    digit: str
    seconds: float


@dataclass(slots=True)
class _Held:
    """The key that is down: where its first segment began, that of the present one, and how long it has lasted (samples)."""

    digit: str
    ssrc: int
    timestamp: int
    before: int
    duration: int
    clock_rate: int


class PressReader:
    """Reads key presses out of a stream, each of them once. `clock_rates` (Hz) are by the payload types of its events.

    A press is over with the first of its ends, with the next press, or when nothing more of it comes: ends get lost, and come
    again (RFC 4733 §2.5.1.4); one packet of it is enough. What lasts longer than a duration can say comes in segments, which
    follow one another without a gap (§2.5.1.3). Of presses that nobody takes, those above PRESSES_QUEUED_MAX are lost.
    """

    def __init__(self, clock_rates: Mapping[int, int]) -> None:
        self.clock_rates = clock_rates
        self._held: _Held | None = None
        self._deadline = 0.0
        self._over: deque[tuple[int, int]] = deque(maxlen=PRESSES_REMEMBERED_MAX)
        self._presses: deque[KeyPress] = deque()

    def receive(self, packet: bytes, now: float) -> bool:
        """Take one packet; whether it is an event, which is no audio. `now` is steady seconds."""
        if len(packet) < 2 or packet[1] & 0x7F not in self.clock_rates or not is_rtp(packet):
            return False
        try:
            rtp = RtpPacket.parse(packet)
            event = TelephoneEvent.parse(rtp.payload)
        except RemoteError:
            return True  # another event than a digit, or a broken one: no audio either
        if (rtp.ssrc, rtp.timestamp) not in self._over:
            self._take(rtp, event, now)
        return True

    def handle_timeout(self, now: float) -> None:
        """End a press of which nothing has come for EVENT_SILENCE_SECONDS."""
        if self._held is not None and now >= self._deadline:
            self._end()

    def poll_timeout(self) -> float | None:
        """When the present press counts as over, in steady seconds; None while no key is down."""
        return None if self._held is None else self._deadline

    def poll_output(self) -> KeyPress | None:
        """The next press that is over."""
        return self._presses.popleft() if self._presses else None

    def _take(self, rtp: RtpPacket, event: TelephoneEvent, now: float) -> None:
        held = self._held
        if held is None or (held.ssrc, held.timestamp, held.digit) != (rtp.ssrc, rtp.timestamp, event.digit):
            held = self._begin(held, rtp, event)
        held.duration = max(held.duration, event.duration)
        self._deadline = now + EVENT_SILENCE_SECONDS
        if event.end:
            self._end()

    def _begin(self, held: _Held | None, rtp: RtpPacket, event: TelephoneEvent) -> _Held:
        """Another press than before, or the next segment of the same one."""
        before = 0
        if held is not None and _goes_on(held, rtp, event):
            self._over.append((held.ssrc, held.timestamp))
            before = held.before + (rtp.timestamp - held.timestamp) % _TIMESTAMPS
        elif held is not None:
            self._end()
        rate = self.clock_rates[rtp.payload_type]
        self._held = _Held(event.digit, rtp.ssrc, rtp.timestamp, before, 0, rate)
        return self._held

    def _end(self) -> None:
        held, self._held = self._held, None
        assert held is not None
        self._over.append((held.ssrc, held.timestamp))
        if len(self._presses) < PRESSES_QUEUED_MAX:
            self._presses.append(KeyPress(held.digit, (held.before + held.duration) / held.clock_rate))


def _goes_on(held: _Held, rtp: RtpPacket, event: TelephoneEvent) -> bool:
    """Whether an event is the next segment: without a marker, and as far on as a duration can say, or nearly so."""
    since = (rtp.timestamp - held.timestamp) % _TIMESTAMPS
    is_same = (held.digit, held.ssrc) == (event.digit, rtp.ssrc) and not rtp.marker
    return is_same and max(held.duration, DURATION_MAX // 2) <= since <= DURATION_MAX
