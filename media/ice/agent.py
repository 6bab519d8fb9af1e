"""One ICE agent with one component (RFC 8445), consent freshness (RFC 7675) and early use of whatever works first.

    GATHERED   local candidates are known, remote credentials are not: early checks are answered and remembered
    CHECKING   checks run; the first valid pair may carry media at once (`Selected`)
    CONNECTED  a pair is nominated; consent is kept fresh; a better or repaired pair may still take over
    FAILED     no pair became valid before the deadline, or consent was lost

All packets leave by the node's one socket of their address family, so local candidates of one family share a base and
are paired once (§6.1.2.4 prunes the rest).
"""

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media import stun
from media.ice.candidates import Candidate, Pair, PairState, parse_candidate, peer_reflexive
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

CANDIDATES_MAX = 32
PAIRS_MAX = 64
EARLY_CHECKS_MAX = 16
TRANSACTIONS_MAX = 256

PACE_SECONDS = 0.005
RETRANSMIT_SECONDS = 0.1
RETRANSMIT_SECONDS_MAX = 1.0
HOLD_BACK_SECONDS = 0.05
DEADLINE_SECONDS = 8.0
CONSENT_SECONDS = 5.0
CONSENT_EXPIRES_SECONDS = 30.0
_PRFLX_PRIORITY = (110 << 24) + (65_535 << 8) + 255


class State(enum.Enum):
    """Where the agent stands; the table is at the top of this file."""

    GATHERED = "gathered"
    CHECKING = "checking"
    CONNECTED = "connected"
    FAILED = "failed"


class _Timer(enum.Enum):
    PACE = "pace"
    NOMINATE = "nominate"
    DEADLINE = "deadline"
    CONSENT = "consent"
    CONSENT_EXPIRES = "consent expires"


@dataclass(frozen=True, slots=True)
class Selected:
    """Media goes to `remote` from now on; `nominated` says whether ICE has concluded on it."""

    remote: Address
    nominated: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no path, or no longer one; `reason` is a sentence."""

    reason: str


Output = Transmit | Selected | Failed


class IceAgent:
    """The core of one agent. Feed it STUN only; drain it after every input."""

    def __init__(self, *, controlling: bool, local: Sequence[Candidate], chance: Chance) -> None:
        self.controlling = controlling
        self.ufrag = chance.token(4)
        self.password = chance.token(12)
        self.local: list[Candidate] = list(local)[:CANDIDATES_MAX]
        self.state = State.GATHERED
        self.selected: Pair | None = None
        self._chance = chance
        self._tie_breaker = chance.integer(64)
        self._remote_ufrag = ""
        self._remote_password = ""
        self._pairs: list[Pair] = []
        self._triggered: deque[Pair] = deque()
        self._transactions: dict[bytes, tuple[Pair, bool]] = {}
        self._early: deque[tuple[Address, int, bool]] = deque(maxlen=EARLY_CHECKS_MAX)
        self._retransmit: Timers[int] = Timers()
        self._timers: Timers[_Timer] = Timers()
        self._outputs: deque[Output] = deque()

    # Inputs

    def set_remote(self, ufrag: str, password: str, lines: Iterable[str], now: float) -> None:
        """Begin the checks: the peer's credentials and candidate lines; lines that cannot be used are passed over."""
        self._remote_ufrag, self._remote_password = ufrag, password
        self.state = State.CHECKING
        self._timers.set(_Timer.DEADLINE, now + DEADLINE_SECONDS)
        for line in lines:
            self.add_remote_candidate(line, now)
        while self._early:
            source, priority, use = self._early.popleft()
            self._take_check(source, priority, use, now)
        self._pace(now)

    def add_remote_candidate(self, line: str, now: float) -> None:
        """One more candidate of the peer (RFC 8838)."""
        try:
            remote = parse_candidate(line)
        except RemoteError:
            return
        self._pair_up(remote)
        self._plan_pace(now)

    def receive(self, data: bytes, source: Address, now: float) -> None:
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
        username = f"{self._remote_ufrag}:{self.ufrag}"
        return stun.dtls_indication(self._chance.bytes(12), username, self._remote_password, data)

    def unwrap(self, data: bytes) -> bytes | None:
        """The DTLS datagram in an indication that the peer sent to this agent; None for anything else."""
        try:
            message = stun.parse(data)
            stun.verify(message, self.password)
        except RemoteError:
            return None
        wrapped = message.attributes.get("DATA") if message.message_class == stun.Class.INDICATION else None
        return wrapped if isinstance(wrapped, bytes) else None

    def handle_timeout(self, now: float) -> None:
        """Serve all deadlines that are due."""
        for index in self._retransmit.expired(now):
            pair = self._pairs[index]
            if pair.state is PairState.IN_PROGRESS and self.state is not State.FAILED:
                self._check(pair, now, nominate=pair.nominated)
        for timer in self._timers.expired(now):
            match timer:
                case _Timer.PACE:
                    self._pace(now)
                case _Timer.NOMINATE:
                    self._nominate(now)
                case _Timer.DEADLINE:
                    if self.state is State.CHECKING:
                        self._fail("no way to the other side was found: every connectivity check failed")
                case _Timer.CONSENT:
                    self._refresh_consent(now)
                case _Timer.CONSENT_EXPIRES:
                    self._fail("the other side has vanished: it no longer answers connectivity checks")

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        deadlines = [when for when in (self._timers.next(), self._retransmit.next()) if when is not None]
        return min(deadlines, default=None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    # Pairs

    def _pair_up(self, remote: Candidate) -> Pair | None:
        """The pair for `remote` (made when it is new), or None when there is no local candidate of its family."""
        for pair in self._pairs:
            if pair.destination == (remote.host, remote.port):
                return pair
        local = next((candidate for candidate in self.local if candidate.can_pair_with(remote)), None)
        if local is None or len(self._pairs) >= PAIRS_MAX:
            return None
        pair = Pair(local, remote)
        self._pairs.append(pair)
        return pair

    def _plan_pace(self, now: float) -> None:
        if self.state is State.CHECKING and _Timer.PACE not in self._timers:
            self._timers.set(_Timer.PACE, now)

    def _pace(self, now: float) -> None:
        """One check every PACE_SECONDS: a triggered one first, else the waiting pair of highest priority (§6.1.4.2)."""
        pair = self._triggered.popleft() if self._triggered else None
        if pair is None:
            waiting = [candidate for candidate in self._pairs if candidate.state is PairState.WAITING]
            pair = max(waiting, key=lambda each: each.priority(self.controlling), default=None)
        if pair is not None:
            self._check(pair, now)
            self._timers.set(_Timer.PACE, now + PACE_SECONDS)

    def _check(self, pair: Pair, now: float, *, nominate: bool = False) -> None:
        if len(self._transactions) >= TRANSACTIONS_MAX:
            self._transactions.pop(next(iter(self._transactions)))
        transaction = self._chance.bytes(12)
        self._transactions[transaction] = (pair, nominate)
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.IN_PROGRESS
            delay = min(RETRANSMIT_SECONDS * 2**pair.attempts, RETRANSMIT_SECONDS_MAX)
            self._retransmit.set(self._pairs.index(pair), now + delay)
        pair.attempts = min(pair.attempts + 1, 8)
        pair.sent_at = now
        role = "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        attributes: dict[str, object] = {"PRIORITY": _PRFLX_PRIORITY, role: self._tie_breaker}
        if nominate:
            attributes["USE-CANDIDATE"] = None
        username = f"{self._remote_ufrag}:{self.ufrag}"
        wire = stun.binding_request(transaction, username, self._remote_password, attributes)
        self._outputs.append(Transmit(wire, pair.destination))

    # Requests of the peer

    def _receive_request(self, message: stun.Message, source: Address, now: float) -> None:
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
        if not self._settle_roles(message, source):
            return
        self._outputs.append(Transmit(stun.binding_success(message, source, self.password), source))
        use = "USE-CANDIDATE" in attributes
        if self.state is State.GATHERED:
            self._early.append((source, attributes["PRIORITY"], use))
        else:
            self._take_check(source, attributes["PRIORITY"], use, now)

    def _settle_roles(self, message: stun.Message, source: Address) -> bool:
        """§7.3.1.1: two agents of one role; the larger tie-breaker stays controlling. False when 487 was answered."""
        rival = message.attributes.get("ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED")
        if rival is None:
            return True
        we_control = self._tie_breaker >= rival
        if we_control == self.controlling:
            error = stun.binding_error(message, 487, "Role Conflict", self.password)
            self._outputs.append(Transmit(error, source))
            return False
        self.controlling = we_control
        return True

    def _take_check(self, source: Address, priority: int, use: bool, now: float) -> None:
        """Learn a peer-reflexive candidate, check back at once (§7.3.1.4), and follow a nomination (§7.3.1.5)."""
        pair = self._pair_up(peer_reflexive(source, priority, len(self._pairs)))
        if pair is None:
            return
        if use and not self.controlling:
            pair.nominated = True
        if pair.state is PairState.SUCCEEDED:
            if pair.nominated:
                self._conclude(pair, now)
        elif self.state is State.CHECKING or pair.nominated:
            self._check(pair, now)

    # Responses to our checks

    def _receive_response(self, message: stun.Message, source: Address, now: float) -> None:
        found = self._transactions.get(message.transaction_id)
        if found is None:
            return
        pair, nominate = found
        try:
            stun.verify(message, self._remote_password)
        except RemoteError:
            return
        del self._transactions[message.transaction_id]
        if message.message_class == stun.Class.ERROR:
            self._check_failed(pair, message.error_code, now)
        elif source == pair.destination:  # §7.2.5.2.1: the answer must come from where the check went
            self._check_succeeded(pair, nominate, now)

    def _check_failed(self, pair: Pair, code: int | None, now: float) -> None:
        if code == 487:
            self.controlling = not self.controlling
            self._check(pair, now)
        elif pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.FAILED
            self._retransmit.stop(self._pairs.index(pair))

    def _check_succeeded(self, pair: Pair, nominate: bool, now: float) -> None:
        pair.rtt = now - pair.sent_at
        pair.attempts = 0
        self._retransmit.stop(self._pairs.index(pair))
        pair.state = PairState.SUCCEEDED
        if self.state is State.CONNECTED and pair is self.selected:
            self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)
        if nominate or (pair.nominated and not self.controlling):
            self._conclude(pair, now)
        elif self.state is State.CHECKING:
            self._use_early(pair)
            if self.controlling and _Timer.NOMINATE not in self._timers:
                better_open = any(
                    other.state in (PairState.WAITING, PairState.IN_PROGRESS)
                    and other.priority(True) > pair.priority(True)
                    for other in self._pairs
                )
                self._timers.set(_Timer.NOMINATE, now + (HOLD_BACK_SECONDS if better_open else 0.0))

    def _use_early(self, pair: Pair) -> None:
        if self.selected is None or pair.priority(self.controlling) > self.selected.priority(self.controlling):
            self.selected = pair
            self._outputs.append(Selected(pair.destination, nominated=False))

    def _nominate(self, now: float) -> None:
        """Regular nomination of the best valid pair (§8.1.1), repeated until it is answered."""
        if self.state is not State.CHECKING or not self.controlling:
            return
        valid = [pair for pair in self._pairs if pair.state is PairState.SUCCEEDED]
        best = max(valid, key=lambda each: each.priority(True), default=None)
        if best is not None:
            self._check(best, now, nominate=True)
            self._timers.set(_Timer.NOMINATE, now + 2 * RETRANSMIT_SECONDS)

    def _conclude(self, pair: Pair, now: float) -> None:
        if self.state is State.CONNECTED and pair is self.selected:
            return
        self.state = State.CONNECTED
        self.selected = pair
        self._timers.stop(_Timer.DEADLINE)
        self._timers.stop(_Timer.NOMINATE)
        self._timers.set(_Timer.CONSENT, now + self._consent_delay())
        self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)
        self._outputs.append(Selected(pair.destination, nominated=True))

    def _refresh_consent(self, now: float) -> None:
        if self.state is State.CONNECTED and self.selected is not None:
            self._check(self.selected, now)
            self._timers.set(_Timer.CONSENT, now + self._consent_delay())

    def _consent_delay(self) -> float:
        return self._chance.uniform(0.8, 1.2) * CONSENT_SECONDS

    def _fail(self, reason: str) -> None:
        self.state = State.FAILED
        self._timers = Timers()
        self._retransmit = Timers()
        self._outputs.append(Failed(reason))
