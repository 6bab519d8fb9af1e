"""One call between two nodes of a swarm: INVITE, 183, 200, BYE over the conversation of the two, and what came of it.

What is the overlay's is real: the words go through `Peer.say`, over the ways that the registration tells, super-nodes included.
They are repeated as SIP does over UDP (RFC 3261 §17.1.1.2: after 0.5 s, 1 s, 2 s and so on, given up after 32 s), and have the
size of the real ones, but say nothing. Whole nodes, with SIP and media, call in `simulations.village`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from overlay.found import Found
from overlay.registration import Rendezvous
from p2psip.base.core import Address
from simulations.nodes import Node
from simulations.world import World

RINGS_SECONDS_MAX = 30.0
FIRST_REPEAT_SECONDS = 0.5
GIVEN_UP_SECONDS = 32.0
"""64 times T1 (RFC 3261 §17.1.1.2, timer B)."""
HANGS_SECONDS = GIVEN_UP_SECONDS + RINGS_SECONDS_MAX + 3.0
"""A call without an outcome after so long hangs: an answer that comes at the last moment may still ring to the end."""

INVITE, PROGRESS, OK, BUSY, BYE = b"INVITE", b"183", b"200", b"486", b"BYE"
BYTES = {INVITE: 1_600, PROGRESS: 1_400, OK: 600, BUSY: 500, BYE: 450}
"""Sizes of SIP messages: INVITE and 183 with a description of ICE candidates and a fingerprint, the others without."""

ANSWERED, BUSY_THERE, NOT_PICKED_UP = "answered", "busy", "no-answer"
ABSENT, UNKNOWN, UNREACHED, ABANDONED, HANGS = "absent", "unknown", "unreached", "abandoned", "hangs"


@dataclass(frozen=True, slots=True)
class Fate:
    """What people will do, drawn before the call: how long it rings until somebody picks up (None: nobody), how long they talk."""

    rings_seconds: float | None
    talks_seconds: float


@dataclass(slots=True, eq=False)
class Call:
    """A call. `setup_seconds`: from dialling to the callee's node's first answer, after which media can flow; `cut`: one of
    the two vanished during the talk; `live`: a device of the callee was up and registered when the caller dialled."""

    number: int
    caller: Node
    callee: Node
    begun: float
    live: bool
    fate: Fate
    outcome: str = ""
    cause: str = ""
    setup_seconds: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    cut: bool = False
    device: Node | None = None
    picked_up: set[int] = field(default_factory=set)
    _caller_starts: int = 0
    _device_starts: int = 0

    def __post_init__(self) -> None:
        self._caller_starts = self.caller.starts

    @property
    def is_over(self) -> bool:
        """Whether the caller knows what came of it and talks no more."""
        return bool(self.outcome) and (self.outcome != ANSWERED or self.ended_at is not None)

    @property
    def caller_is_there(self) -> bool:
        """Whether the caller's node has run since the call began."""
        return self.caller.alive and self.caller.starts == self._caller_starts

    @property
    def device_is_there(self) -> bool:
        """Whether the node that took the call has run since."""
        return self.device is not None and self.device.alive and self.device.starts == self._device_starts

    def taken_by(self, node: Node) -> None:
        """A node of the callee took the call."""
        self.device, self._device_starts = node, node.starts


class Signalling:
    """The calls of a swarm that are under way. `settled(call)` is called when the outcome is known, `ended(call)` after a talk."""

    def __init__(self, world: World, settled: Callable[[Call], None], ended: Callable[[Call], None]) -> None:
        self.calls: dict[int, Call] = {}
        self._world = world
        self._settled = settled
        self._ended = ended
        self._talking: dict[int, Call] = {}

    def is_busy(self, node: Node) -> bool:
        """Whether a node talks or rings."""
        return node.number in self._talking

    def begin(self, call: Call) -> None:
        """The caller dials; the lookup is under way."""
        self.calls[call.number] = call
        self._talking[call.caller.number] = call
        self._world.after(HANGS_SECONDS, lambda: self._look_whether_it_hangs(call))

    def found(self, call: Call, found: Found) -> None:
        """The lookup has ended."""
        if call.outcome or not call.caller_is_there:
            return
        if not found.registrations:
            known = found.name_exists
            words = "nobody is registered there" if known else "there is no such name"
            self._settle(call, ABSENT if known else UNKNOWN, words)
            return
        self._invite(call, found, FIRST_REPEAT_SECONDS, self._world.now + GIVEN_UP_SECONDS)

    def heard(self, node: Node, sender: bytes, data: bytes) -> None:
        """A node was told something by another (its key)."""
        word, _space, rest = data.partition(b" ")
        number = rest.partition(b" ")[0]
        call = self.calls.get(int(number)) if word in BYTES and number.isdigit() else None
        if call is None:
            return
        if word == INVITE:
            self._ring(call, node)
        elif word == BYE:
            self._talking.pop(node.number, None)
        elif node is call.caller and not call.outcome:
            self._progress(call, word)

    # --- the caller's side

    def _invite(self, call: Call, found: Found, wait: float, until: float) -> None:
        if call.outcome or call.setup_seconds is not None or not call.caller_is_there:
            return
        now = self._world.now
        if now >= until:
            call.caller.core.forget_found(call.callee.address)
            self._settle(call, UNREACHED, "no node of the callee answers")
            return
        for registration in found.registrations:
            self._say(call, call.caller, registration.node_key, INVITE, registration.ways)
        self._world.after(min(wait, until - now), lambda: self._invite(call, found, 2 * wait, until))

    def _progress(self, call: Call, word: bytes) -> None:
        now = self._world.now
        if call.setup_seconds is None:
            call.setup_seconds = now - call.begun
            if word != BUSY:
                self._world.after(RINGS_SECONDS_MAX, lambda: self._settle(call, NOT_PICKED_UP, "nobody picks up"))
        if word == BUSY:
            self._settle(call, BUSY_THERE, "the callee talks to somebody else")
        elif word == OK:
            call.answered_at = now
            self._settle(call, ANSWERED, "")
            self._world.after(call.fate.talks_seconds, lambda: self._hang_up(call))

    def _hang_up(self, call: Call) -> None:
        call.ended_at = self._world.now
        call.cut = not (call.caller_is_there and call.device_is_there)
        if call.caller_is_there and call.device is not None:
            self._say(call, call.caller, call.device.key, BYE)
        self._forget(call)
        self._ended(call)

    def _settle(self, call: Call, outcome: str, cause: str) -> None:
        if call.outcome:
            return
        if not call.caller_is_there:
            outcome, cause = ABANDONED, "the caller's node vanished"
        call.outcome, call.cause = outcome, cause
        if outcome != ANSWERED:
            self._forget(call)
        self._settled(call)

    def _look_whether_it_hangs(self, call: Call) -> None:
        self._settle(call, HANGS, "nothing was heard of it")

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.number, None)
        for node in (call.caller, call.device):
            if node is not None and self._talking.get(node.number) is call:
                del self._talking[node.number]

    # --- the callee's side

    def _ring(self, call: Call, node: Node) -> None:
        """An INVITE came, for the first time or again: answer, and ring if this node is the first and free."""
        if call.device is node:
            self._say(call, node, call.caller.key, OK if node.number in call.picked_up else PROGRESS)
        elif node.number in self._talking:
            self._say(call, node, call.caller.key, BUSY)
        elif call.device is None:
            call.taken_by(node)
            self._talking[node.number] = call
            self._say(call, node, call.caller.key, PROGRESS)
            rings = call.fate.rings_seconds
            if rings is not None and rings < RINGS_SECONDS_MAX:
                self._world.after(rings, lambda: self._pick_up(call, node, FIRST_REPEAT_SECONDS))

    def _pick_up(self, call: Call, node: Node, wait: float) -> None:
        """Say 200 until the caller has heard it (RFC 3261 §13.3.1.4)."""
        if call.outcome or not call.device_is_there or wait > GIVEN_UP_SECONDS:
            return
        call.picked_up.add(node.number)
        self._say(call, node, call.caller.key, OK)
        self._world.after(wait, lambda: self._pick_up(call, node, 2 * wait))

    # --- words

    def _say(
        self, call: Call, node: Node, other: bytes, word: bytes, ways: Sequence[Address | Rendezvous] = ()
    ) -> None:
        words = b"%b %d " % (word, call.number)
        node.core.peer.say(other, ways, words + bytes(BYTES[word] - len(words)), self._world.now)
        self._world.pump(node)
