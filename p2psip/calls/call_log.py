"""What happened in calls: a record for each, with its ladder of messages, bounded in number and in length."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

RECORDS_MAX = 200
STEPS_MAX = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One message of a ladder. `time` is unix seconds; the ends are names for people."""

    time: float
    source: str
    target: str
    summary: str


@dataclass(slots=True)
class CallRecord:
    """One call. Times are unix seconds; None for what has not happened. `is_verified`: somebody vouches for the caller's name."""

    number: int
    caller: str
    callee: str
    started: float
    state: str = "calling"
    rang: float | None = None
    answered: float | None = None
    ended: float | None = None
    status: int | None = None
    cause: str = ""
    hops: int = 0
    lookup_milliseconds: float = 0.0
    first_audio_milliseconds: float | None = None
    is_verified: bool = True
    steps: list[Step] = field(default_factory=list)
    media: dict[str, Any] = field(default_factory=dict)
    changed: Callable[["CallRecord"], None] | None = field(default=None, repr=False, compare=False)

    def ring(self, time: float) -> None:
        """The callee rings; the first word counts."""
        if self.rang is None:
            self.rang = time
            self._enter("ringing")

    def answer(self, time: float) -> None:
        """Somebody took the call."""
        self.answered = time
        self._enter("talking")

    def step(self, time: float, source: str, target: str, summary: str) -> None:
        """Note one message; beyond STEPS_MAX nothing is kept."""
        if len(self.steps) < STEPS_MAX:
            self.steps.append(Step(time, source, target, summary))

    def end(self, time: float, status: int, cause: str) -> None:
        """The call is over, or never came to be; the first word counts."""
        if self.ended is None:
            self.ended, self.status, self.cause = time, status, cause
            self._enter("ended")

    @property
    def post_dial_milliseconds(self) -> float | None:
        """From the INVITE to the first sign of ringing (or the answer)."""
        heard = self.rang if self.rang is not None else self.answered
        return None if heard is None else 1000 * (heard - self.started)

    def as_json(self, unix: float) -> dict[str, Any]:
        """The whole record for the command line: with ladder and media facts."""
        ladder = [
            {"time": step.time, "source": step.source, "target": step.target, "summary": step.summary}
            for step in self.steps
        ]
        return {**self.as_brief_json(unix), "media": self.media, "ladder": ladder}

    def as_brief_json(self, unix: float) -> dict[str, Any]:
        """The record as a line of a list; `audio` is the verdict on its media."""
        return {
            "number": self.number,
            "caller": self.caller,
            "verified": self.is_verified,
            "callee": self.callee,
            "state": self.state,
            "started": self.started,
            "seconds": (unix if self.ended is None else self.ended) - self.started,
            "status": self.status,
            "cause": self.cause,
            "post_dial_delay_ms": self.post_dial_milliseconds,
            "first_audio_ms": self.first_audio_milliseconds,
            "hops": self.hops,
            "lookup_ms": self.lookup_milliseconds,
            "audio": self.media.get("verdict", ""),
        }

    def _enter(self, state: str) -> None:
        self.state = state
        if self.changed is not None:
            self.changed(self)


class CallLog:
    """The last RECORDS_MAX calls, oldest first."""

    def __init__(self) -> None:
        self._records: deque[CallRecord] = deque(maxlen=RECORDS_MAX)
        self._count = 0
        self._hooks: list[Callable[[CallRecord], None]] = []

    def __iter__(self) -> Iterator[CallRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def open(self, caller: str, callee: str, unix: float) -> CallRecord:
        """Begin a record."""
        self._count += 1
        record = CallRecord(self._count, caller, callee, unix, changed=self._tell)
        self._records.append(record)
        self._tell(record)
        return record

    def on_change(self, hook: Callable[[CallRecord], None]) -> None:
        """Call `hook(record)` when a call begins, rings, is answered and ends."""
        self._hooks.append(hook)

    def find(self, number: int) -> CallRecord | None:
        """The record with this number, or None when it was never there or is forgotten."""
        return next((record for record in self._records if record.number == number), None)

    def current(self) -> list[CallRecord]:
        """The records of calls that are not over."""
        return [record for record in self._records if record.ended is None]

    def _tell(self, record: CallRecord) -> None:
        for hook in self._hooks:
            hook(record)
