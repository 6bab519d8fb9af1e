"""Digits that a phone says by INFO (application/dtmf-relay, application/dtmf), for another side that takes telephone events.

The press takes the place of audio in the stream (`media/dtmf.py`): the leg's packets are diverted while it lasts, and only then.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import trio

from media.dtmf import DIGITS, DigitInsertion
from media.legs import LegStatistics, Sink
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.sip.message import Request

RELAY_TYPE, PLAIN_TYPE = "application/dtmf-relay", "application/dtmf"
PRESS_SECONDS = 0.16
PRESS_SECONDS_MIN, PRESS_SECONDS_MAX = 0.04, 5.0
PAUSE_SECONDS = 0.06
PACKET_SECONDS = 0.02
SILENT_TICKS = 3
WAITING_MAX = 32

_SIGNAL = re.compile(r"(?im)^\s*signal\s*=\s*([0-9A-D*#]|1[0-5])\s*$")
_DURATION = re.compile(r"(?im)^\s*duration\s*=\s*([0-9]{1,6})\s*$")
_NUMBERED = re.compile(r"1[0-5]|[0-9A-Da-d*#]")
_PAYLOAD_TYPE = re.compile(r"[0-9]{1,3}")
_RATE = re.compile(r"[0-9]{1,6}")
_TAKES = ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class Press:
    """One digit and how long it is held, in seconds."""

    digit: str
    seconds: float = PRESS_SECONDS

    @classmethod
    def of(cls, digit: str, seconds: float) -> "Press":
        """A press that lasts no longer and no shorter than phones can make of it."""
        return cls(digit, min(max(seconds, PRESS_SECONDS_MIN), PRESS_SECONDS_MAX))

    def to_bytes(self) -> bytes:
        """The body of an INFO of RELAY_TYPE."""
        return f"Signal={self.digit}\r\nDuration={round(self.seconds * 1_000)}\r\n".encode()

    @classmethod
    def parse(cls, request: Request) -> "Press | None":
        """The press in an INFO; None for an INFO about something else, or about a key that is no digit (a flash)."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        text = request.body[:256].decode("utf-8", "replace")
        if kind == PLAIN_TYPE:
            found = _NUMBERED.fullmatch(text.strip())
            return None if found is None else cls(_digit(found[0]))
        signal = _SIGNAL.search(text) if kind == RELAY_TYPE else None
        if signal is None:
            return None
        duration = _DURATION.search(text)
        seconds = PRESS_SECONDS if duration is None else int(duration[1]) / 1_000
        return cls.of(_digit(signal[1]), seconds)


@dataclass(frozen=True, slots=True)
class EventFormat:
    """The payload type and clock rate (Hz) that a side takes telephone events in."""

    payload_type: int
    clock_rate: int

    @classmethod
    def of(cls, audio: Audio | None) -> "EventFormat | None":
        """What the peer that said `audio` takes, with the clock of its first codec; None when it takes none, or is on hold."""
        if audio is None or audio.direction not in _TAKES:
            return None
        rates = {"0": 8_000, "3": 8_000, "8": 8_000, "9": 8_000, "18": 8_000}
        rates |= {number: rate for number, _codec, rate in _rtpmaps(audio)}
        spoken = next((rates[each] for each in audio.formats if each in rates), 8_000)
        return next((cls(number, rate) for number, rate in event_formats(audio).items() if rate == spoken), None)


def event_formats(audio: Audio | None) -> dict[int, int]:
    """The clock rates (Hz) of telephone events in a description, by payload type, in the order of its rtpmaps."""
    if audio is None:
        return {}
    return {
        int(number): rate
        for number, codec, rate in _rtpmaps(audio)
        if codec == "telephone-event" and number in audio.formats
    }


@runtime_checkable
class TappedLeg(Protocol):
    """A leg whose packets can be diverted for a while."""

    sink: Sink | None
    statistics: LegStatistics

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""


class Keypad:
    """The presses of one side, in the stream that comes from it: one after the other, in the order in which they were begun."""

    def __init__(self, chance: Chance) -> None:
        self._ssrc = chance.integer(32)
        self._waiting: deque[tuple[Press, TappedLeg, Sink, EventFormat]] = deque()
        self._made = (b"", b"")  # the packet of the stream that we went on from, and the last of ours

    def begin(self, press: Press, source: TappedLeg, send: Sink, form: EventFormat, nursery: trio.Nursery) -> None:
        """Say a press to `send`, in the place of what comes from `source`; RemoteError(503) when WAITING_MAX wait.

        One task says them all: trio starts tasks of one moment in any order.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise RemoteError("too many digits at once", status=503)
        self._waiting.append((press, source, send, form))
        if len(self._waiting) == 1:
            nursery.start_soon(self._play_all)

    async def _play_all(self) -> None:
        while self._waiting:
            await self._play(*self._waiting[0])
            await trio.sleep(PAUSE_SECONDS)
            self._waiting.popleft()

    async def _play(self, press: Press, source: TappedLeg, send: Sink, form: EventFormat) -> None:
        insertion = DigitInsertion(
            press.digit, press.seconds, payload_type=form.payload_type, clock_rate=form.clock_rate
        )

        def divert(packet: bytes) -> None:
            send(insertion.replace(packet))

        before, seen, silent = source.sink, 0, 0
        source.connect(divert)
        try:
            while not insertion.is_done:
                await trio.sleep(PACKET_SECONDS)
                silent = 0 if insertion.replaced != seen else silent + 1
                seen = insertion.replaced
                if silent >= SILENT_TICKS:
                    self._speak_up(insertion, source.statistics.last, send)
        finally:
            if source.sink is divert:
                source.connect(before)

    def _speak_up(self, insertion: DigitInsertion, last: bytes, send: Sink) -> None:
        """A packet of our own for a stream that is silent since `last`."""
        before, made = self._made
        packet = insertion.make(made if made and before == last else last, self._ssrc)
        self._made = last, packet
        send(packet)


def _rtpmaps(audio: Audio) -> Iterator[tuple[str, str, int]]:
    """Payload type, codec in lower case, clock rate of each rtpmap that can be read."""
    for name, value in audio.attributes:
        if name == "rtpmap":
            number, _, codec = (value or "").partition(" ")
            parts = codec.split("/")
            if _PAYLOAD_TYPE.fullmatch(number) and len(parts) > 1 and _RATE.fullmatch(parts[1]) and int(parts[1]):
                yield number, parts[0].lower(), int(parts[1])


def _digit(text: str) -> str:
    return DIGITS[int(text)] if text.isdigit() else text.upper()
