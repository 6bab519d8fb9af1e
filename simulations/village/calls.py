"""What became of each call of a village, as its phones and its nodes saw it."""

from dataclasses import asdict, dataclass
from typing import Any

from p2psip.softphone.phone import CallReport
from simulations.results import Cell
from simulations.village.household import Household
from simulations.village.phone import Voice

ANSWERED, BUSY, NO_ANSWER, REFUSED, LOST = "answered", "busy", "no-answer", "refused", "lost"
_BUSY = (486, 600)
_NO_ANSWER = (408, 480, 487)


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call, in seconds: `t` virtual time of the INVITE, `setup_seconds` from there to the first 180, `answer_seconds` to the
    200, `media_seconds` from the 200 until both have heard the other.

    `way` is "direct", "relayed", "tls" (all of it over a stream) or "none", `relays` how many relays were on it, `one_way` that
    only one of both was heard, `spoken`, `heard` and `heard_back` are packets.
    """

    t: float
    caller: str
    callee: str
    nat: str
    callee_nat: str
    outcome: str
    cause: str
    status: int
    setup_seconds: float | None
    answer_seconds: float | None
    media_seconds: float | None
    way: str
    relays: int
    spoken: int
    heard: int
    heard_back: int
    longest_gap: float
    one_way: bool

    def as_row(self) -> dict[str, Cell]:
        """A row of the table of calls."""
        return asdict(self)

    @property
    def has_media(self) -> bool:
        """Whether both have heard the other, and nobody else."""
        return self.media_seconds is not None


def result_of(
    caller: Household,
    callee: Household,
    started: float,
    report: CallReport,
    voice: Voice | None,
    other: Voice | None,
) -> CallResult:
    """Sum a call up. `started` is virtual time; the times of `report` are of a clock that began elsewhere."""
    heard = 0 if voice is None else voice.heard.get(callee.address, 0)
    heard_back = 0 if other is None else other.heard.get(caller.address, 0)
    strangers = any(set(each.heard) - {name.address} for each, name in ((voice, callee), (other, caller)) if each)
    firsts = [each.first_heard for each in (voice, other) if each is not None and each.first_heard is not None]
    both = len(firsts) == 2 and heard > 0 and heard_back > 0 and not strangers
    answer = None if report.answered is None else report.answered - report.started
    outcome, cause = _outcome(report, both)
    way, relays = _way(caller, callee)
    return CallResult(
        t=round(started, 6),
        caller=caller.address,
        callee=callee.address,
        nat=caller.nat,
        callee_nat=callee.nat,
        outcome=outcome,
        cause="strange words were heard" if strangers else cause,
        status=report.status,
        setup_seconds=None if report.rang is None else round(report.rang - report.started, 6),
        answer_seconds=None if answer is None else round(answer, 6),
        media_seconds=round(max(firsts) - started - answer, 6) if both and answer is not None else None,
        way=way if both else "none",
        relays=relays,
        spoken=0 if voice is None else voice.spoken,
        heard=heard,
        heard_back=heard_back,
        longest_gap=round(max((each.longest_gap for each in (voice, other) if each is not None), default=0.0), 6),
        one_way=(heard > 0) != (heard_back > 0),
    )


def _outcome(report: CallReport, both: bool) -> tuple[str, str]:
    cause = f"{report.status} {report.reason}" + (f": {report.why}" if report.why else "")
    if 200 <= report.status < 300:
        if not both:
            return LOST, f"answered, but not heard both ways; ended by {report.ended_by}"
        ended_early = "" if report.ended_by == "us" else report.ended_by
        return ANSWERED, ended_early
    if report.status in _BUSY:
        return BUSY, cause
    if report.status in _NO_ANSWER:
        return NO_ANSWER, cause
    return REFUSED, cause


def _way(caller: Household, callee: Household) -> tuple[str, int]:
    """What both nodes say of the last path between them: over a stream if either has one."""
    paths = [path for path in (_path(caller, callee), _path(callee, caller)) if path.get("way") is not None]
    if not paths:
        return "none", 0
    way = "tls" if any(path.get("transport") == "stream" for path in paths) else str(paths[0]["way"])
    return way, max(len(path.get("via", ())) for path in paths)


def _path(household: Household, other: Household) -> dict[str, Any]:
    """The path to the other node in the newest record of a call with them."""
    if household.node is None:
        return {}
    for record in reversed(list(household.node.calls.log)):
        if {record.caller, record.callee} == {household.address, other.address} and record.media:
            return next((end["path"] for end in record.media["ends"] if end["kind"] == "node"), {})
    return {}
