"""Which two ends of a call hear one another, and what is known of the media of both.

The legs count; this module looks at the counts now and then and never at each packet, so that it costs nothing.
"""

from dataclasses import dataclass
from typing import Any

from media.legs import Bridge, Leg
from media.rtp import is_rtcp, is_rtp
from p2psip.base.core import address_text
from p2psip.calls.call_log import CallRecord
from p2psip.calls.diagnosis import EndFacts, Hearing, hearing, verdict
from p2psip.calls.ends import MediaEnd
from p2psip.calls.ports import ClockPort

SAMPLE_SECONDS = 2.0
GAP_PACKETS_MAX = 3_000  # RFC 3550 §A.1: a larger step is a new start, and no loss


@dataclass(slots=True)
class _Sequence:
    """Where a stream was when it was looked at last: source, sequence number, packets that had come."""

    ssrc: bytes
    number: int
    received: int


class EndWatch:
    """Looks at one leg of a call. `end` is None for a local service."""

    def __init__(self, name: str, leg: Leg, end: MediaEnd | None, clock: ClockPort) -> None:
        self.leg = leg
        self._name = name
        self._end = end
        self._clock = clock
        self._sequence: _Sequence | None = None
        self._received = self._sent = 0
        self._missing = 0
        self._last_received: float | None = None
        self._first_sent: float | None = None
        self._last_sent: float | None = None
        self._refused = self._closed = 0
        self._last_refused: float | None = None
        self._last_closed: float | None = None

    def sample(self) -> None:
        """Note what has changed since the last look; times of it are as exact as the looks are frequent."""
        statistics, unix = self.leg.statistics, self._clock.unix()
        if statistics.received != self._received:
            self._received, self._last_received = statistics.received, unix
            self._note_sequence(statistics.last, statistics.received)
        if statistics.sent != self._sent:
            self._first_sent = unix if self._first_sent is None else self._first_sent
            self._sent, self._last_sent = statistics.sent, unix
        if statistics.refused != self._refused:
            self._refused, self._last_refused = statistics.refused, unix
        if statistics.closed_port != self._closed:
            self._closed, self._last_closed = statistics.closed_port, unix

    def facts(self) -> EndFacts:
        """What is known now."""
        statistics, end, last = self.leg.statistics, self._end, self.leg.statistics.last
        first, audio = statistics.first_received, None if end is None else end.heard
        return EndFacts(
            name=self._name,
            kind="service" if end is None else end.kind,
            path={} if end is None else end.path(),
            direction="sendrecv" if audio is None else audio.direction,
            formats=() if audio is None else audio.formats,
            received=statistics.received,
            sent=statistics.sent,
            refused=statistics.refused,
            octets_received=statistics.octets_received,
            octets_sent=statistics.octets_sent,
            missing=self._missing,
            refused_from=None if statistics.refused_from is None else address_text(statistics.refused_from),
            closed_port=statistics.closed_port,
            undecryptable=statistics.undecryptable,
            payload_type=last[1] & 0x7F if is_rtp(last) else None,
            first_received=None if first is None else self._clock.unix() - self._clock.now() + first,
            last_received=self._last_received,
            first_sent=self._first_sent,
            last_sent=self._last_sent,
            last_refused=self._last_refused,
            last_closed=self._last_closed,
            lost="" if end is None else end.lost,
        )

    def _note_sequence(self, last: bytes, received: int) -> None:
        if len(last) < 12 or is_rtcp(last):
            return
        now = _Sequence(last[8:12], int.from_bytes(last[2:4], "big"), received)
        before, self._sequence = self._sequence, now
        if before is not None and before.ssrc == now.ssrc:
            step = (now.number - before.number) & 0xFFFF
            gap = step - (received - before.received)
            if 0 < gap <= GAP_PACKETS_MAX:
                self._missing += gap


class Patch:
    """Joins the caller's leg with that of whoever is heard, and keeps the media facts of the record."""

    def __init__(self, record: CallRecord, clock: ClockPort) -> None:
        self._record = record
        self._clock = clock
        self._bridge: Bridge | None = None
        self._ends: tuple[EndWatch, EndWatch] | None = None
        self._answered_now: float | None = None

    def join(self, caller: EndWatch, callee: EndWatch) -> None:
        """Let both hear one another, unless they do already; whoever was joined before hears nobody."""
        if self._ends is None or (self._ends[0].leg, self._ends[1].leg) != (caller.leg, callee.leg):
            self.part()
            self._ends = (caller, callee)
            self._bridge = Bridge(caller.leg, callee.leg)

    def part(self) -> None:
        """Nobody hears anybody any more; what is known stays."""
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None

    def note_answered(self) -> None:
        """The call was answered now; times to first audio count from here."""
        self._answered_now = self._clock.now()

    def sample(self) -> None:
        """Look at both legs."""
        for end in self._ends or ():
            end.sample()

    def note_facts(self) -> None:
        """Bring the record's media facts up to date; once the call is over they stay as they are."""
        if self._ends is None or self._record.ended is not None:
            return
        self.sample()
        unix, answered = self._clock.unix(), self._record.answered
        caller, callee = (end.facts() for end in self._ends)
        hearings = [hearing(*pair, unix, answered or unix) for pair in ((caller, callee), (callee, caller))]
        waits = [self._wait(end) for end in self._ends]
        self._record.first_audio_milliseconds = waits[1]
        self._record.media = {
            "verdict": verdict(*hearings),
            "directions": [
                {**_fields(each), "first_audio_ms": wait} for each, wait in zip(hearings, waits, strict=True)
            ],
            "ends": [_as_json(each) for each in (caller, callee)],
        }

    def _wait(self, end: EndWatch) -> float | None:
        """Milliseconds from the answer to the first packet of an end."""
        first = end.leg.statistics.first_received
        if first is None or self._answered_now is None:
            return None
        return max(0.0, 1000 * (first - self._answered_now))


def _as_json(facts: EndFacts) -> dict[str, Any]:
    return {**_fields(facts), "path": dict(facts.path), "formats": list(facts.formats)}


def _fields(value: EndFacts | Hearing) -> dict[str, Any]:
    """`dataclasses.asdict` without its copies of everything within, which no other place changes."""
    return {name: getattr(value, name) for name in value.__slots__}
