"""Why somebody is not heard, in words: pure functions from what is known of a call's two ends to a sentence for a person.

Each direction of audio is looked at from its source to its sink, and the first thing that is wrong is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EARLY_SECONDS = 2.0
SILENT_SECONDS = 6.0
LOSS_SHARE_MAX = 0.05
LOSS_PACKETS_MIN = 100

State = Literal["flows", "held", "silent", "stopped", "early"]

_SENDS = ("sendrecv", "sendonly")
_HAVE_PATHS = ("node", "web phone")
_HEARS = ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class EndFacts:
    """One end of a call as this node sees it. Times are unix seconds, None for what has not happened.

    `direction` and `formats` are what the end said in its last description, `path` is what its leg says of itself (a phone:
    local, announced, heard_from, sent_to; a node: way, via, remote_address and more). `received` came from it, `sent` went to it.
    `payload_type` is the one of the packet that came last; `missing` counts gaps in sequence numbers; `closed_port` counts
    ICMP messages that say that nobody listens where it wants its audio.
    """

    name: str
    kind: Literal["phone", "web phone", "node", "service"]
    path: Mapping[str, Any] = field(default_factory=dict)
    direction: str = "sendrecv"
    formats: tuple[str, ...] = ()
    received: int = 0
    sent: int = 0
    refused: int = 0
    octets_received: int = 0
    octets_sent: int = 0
    missing: int = 0
    refused_from: str | None = None
    closed_port: int = 0
    undecryptable: int = 0
    payload_type: int | None = None
    first_received: float | None = None
    last_received: float | None = None
    first_sent: float | None = None
    last_sent: float | None = None
    last_refused: float | None = None
    last_closed: float | None = None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Hearing:
    """One direction of audio. `cause` is a sentence; empty when there is nothing to say."""

    source: str
    sink: str
    state: State
    cause: str = ""


def hearing(source: EndFacts, sink: EndFacts, unix: float, answered: float) -> Hearing:
    """Whether audio comes from `source` to `sink`, seen at `unix` in a call that was answered at `answered`."""
    if source.direction not in _SENDS or sink.direction not in _HEARS:
        return Hearing(source.name, sink.name, "held", _why_held(source, sink))
    spoke = sink.sent if source.kind == "service" else source.received
    if not spoke:
        if unix - answered < EARLY_SECONDS and not source.refused:
            return Hearing(source.name, sink.name, "early", "the call is too young to tell")
        return Hearing(source.name, sink.name, "silent", _why_nothing_came(source))
    if source.last_received is not None and unix - source.last_received > SILENT_SECONDS:
        return Hearing(source.name, sink.name, "stopped", _why_it_stopped(source, unix - source.last_received))
    obstacle = _obstacle(source, sink, unix)
    if obstacle:
        return Hearing(source.name, sink.name, "silent", obstacle)
    return Hearing(source.name, sink.name, "flows", _reservation(source, sink))


def verdict(there: Hearing, back: Hearing) -> str:
    """Both directions in one sentence."""
    states = {there.state, back.state}
    if states == {"flows"}:
        return "audio flows both ways"
    if "early" in states:
        return "the call is too young to tell"
    if states <= {"flows", "held"}:
        held = there if there.state == "held" else back
        return f"the call is held: {held.cause}"
    broken = [each for each in (there, back) if each.state in ("silent", "stopped")]
    if len(broken) == 2:
        same = there.cause == back.cause
        causes = there.cause if same else f"{there.cause}; and {back.cause}"
        return f"no audio either way: {causes}"
    return f"one-way audio: {broken[0].sink} does not hear {broken[0].source}: {broken[0].cause}"


def _why_held(source: EndFacts, sink: EndFacts) -> str:
    if "inactive" in (source.direction, sink.direction):
        who = source if source.direction == "inactive" else sink
        return f"{who.name} has switched audio off in both directions (inactive)"
    if sink.direction == "sendonly":
        return f"{sink.name} has put the call on hold (sendonly: it does not want to hear)"
    return f"{source.name} only listens (recvonly: it has been put on hold, or has no microphone)"


def _why_nothing_came(source: EndFacts) -> str:
    if source.kind in _HAVE_PATHS:
        return _why_no_path(source)
    if source.kind == "service":
        return f"{source.name} has said nothing"
    announced, local = source.path.get("announced"), source.path.get("local")
    if source.undecryptable:
        return (
            f"{source.undecryptable} packet(s) of {source.name} came and did not fit the keys of its SRTP:"
            " it sends plain RTP, or with other keys than it has said"
        )
    if source.refused_from is not None:
        return (
            f"packets came from {source.refused_from}, but {source.name} announced {announced} and signals from another"
            f" host: {source.refused} packet(s) were refused, as they could be anybody's;"
            " let it announce the address that it sends from (switch STUN and its external address off)"
        )
    if source.refused:
        return f"what came from {source.name} was no RTP: {source.refused} packet(s) were refused"
    if announced is None:
        return f"{source.name} has announced no address for audio, and nothing came from it"
    return (
        f"nothing came from {source.name}: packets were expected from {announced} at {local}, and none arrived;"
        f" a firewall between it and this node, or a wrong address in its settings"
    )


def _why_no_path(source: EndFacts) -> str:
    if source.lost:
        return f"the media path to {source.name} was lost: {source.lost}"
    if source.path.get("way") is None:
        return f"no media path to {source.name} has been found"
    silent = (
        "its microphone is off"
        if source.kind == "web phone"
        else "the phone behind it is silent, or cannot reach its node"
    )
    return f"the path to {source.name} works ({_way(source)}), but it sends no audio: {silent}"


def _why_it_stopped(source: EndFacts, seconds: float) -> str:
    since = f"nothing more has come from {source.name} for {seconds:.0f} s, after {source.received} packet(s)"
    if source.kind in _HAVE_PATHS:
        if source.lost:
            return f"the media path to {source.name} was lost: {source.lost}"
        return f"{since}; the path was {_way(source)}"
    refused = source.refused_from is not None and source.last_refused is not None
    if refused and (source.last_refused or 0.0) > (source.last_received or 0.0):
        return (
            f"{source.name} was heard from {source.path.get('heard_from')} and now sends from {source.refused_from},"
            f" which it has not announced: {source.refused} packet(s) were refused"
        )
    return f"{since}; it is muted and suppresses silence, or it is gone"


def _obstacle(source: EndFacts, sink: EndFacts, unix: float) -> str:
    """Why what came from `source` does not arrive at `sink`, or nothing."""
    if sink.lost:
        return f"the media path to {sink.name} was lost: {sink.lost}"
    if not sink.sent and sink.kind in _HAVE_PATHS:
        return f"no media path to {sink.name} has been found, so that nothing can be sent there"
    if not sink.sent and sink.kind == "phone":
        return f"{sink.name} has announced no address that audio could be sent to"
    if sink.last_closed is not None and unix - sink.last_closed <= SILENT_SECONDS:
        return (
            f"nobody listens at {sink.path.get('sent_to')}, where {sink.name} wants its audio:"
            f" its machine has said so {sink.closed_port} time(s) (ICMP port unreachable)"
        )
    kind = source.payload_type
    if kind is not None and sink.formats and str(kind) not in sink.formats:
        agreed = " ".join(sink.formats)
        return f"{source.name} sends payload type {kind}, but {sink.name} takes {agreed} only (codec mismatch)"
    return ""


def _reservation(source: EndFacts, sink: EndFacts) -> str:
    """What is doubtful about a direction that works as far as this node can see."""
    expected = source.received + source.missing
    if expected >= LOSS_PACKETS_MIN and source.missing > LOSS_SHARE_MAX * expected:
        return f"{100 * source.missing / expected:.0f} % of the packets of {source.name} were lost on the way here"
    if sink.kind == "phone" and not sink.received and sink.direction in _SENDS:
        return (
            f"packets go to {sink.path.get('sent_to')}, but nothing has ever come from there:"
            f" that {sink.name} hears them is not proved"
        )
    return ""


def _way(end: EndFacts) -> str:
    way, remote, via = end.path.get("way"), end.path.get("remote_address"), end.path.get("via")
    through = f" via {' and '.join(via)}" if via else ""
    return f"{way}{through} to {remote}" if remote else f"{way}{through}"
