"""The asker's side of dial-back: when this node lets itself be probed, by whom, and what it does when its role changes.

The first test begins with the first answer, before anybody else was sent anything; then each RETEST_SECONDS, sooner while
nothing is known, and at once when the network has changed. One test is up to TRIES_MAX tries with different testers. What the
evidence says is decided by `overlay.reachability`; what testers do is in `overlay.probing`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from overlay.buckets import RoutingTable
from overlay.contact import Contact, pack_host, unpack_host
from overlay.crossing import Surroundings
from overlay.events import ProbeElsewhere, ReachTested, VerdictChanged
from overlay.frame import FrameBox
from overlay.holder import Holder, Method
from overlay.members import Members
from overlay.probing import AVOIDED_MAX, TOKEN_BYTES, Prober, Send
from overlay.reachability import PROBERS_MAX, Reachability, Verdict, is_news
from overlay.rpc import DIAL_BACK, OK, PING, PROBE_FOR, UNAUTHORIZED, Answer
from p2psip.base.chance import Chance
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

RETEST_SECONDS = 300.0
RETEST_SOON_SECONDS = 10.0
REFUTED_SOON_SECONDS = 30.0
PROBE_WAIT_SECONDS = 0.7
ASK_AROUND_SECONDS_MIN = 10.0
ASKED_AROUND = 3
TRIES_MAX = 3
TOKENS_MAX = 8
TOLD_AT_ONCE_MAX = 128


class DialBack:
    """Runs the tests of one node, and tells its peers of a new role."""

    __slots__ = (
        "_ask", "_asked_around", "_box", "_certificate", "_chance", "_clock", "_delay", "_emit", "_is_running",
        "_reach", "_table", "_test", "_tokens", "_told", "_tried", "tests_done", "timers"
    )  # fmt: skip

    def __init__(
        self,
        reach: Reachability,
        table: RoutingTable,
        box: FrameBox,
        around: Surroundings,
        chance: Chance,
    ) -> None:
        self._reach = reach
        self._table = table
        self._box = box
        self._ask, self._emit, self._clock = around.ask, around.emit, around.time
        self._chance = chance
        self._certificate: Callable[[], bytes] = bytes
        self.timers: Timers[str] = Timers()
        self._tokens: list[bytes] = []
        self._tried: list[bytes] = []
        self._test = 0
        self._is_running = False
        self._delay = RETEST_SOON_SECONDS
        self._asked_around = 0.0
        self._told: Verdict = reach.verdict
        self.tests_done = 0

    def serve(self, members: Members, holder: Holder, send: Send) -> dict[int, Method]:
        """The methods by which the tests of others are served."""

        def certificate() -> bytes:
            return holder.certificate

        def send_elsewhere(node_key: bytes, address: Address, payload: bytes) -> None:
            self._emit(ProbeElsewhere(self._box.seal(node_key, payload), address))

        self._certificate = certificate
        prober = Prober(
            self._table,
            members,
            certificate=certificate,
            ask=self._ask,
            send=send,
            send_elsewhere=send_elsewhere,
            chance=self._chance,
        )
        return {DIAL_BACK: prober.dial_back, PROBE_FOR: prober.probe_for}

    @property
    def is_settled(self) -> bool:
        """Whether no test is under way, and one was made: a node that joins waits for it before it sends to others."""
        return self.tests_done > 0 and not self._is_running

    # Inputs

    def answered(self, contact: Contact, seen: Address, now: float) -> None:
        """A peer has answered and says where it sees us."""
        was_suspicious = self._reach.is_suspicious
        if self._reach.note_seen(contact.node_key, contact.address[0], seen, now):
            self.retest(now)
        elif not self.tests_done and not self._is_running:
            self._begin(contact, now)
        if self._reach.is_suspicious and not was_suspicious:
            self._ask_around(now)
        if self._reach.verdict is not self._told:
            self._tell(now)

    def take_request(self, source: Address, now: float) -> None:
        """Somebody has sent a request."""
        if not self._reach.verdict.proved:
            self._reach.note_unasked(source, now)
            self._tell(now)

    def take_probe(self, payload: bytes, source: Address, now: float) -> None:
        """A probe: RemoteError unless it has the token of one of our last tests."""
        if payload[1:] not in self._tokens:
            raise RemoteError("a probe that was not asked for")
        self._reach.note_probe(source, now)
        if "wait" in self.timers and not self._reach.is_waiting:
            self.timers.stop("wait")
            self._end_try(now)
        self._tell(now)

    def retest(self, now: float) -> None:
        """Test anew now, if there is anybody to ask."""
        self._delay = RETEST_SOON_SECONDS
        self._begin(None, now)

    def network_changed(self, local: Sequence[Address], now: float) -> None:
        """Our own addresses are others now: nothing holds that was found out before."""
        self._reach.note_changed(now)
        self._reach.note_local(local, now)
        self._ask_around(now)
        self.retest(now)
        self._tell(now)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for name in self.timers.expired(now):
            if name == "wait":
                self._end_try(now)
            else:
                self._begin(None, now)
        self._tell(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    # One test

    def _begin(self, tester: Contact | None, now: float) -> None:
        self._test += 1
        self._is_running = True
        self._tried.clear()
        self.timers.stop("wait")
        self.timers.stop("test")
        self._try(tester, now)

    def _try(self, tester: Contact | None, now: float) -> None:
        tester = tester or self._choose()
        if tester is None or len(self._tried) >= TRIES_MAX:
            self._finish(now)
            return
        self._tried.append(tester.node_key)
        self._reach.begin_try()
        token = self._chance.bytes(TOKEN_BYTES)
        self._tokens = [*self._tokens, token][-TOKENS_MAX:]
        latest = self._reach.touched.latest_hosts(AVOIDED_MAX - 1)
        avoid = [pack_host(host) for host in dict.fromkeys([tester.address[0], *latest]) if not is_synthetic(host)]
        self._ask_tester(tester, [token, avoid, self._certificate()], now)

    def _ask_tester(self, tester: Contact, arguments: list[Any], now: float, *, again: bool = False) -> None:
        test = self._test

        def answered(contact: Contact, answer: Answer | None) -> None:
            if test != self._test:
                return
            if answer is not None and answer.status == UNAUTHORIZED and answer.token and not again:
                self._ask_tester(contact, arguments, self._clock(), again=True)
            elif answer is None or answer.status != OK:
                self._try(None, self._clock())
            else:
                self._promised(answer.result, self._clock())

        self._ask(tester, DIAL_BACK, arguments, answered, now)

    def _promised(self, result: Any, now: float) -> None:
        match result:
            case [list() as packed, bool() as is_elsewhere]:
                try:
                    hosts = [unpack_host(host) for host in packed[:PROBERS_MAX]]
                except RemoteError:
                    hosts = []
            case _:
                hosts, is_elsewhere = [], False
        self._reach.note_promised(hosts, is_elsewhere, now)
        if self._reach.is_waiting:
            self.timers.set("wait", now + PROBE_WAIT_SECONDS)
        else:
            self._end_try(now)

    def _end_try(self, now: float) -> None:
        self._reach.end_try(now)
        if self._reach.is_doubtful:
            self._try(None, now)
        else:
            self._finish(now)

    def _finish(self, now: float) -> None:
        self._is_running = False
        self.tests_done += bool(self._tried)
        seconds = RETEST_SECONDS
        if self._reach.is_doubtful:
            seconds, self._delay = self._delay, min(2 * self._delay, RETEST_SECONDS)
        elif self._reach.is_refuted:
            seconds = max(REFUTED_SOON_SECONDS, self._delay)
            self._delay = RETEST_SECONDS
        else:
            self._delay = RETEST_SOON_SECONDS
        self.timers.set("test", now + self._chance.uniform(0.8, 1.2) * seconds)
        self._tell(now)
        self._emit(ReachTested())

    def _choose(self) -> Contact | None:
        fit = [contact for contact in self._table if self._reach.can_test(contact.address[0])]
        fresh = [contact for contact in fit if contact.node_key not in self._tried]
        if not fresh and self._reach.has_silent_probers:
            fresh = fit
        return self._chance.choice(fresh) if fresh else None

    # What others must know

    def _ask_around(self, now: float) -> None:
        """Let some peers say where they see us."""
        if now - self._asked_around < ASK_AROUND_SECONDS_MIN and self._asked_around:
            return
        self._asked_around = now
        contacts = list(self._table)
        for contact in self._chance.sample(contacts, min(ASKED_AROUND, len(contacts))):
            self._ask(contact, PING, [], _ignore, now)

    def _tell(self, now: float) -> None:
        """Nothing while a test is running: who hears of a new role sends to others, and none would be left to prove it."""
        verdict = self._reach.verdict
        if self._is_running or verdict is self._told:
            return
        before, self._told = self._told, verdict
        if before.role is not verdict.role:
            contacts = list(self._table)
            for contact in self._chance.sample(contacts, min(TOLD_AT_ONCE_MAX, len(contacts))):
                self._ask(contact, PING, [], _ignore, now)
        if is_news(before, verdict):
            self._emit(VerdictChanged(verdict))


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
