"""The exchange of connectivity checks (RFC 8445 §7): requests of the peer, answers to ours, roles, credentials.

Which pair carries media is decided above it, in `media/ice/agent.py`.
"""

import abc
import enum
from collections import deque
from collections.abc import Sequence

from media import stun
from media.ice.candidates import Candidate, Pair, PairState, Way, relay_of
from media.ice.checklist import ATTEMPTS_MAX, REFUSALS_MAX, Check, Checklist, Checks
from media.ice.credentials import Credentials
from media.ice.events import Failed, Output, State, Transmit
from media.ice.upkeep import Upkeep
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

CANDIDATES_MAX = 32
EARLY_CHECKS_MAX = 16

PACE_SECONDS = 0.005
FIRST_CHECKS = 8
RETRANSMIT_SECONDS = 0.1
RETRANSMIT_SECONDS_MAX = 0.5
_PRFLX_PRIORITY = (110 << 24) + (65_535 << 8) + 255


class Deadline(enum.Enum):
    """The named deadlines of an agent."""

    PACE = "pace"
    NOMINATE = "nominate"
    DEADLINE = "deadline"
    REVIVE = "revive"


class Checking(abc.ABC):
    """The checks of one agent."""

    def __init__(self, *, controlling: bool, local: Sequence[Candidate], chance: Chance) -> None:
        self.controlling = controlling
        self.local: list[Candidate] = list(local)[:CANDIDATES_MAX]
        self.state = State.GATHERED
        self.selected: Pair | None = None
        self.is_stalled = False
        self.checklist = Checklist()
        self._chance = chance
        self._credentials = Credentials(chance)
        self._tie_breaker = chance.integer(64)
        self._remotes: list[Candidate] = []
        self._checks = Checks()
        self._early: deque[tuple[Way, int, bool]] = deque(maxlen=EARLY_CHECKS_MAX)
        self._retransmit: Timers[Pair] = Timers()
        self._timers: Timers[Deadline] = Timers()
        self._upkeep = Upkeep(self.checklist, chance)
        self._agreed: Pair | None = None
        self._begun = self._nominate_at = 0.0
        self._at_once = FIRST_CHECKS
        self._outputs: deque[Output] = deque()

    @property
    def ufrag(self) -> str:
        """Our user name fragment."""
        return self._credentials.ufrag

    @property
    def password(self) -> str:
        """Our password."""
        return self._credentials.password

    @property
    def is_suspect(self) -> bool:
        """Whether the way in use may be dead, or there is none."""
        return self.selected is None or self.is_stalled or self.state is State.FAILED or self._upkeep.is_suspect

    def is_of_peer(self, ufrag: str, password: str) -> bool:
        """Whether these are the peer's credentials for this agent."""
        return self._credentials.are_of(ufrag, password)

    def receive(self, data: bytes, source: Way, now: float) -> None:
        """Take one STUN datagram."""
        try:
            message = stun.parse(data)
        except RemoteError:
            return
        if message.message_method != stun.Method.BINDING or self.state is State.FAILED:
            return
        if message.message_class == stun.Class.REQUEST:
            self._receive_request(message, source, now)
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            self._receive_response(message, source, now)

    def wrap(self, data: bytes) -> bytes:
        """A DTLS datagram in an indication for the peer's agent."""
        return self._credentials.wrap(data)

    def unwrap(self, data: bytes) -> bytes | None:
        """The DTLS datagram in an indication that the peer sent to this agent; None for anything else."""
        return self._credentials.unwrap(data)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _is_wanted(self, pair: Pair) -> bool:
        """Whether a check of `pair` may still better anything."""
        if self.state is not State.CONNECTED or self.selected is None or self.is_stalled or pair.nominated:
            return True
        return pair is self.selected or self.checklist.is_wanted_beside(self.selected, pair, self._upkeep.spares)

    def _plan_pace(self, now: float) -> None:
        if self.state in (State.CHECKING, State.CONNECTED) and Deadline.PACE not in self._timers:
            self._timers.set(Deadline.PACE, now)

    def _pace(self, now: float) -> None:
        """One check every PACE_SECONDS; the FIRST_CHECKS leave together."""
        while (pair := self.checklist.next_waiting(self.controlling, self._is_wanted)) is not None:
            self._check(pair, now)
            self._at_once -= 1
            if self._at_once <= 0:
                self._timers.set(Deadline.PACE, now + PACE_SECONDS)
                return

    def _check(self, pair: Pair, now: float, *, nominate: bool = False) -> None:
        transaction = self._chance.bytes(12)
        self._checks.add(transaction, Check(pair, nominate, self.controlling, now))
        pair.checked_at = now
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.IN_PROGRESS
            pair.is_hastened = False
            delay = min(RETRANSMIT_SECONDS * 2**pair.attempts, RETRANSMIT_SECONDS_MAX)
            self._retransmit.set(pair, now + delay)
        pair.attempts = min(pair.attempts + 1, ATTEMPTS_MAX)
        role = "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        priority = _PRFLX_PRIORITY if relay_of(pair.local) is None else pair.local.priority
        attributes: dict[str, object] = {"PRIORITY": priority, role: self._tie_breaker}
        if nominate:
            attributes["USE-CANDIDATE"] = None
        self._outputs.append(Transmit(self._credentials.check(transaction, attributes), pair.destination))

    def _receive_request(self, message: stun.Message, source: Way, now: float) -> None:
        attributes = message.attributes
        if "USERNAME" not in attributes or "PRIORITY" not in attributes:
            self._outputs.append(Transmit(stun.binding_error(message, 400, "Bad Request", None), source))
            return
        if attributes["USERNAME"].partition(":")[0] != self.ufrag:
            return
        try:
            stun.verify(message, self.password)
        except RemoteError:
            self._outputs.append(Transmit(stun.binding_error(message, 401, "Unauthorized", None), source))
            return
        if not self._settle_roles(message, source, now):
            return
        self._outputs.append(Transmit(stun.binding_success(message, (source[0], source[1]), self.password), source))
        use = "USE-CANDIDATE" in attributes
        if self.state is State.GATHERED:
            self._early.append((source, attributes["PRIORITY"], use))
        else:
            self._take_check(source, attributes["PRIORITY"], use, now)

    def _settle_roles(self, message: stun.Message, source: Way, now: float) -> bool:
        """§7.3.1.1: two agents of one role; the larger tie-breaker stays controlling. False when 487 was answered."""
        rival = message.attributes.get("ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED")
        if rival is None:
            return True
        we_control = self._tie_breaker >= rival
        if we_control == self.controlling:
            error = stun.binding_error(message, 487, "Role Conflict", self.password)
            self._outputs.append(Transmit(error, source))
            return False
        self._switch_role(now)
        return True

    def _switch_role(self, now: float) -> None:
        """The new controlling agent nominates; what the peer nominated in its old role no longer counts."""
        self.controlling = not self.controlling
        self._timers.stop(Deadline.NOMINATE)
        self.checklist.nominate(None)
        self._agreed = None
        if self.controlling and self.checklist.best_valid(True) is not None:
            self._timers.set(Deadline.NOMINATE, now)

    def _take_check(self, source: Way, priority: int, use: bool, now: float) -> None:
        """Learn a peer-reflexive candidate, check back at once (§7.3.1.4), and follow a nomination (§7.3.1.5)."""
        pair = self.checklist.learn(self.local, source, priority)
        if pair is None:
            return
        if use and not self.controlling:
            self.checklist.nominate(pair)
        if pair.state is PairState.SUCCEEDED:
            if use and not self.controlling:
                self._conclude(pair, now)
            elif pair is not self.selected:
                self._upkeep.hint(now)
        elif pair.state is PairState.IN_PROGRESS:
            self._hasten(pair, now)
        elif self._is_wanted(pair):
            self._check(pair, now)

    def _hasten(self, pair: Pair, now: float) -> None:
        """Our check may have met a NAT that the peer's has opened since, or its answer is on the way already (§6.1.4)."""
        if not pair.is_hastened:
            pair.is_hastened = True
            self._retransmit.set(pair, now + PACE_SECONDS)

    def _receive_response(self, message: stun.Message, source: Way, now: float) -> None:
        check = self._checks.get(message.transaction_id)
        if check is None:
            return
        if message.error_code == 401 and source == check.pair.destination:  # comes without integrity (RFC 8489 §9.1.3)
            self._checks.remove(message.transaction_id)
            self._refused(check.pair)
            return
        try:
            stun.verify(message, self._credentials.remote_password)
        except RemoteError:
            return
        self._checks.remove(message.transaction_id)
        if message.message_class == stun.Class.ERROR:
            self._check_failed(check, message.error_code, now)
        elif source == check.pair.destination:  # §7.2.5.2.1: the answer must come from where the check went
            check.pair.mapped = message.attributes.get("XOR-MAPPED-ADDRESS")
            self._check_succeeded(check, now)

    def _check_failed(self, check: Check, code: int | None, now: float) -> None:
        pair = check.pair
        if code == 487:
            if check.controlling == self.controlling:  # several checks of the old role may be answered so
                self._switch_role(now)
            self._check(pair, now)
        elif pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.FAILED
            self._retransmit.stop(pair)

    def _refused(self, pair: Pair) -> None:
        """A 401 could be forged by who sees the path, so it takes a few; then waiting longer would not help."""
        pair.refusals += 1
        if pair.state is not PairState.IN_PROGRESS or pair.refusals < REFUSALS_MAX:
            return
        pair.state = PairState.FAILED
        self._retransmit.stop(pair)
        if self.state is State.CHECKING and self.checklist.is_refused():
            self._fail(self.checklist.reason())

    def _fail(self, reason: str) -> None:
        if self.state is not State.FAILED:
            self._outputs.append(Failed(reason))
        self.state = State.FAILED
        self._checks.clear()
        self._early.clear()
        self._retransmit, self._timers = Timers(), Timers()
        self._upkeep.stop()

    @abc.abstractmethod
    def _check_succeeded(self, check: Check, now: float) -> None:
        """A check was answered."""

    @abc.abstractmethod
    def _conclude(self, pair: Pair, now: float) -> None:
        """Both sides agree on a pair."""
