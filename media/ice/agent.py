"""One ICE agent with one component (RFC 8445), consent freshness (RFC 7675) and early use of whatever works first.

    GATHERED   local candidates are known, remote credentials are not: early checks are answered and remembered
    CHECKING   checks run; the first valid pair may carry media at once (`Selected`)
    CONNECTED  a pair is nominated; consent is kept fresh; a better or repaired pair may still take over
    FAILED     no pair became valid before the deadline, or consent was lost

All packets leave by the node's one socket of their address family, so local candidates of one family share a base.
"""

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from media import stun
from media.ice.candidates import Candidate, Pair, PairState, is_credential, parse_candidate, peer_reflexive
from media.ice.checklist import ATTEMPTS_MAX, PAIRS_MAX, REFUSALS_MAX, Check, Checklist, Checks
from media.ice.credentials import Credentials
from media.ice.events import Failed, Output, Selected, State
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

CANDIDATES_MAX = 32
EARLY_CHECKS_MAX = 16

PACE_SECONDS = 0.005
RETRANSMIT_SECONDS = 0.1
RETRANSMIT_SECONDS_MAX = 0.5
HOLD_BACK_SECONDS = 0.25
DEADLINE_SECONDS = 8.0
CONSENT_SECONDS = 5.0
CONSENT_EXPIRES_SECONDS = 30.0
_PRFLX_PRIORITY = (110 << 24) + (65_535 << 8) + 255


class _Timer(enum.Enum):
    PACE = "pace"
    NOMINATE = "nominate"
    DEADLINE = "deadline"
    CONSENT = "consent"
    CONSENT_EXPIRES = "consent expires"


class IceAgent:
    """The core of one agent. Feed it STUN only; drain it after every input."""

    def __init__(self, *, controlling: bool, local: Sequence[Candidate], chance: Chance) -> None:
        self.controlling = controlling
        self._credentials = Credentials(chance)
        self.local: list[Candidate] = list(local)[:CANDIDATES_MAX]
        self.state = State.GATHERED
        self.selected: Pair | None = None
        self._chance = chance
        self._tie_breaker = chance.integer(64)
        self.checklist = Checklist()
        self._checks = Checks()
        self._early: deque[tuple[Address, int, bool]] = deque(maxlen=EARLY_CHECKS_MAX)
        self._retransmit: Timers[Pair] = Timers()
        self._timers: Timers[_Timer] = Timers()
        self._outputs: deque[Output] = deque()

    @property
    def ufrag(self) -> str:
        """Our user name fragment."""
        return self._credentials.ufrag

    @property
    def password(self) -> str:
        """Our password."""
        return self._credentials.password

    # Inputs

    def set_remote(self, ufrag: str, password: str, lines: Iterable[str], now: float) -> None:
        """Begin the checks: the peer's credentials (RemoteError(488) for none) and candidate lines, the usable ones.

        Said again with the same credentials it only adds candidates; with others the peer has restarted (§9), and
        `restart` comes first on this side too.
        """
        if not (is_credential(ufrag) and is_credential(password)):
            raise RemoteError("ICE credentials that cannot be used", status=488)
        if self.state is not State.FAILED and not self._credentials.are_of(ufrag, password):
            self._credentials.remote_ufrag, self._credentials.remote_password = ufrag, password
            self._forget_checks()
            self.state = State.CHECKING
            self._timers.set(_Timer.DEADLINE, now + DEADLINE_SECONDS)
        for line in islice(lines, PAIRS_MAX):
            self.add_remote_candidate(line, now)
        while self._early:
            source, priority, use = self._early.popleft()
            self._take_check(source, priority, use, now)
        self._plan_pace(now)
        if _Timer.PACE in self._timers:
            self._timers.stop(_Timer.PACE)
            self._pace(now)

    def restart(self) -> None:
        """Take new credentials (§9, RFC 8839 §4.4.1); what is selected stays in use until a pair is nominated anew.

        Checks begin again with `set_remote`; consent is not refreshed meanwhile, but runs out when it must.
        """
        if self.state is not State.FAILED:
            self._credentials = Credentials(self._chance)
            self._forget_checks()
            self.state = State.GATHERED

    def add_remote_candidate(self, line: str, now: float) -> None:
        """One more candidate of the peer (RFC 8838)."""
        try:
            remote = parse_candidate(line)
        except RemoteError:
            return
        self.checklist.pair_up(self.local, remote)
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
        return self._credentials.wrap(data)

    def unwrap(self, data: bytes) -> bytes | None:
        """The DTLS datagram in an indication that the peer sent to this agent; None for anything else."""
        return self._credentials.unwrap(data)

    def handle_timeout(self, now: float) -> None:
        """Serve all deadlines that are due."""
        for pair in self._retransmit.expired(now):
            if self.state is State.CONNECTED and pair.attempts >= ATTEMPTS_MAX:
                pair.state = PairState.FAILED
            elif pair.state is PairState.IN_PROGRESS:
                self._check(pair, now)
        for timer in self._timers.expired(now):
            match timer:
                case _Timer.PACE:
                    self._pace(now)
                case _Timer.NOMINATE:
                    self._nominate(now)
                case _Timer.DEADLINE:
                    self._fail(self.checklist.reason())
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

    def _plan_pace(self, now: float) -> None:
        if self.state is State.CHECKING and _Timer.PACE not in self._timers:
            self._timers.set(_Timer.PACE, now)

    def _pace(self, now: float) -> None:
        """One check every PACE_SECONDS."""
        pair = self.checklist.next_waiting(self.controlling)
        if pair is not None and self.state is State.CHECKING:
            self._check(pair, now)
            self._timers.set(_Timer.PACE, now + PACE_SECONDS)

    def _check(self, pair: Pair, now: float, *, nominate: bool = False) -> None:
        transaction = self._chance.bytes(12)
        self._checks.add(transaction, Check(pair, nominate, self.controlling, now))
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.IN_PROGRESS
            pair.is_hastened = False
            delay = min(RETRANSMIT_SECONDS * 2**pair.attempts, RETRANSMIT_SECONDS_MAX)
            self._retransmit.set(pair, now + delay)
        pair.attempts = min(pair.attempts + 1, ATTEMPTS_MAX)
        role = "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        attributes: dict[str, object] = {"PRIORITY": _PRFLX_PRIORITY, role: self._tie_breaker}
        if nominate:
            attributes["USE-CANDIDATE"] = None
        self._outputs.append(Transmit(self._credentials.check(transaction, attributes), pair.destination))

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
        if not self._settle_roles(message, source, now):
            return
        self._outputs.append(Transmit(stun.binding_success(message, source, self.password), source))
        use = "USE-CANDIDATE" in attributes
        if self.state is State.GATHERED:
            self._early.append((source, attributes["PRIORITY"], use))
        else:
            self._take_check(source, attributes["PRIORITY"], use, now)

    def _settle_roles(self, message: stun.Message, source: Address, now: float) -> bool:
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
        self._timers.stop(_Timer.NOMINATE)
        for pair in self.checklist.pairs:
            pair.nominated = False
        if self.controlling and self.checklist.best_valid(True) is not None:
            self._timers.set(_Timer.NOMINATE, now)

    def _take_check(self, source: Address, priority: int, use: bool, now: float) -> None:
        """Learn a peer-reflexive candidate, check back at once (§7.3.1.4), and follow a nomination (§7.3.1.5)."""
        number = len(self.checklist.pairs)
        pair = self.checklist.pair_up(self.local, peer_reflexive(source, priority, number))
        if pair is None:
            return
        if use and not self.controlling:
            pair.nominated = True
        if pair.state is PairState.SUCCEEDED:
            if use and not self.controlling:
                self._conclude(pair, now)
        elif pair.state is PairState.IN_PROGRESS:
            self._hasten(pair, now)
        elif self.state is State.CHECKING or pair.nominated:
            self._check(pair, now)

    def _hasten(self, pair: Pair, now: float) -> None:
        """Our check may have met a NAT that the peer's has opened since, or its answer is on the way already (§6.1.4)."""
        if not pair.is_hastened:
            pair.is_hastened = True
            self._retransmit.set(pair, now + PACE_SECONDS)

    # Responses to our checks

    def _receive_response(self, message: stun.Message, source: Address, now: float) -> None:
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

    def _check_succeeded(self, check: Check, now: float) -> None:
        pair = check.pair
        pair.rtt = now - check.sent_at
        pair.attempts = 0
        self._retransmit.stop(pair)
        pair.state = PairState.SUCCEEDED
        if self.state is State.CONNECTED and pair is self.selected:
            self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)
        if (check.nominate and self.controlling) or (pair.nominated and not self.controlling):
            self._conclude(pair, now)
        elif self.state is State.CHECKING:
            self._use_early(pair)
            if self.controlling and _Timer.NOMINATE not in self._timers:
                if self.checklist.may_do_better_than(pair, True):
                    self._timers.set(_Timer.NOMINATE, now + HOLD_BACK_SECONDS)
                else:
                    self._nominate(now)

    def _use_early(self, pair: Pair) -> None:
        best = self.selected if self.selected in self.checklist.pairs else None
        if best is None or pair.priority(self.controlling) > best.priority(self.controlling):
            self.selected = pair
            self._outputs.append(Selected(pair.destination, nominated=False))

    def _nominate(self, now: float) -> None:
        """Regular nomination of the best valid pair (§8.1.1), repeated until it is answered."""
        if self.state is not State.CHECKING or not self.controlling:
            return
        nominee = self.checklist.nominee()
        if nominee is not None:
            nominee.nominated = True
            self._check(nominee, now, nominate=True)
            self._timers.set(_Timer.NOMINATE, now + 2 * RETRANSMIT_SECONDS)

    def _conclude(self, pair: Pair, now: float) -> None:
        if self.state is State.CONNECTED and pair is self.selected:
            return
        self.state = State.CONNECTED
        self.selected = pair
        for timer in (_Timer.DEADLINE, _Timer.NOMINATE, _Timer.PACE):
            self._timers.stop(timer)
        self._retransmit = Timers()  # §8.1.2: the other checks end
        self._timers.set(_Timer.CONSENT, now + self._consent_delay())
        self._timers.set(_Timer.CONSENT_EXPIRES, now + CONSENT_EXPIRES_SECONDS)
        self._outputs.append(Selected(pair.destination, nominated=True))

    def _refresh_consent(self, now: float) -> None:
        if self.state is State.CONNECTED and self.selected is not None:
            self._check(self.selected, now)
            self._timers.set(_Timer.CONSENT, now + self._consent_delay())

    def _consent_delay(self) -> float:
        return self._chance.uniform(0.8, 1.2) * CONSENT_SECONDS

    def _forget_checks(self) -> None:
        self.checklist = Checklist()
        self._checks.clear()
        self._retransmit = Timers()
        for timer in (_Timer.PACE, _Timer.NOMINATE, _Timer.DEADLINE, _Timer.CONSENT):
            self._timers.stop(timer)

    def _fail(self, reason: str) -> None:
        if self.state is not State.FAILED:
            self._outputs.append(Failed(reason))
        self.state = State.FAILED
        self._forget_checks()
        self._early.clear()
        self._timers = Timers()
