"""A client's side of rendezvous: flows to FLOWS_WANTED super-nodes, kept alive, watched and replaced.

Each flow is an ATTACH every ATTACH_SECONDS or so: it keeps the mapping of the NAT open, says that we are here and measures the
round trip. One that is not answered is repeated at once, and meanwhile a further super-node is attached (make before break); a
flow without an answer to MISSES_MAX of them is dead. A super-node that drains keeps its flow until another has taken its place.
Candidates come from outside, best first (`overlay.supernodes`).

Room may be scarce, when a part of all super-nodes is gone at once. So an ATTACH says how many other flows we have, and one of
three says that it may go: a full super-node gives its place to a client that has none (`overlay.relaying`). Who is refused asks
one other at once, then drawn ones after delays that double up to a bound, the longer the more flows there are
(BACKOFF_SECONDS_MAX): a network that is short of room is not asked again and again by all its clients together.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overlay.contact import Contact
from overlay.registration import RENDEZVOUS_MAX
from overlay.rpc import ATTACH, OK, UNAUTHORIZED, Answer
from overlay.searches import Asker
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.timers import Timers

FLOWS_WANTED = RENDEZVOUS_MAX
FLOWS_MAX = 2 * FLOWS_WANTED
ATTACH_SECONDS = 15.0
MISSES_MAX = 2
AVOID_SECONDS = 60.0
ALONE_SECONDS = 10.0
AVOIDED_MAX = 64
RETRY_SECONDS = 2.0
BACKOFF_SECONDS = 1.0
BACKOFF_SECONDS_MAX = (ALONE_SECONDS, 40.0, 160.0)
"""By the number of flows that a client has."""
SPARE_OTHERS_MIN = 2
AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Flow:
    """An attached super-node. `rtt` in seconds; `since` in steady seconds."""

    node_key: bytes
    address: Address
    rtt: float
    since: float


@dataclass(slots=True, eq=False)
class _Flow:
    contact: Contact
    rtt: float = 0.0
    since: float | None = None
    misses: int = 0
    leaving: bool = False
    is_asked: bool = False
    is_spare: bool = False

    @property
    def is_good(self) -> bool:
        """Attached or asked, and nothing speaks against it."""
        return self.misses == 0 and not self.leaving


class RendezvousKeeper:
    """Keeps the flows. `wanted` 0 lets go of all; `changed()` is called when the set of attached flows is another one.

    `candidates()` gives (node key, address) of known super-nodes, best first, given those in use; `hungry(now)` is called
    when they do not suffice; `time()` is the time of the input that is served. `needed`: all else goes through this one.
    """

    __slots__ = (
        "_ask", "_avoided", "_candidates", "_chance", "_changed", "_flows", "_generation", "_has_lost_all", "_hungry",
        "_not_before", "_pinned", "_refusals", "_time", "_told", "_wanted", "needed", "timers"
    )  # fmt: skip

    def __init__(
        self,
        ask: Asker,
        chance: Chance,
        *,
        candidates: Callable[[Sequence[bytes]], Sequence[tuple[bytes, Address]]],
        hungry: Callable[[float], None],
        changed: Callable[[], None],
        time: Callable[[], float],
    ) -> None:
        self._time = time
        self._ask = ask
        self._chance = chance
        self._candidates = candidates
        self._hungry = hungry
        self._changed = changed
        self._wanted = 0
        self.needed = b""
        self._flows: dict[bytes, _Flow] = {}
        self._pinned: dict[bytes, Address] = {}
        self._avoided: dict[bytes, float] = {}
        self._refusals = 0
        self._not_before = -math.inf
        self._has_lost_all = False
        self.timers: Timers[bytes] = Timers()
        self._told: tuple[tuple[bytes, Address], ...] = ()
        self._generation = 0

    @property
    def flows(self) -> tuple[Flow, ...]:
        """The attached ones, the nearest first, FLOWS_WANTED at most; those that leave last."""
        held = [flow for flow in self._flows.values() if flow.since is not None]
        held.sort(key=lambda flow: (flow.leaving, flow.contact.node_key not in self._pinned, flow.rtt))
        return tuple(
            Flow(flow.contact.node_key, flow.contact.address, flow.rtt, flow.since or 0.0)
            for flow in held[:FLOWS_WANTED]
        )

    def keep(self, wanted: int, now: float) -> None:
        """Keep this many flows from now on (FLOWS_WANTED at most); 0: none."""
        self._wanted = min(wanted, FLOWS_WANTED)
        self.fill(now)

    def pin(self, gateways: Mapping[bytes, Address], now: float) -> None:
        """Keep flows to these super-nodes at these addresses come what may: they are our gateways.

        Those that are none any more are dropped, for their address may be a stream's that has ended.
        """
        before, self._pinned = self._pinned, dict(gateways)
        for node_key in (*before, *self._pinned):
            if before.get(node_key) != self._pinned.get(node_key):
                self._drop(node_key)
        self.fill(now)

    def fill(self, now: float) -> None:
        """Attach further super-nodes if flows are missing; let go of those that are too many."""
        if self._wanted == 0 and not self._pinned:
            for node_key in list(self._flows):
                self._drop(node_key)
            self._tell()
            return
        for node_key, address in self._pinned.items():
            if node_key not in self._flows:
                self._start(node_key, address, now)
        good = [flow for flow in self._flows.values() if flow.is_good]
        missing = min(self._wanted - len(good), FLOWS_MAX - len(self._flows))
        if missing > 0:
            self._attach_further(missing, now)
        elif sum(flow.since is not None for flow in good) >= self._wanted:
            self._let_go_of_spare(good)
        self._tell()

    def network_changed(self, now: float) -> None:
        """Our address is another one: attach everywhere anew, at once."""
        self._avoided.clear()
        self._refusals, self._not_before = 0, now
        self._generation += 1
        for flow in list(self._flows.values()):
            flow.is_asked = False
            self._attach(flow, now)
        self.fill(now)

    def lost(self, node_key: bytes, now: float) -> None:
        """The super-node says that we are not attached to it: attach anew at once; if it drains, it will refuse."""
        flow = self._flows.get(node_key)
        if flow is not None and not flow.is_asked:
            flow.since = None
            self._tell()
            self._attach(flow, now)
            self._keep_spare(now)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for name in self.timers.expired(now):
            if name == _FILL:
                self.fill(now)
            elif name in self._flows:
                self._attach(self._flows[name], now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    # One flow

    def _attach_further(self, missing: int, now: float) -> None:
        if now < self._not_before:
            self.timers.set(_FILL, self._not_before)
            return
        self._avoided = {key: until for key, until in self._avoided.items() if until > now}
        patience = AVOID_SECONDS - ALONE_SECONDS if not self._flows else 0.0  # who has nobody comes back sooner
        willing = [
            each
            for each in self._candidates(list(self._flows))
            if each[0] not in self._flows and self._avoided.get(each[0], now) - patience <= now
        ]
        if self._refusals:  # the best are full: all others ask them, too
            self._chance.shuffle(willing)
            missing = 1
        for node_key, address in willing[:missing]:
            self._start(node_key, address, now)
        if missing > len(willing):
            self._hungry(now)
            self.timers.set(_FILL, now + RETRY_SECONDS * self._chance.uniform(0.8, 1.2))

    def _start(self, node_key: bytes, address: Address, now: float) -> None:
        flow = self._flows[node_key] = _Flow(Contact(node_key, address))
        self._attach(flow, now)

    def _attach(self, flow: _Flow, now: float) -> None:
        if flow.is_asked:
            return
        flow.is_asked = True
        generation = self._generation

        def is_stale() -> bool:
            return self._flows.get(flow.contact.node_key) is not flow or generation != self._generation

        def again(_contact: Contact, answer: Answer | None) -> None:
            if not is_stale():
                flow.is_asked = False
                self._answered(flow, answer, self._time())

        def answered(contact: Contact, answer: Answer | None) -> None:
            if answer is not None and answer.status == UNAUTHORIZED and not is_stale():
                self._ask(contact, ATTACH, self._told_of(flow), again, self._time())  # it has a token to show now
            else:
                again(contact, answer)

        self._ask(flow.contact, ATTACH, self._told_of(flow), answered, now)

    def _told_of(self, flow: _Flow) -> list[Any]:
        """How many other flows we have or have asked for before this one, and whether this one may go: one at a time may."""
        others, is_before = (
            0,
            flow.since is None,
        )  # the first of a new client must get its place: later ones do not count
        for other in self._flows.values():
            if other is flow:
                is_before = False
            else:
                others += other.is_good and (other.since is not None or is_before)
        is_spare = any(other.is_spare for other in self._flows.values() if other is not flow)
        may_go = (
            flow.since is not None
            and others >= SPARE_OTHERS_MIN
            and flow.contact.node_key not in self._pinned
            and flow.contact.node_key != self.needed
        )
        flow.is_spare = may_go and not is_spare
        return [others, flow.is_spare]

    def _keep_spare(self, now: float) -> None:
        """A flow was lost: who was told that its own may go must learn at once that it may not."""
        for flow in self._flows.values():
            if flow.is_spare:
                flow.is_spare = False
                self._attach(flow, now)

    def _answered(self, flow: _Flow, answer: Answer | None, now: float) -> None:
        node_key = flow.contact.node_key
        if answer is None or answer.status == UNAUTHORIZED:  # it does not know us yet, and asks
            self._missed(flow, now)
        elif answer.status == OK:
            flow.misses = 0
            if flow.since is None:
                flow.since = now
                self._refusals = 0
                if self._has_lost_all:  # those who were silent too are back as well
                    self._has_lost_all = False
                    self._avoided.clear()
            flow.rtt = flow.contact.rtt if flow.contact.rtt is not None else flow.rtt
            flow.leaving = _drains(answer.result)
            self.timers.set(node_key, now + ATTACH_SECONDS * self._chance.uniform(0.85, 1.0))
            self.fill(now)
        else:  # full, draining or no super-node
            self._refused(flow, now)

    def _missed(self, flow: _Flow, now: float) -> None:
        flow.misses += 1
        if flow.misses >= MISSES_MAX and flow.contact.node_key not in self._pinned:
            self._give_up(flow, now)
        else:
            self.timers.set(flow.contact.node_key, now + min(AGAIN_SECONDS * 2**flow.misses, RETRY_SECONDS))
            self.fill(now)

    def _refused(self, flow: _Flow, now: float) -> None:
        """Ask one other at once; after that, the later the more have refused and the more flows there are."""
        self._refusals += 1
        if self._refusals > 1:
            kept = sum(other.since is not None for other in self._flows.values() if other is not flow)
            longest = BACKOFF_SECONDS_MAX[min(kept, len(BACKOFF_SECONDS_MAX) - 1)]
            delay = min(BACKOFF_SECONDS * 2.0 ** min(self._refusals - 2, 16), longest)
            self._not_before = now + delay * self._chance.uniform(0.5, 1.0)
        self._give_up(flow, now)

    def _give_up(self, flow: _Flow, now: float) -> None:
        self._avoided[flow.contact.node_key] = now + AVOID_SECONDS
        while len(self._avoided) > AVOIDED_MAX:
            del self._avoided[next(iter(self._avoided))]
        self._drop(flow.contact.node_key)
        if flow.since is not None:
            self._has_lost_all = all(other.since is None for other in self._flows.values())
            self._keep_spare(now)
        self.fill(now)

    def _drop(self, node_key: bytes) -> None:
        self._flows.pop(node_key, None)
        self.timers.stop(node_key)

    def _let_go_of_spare(self, good: list[_Flow]) -> None:
        for flow in [flow for flow in self._flows.values() if flow.leaving]:
            self._drop(flow.contact.node_key)
        attached = sorted((flow for flow in good if flow.contact.node_key not in self._pinned), key=_worth)
        for flow in attached[max(self._wanted - len(self._pinned), 0) :]:
            self._drop(flow.contact.node_key)

    def _tell(self) -> None:
        told = tuple(sorted((flow.node_key, flow.address) for flow in self.flows))
        if told != self._told:
            self._told = told
            self._changed()


def _worth(flow: _Flow) -> tuple[bool, float]:
    return flow.since is None, flow.rtt


def _drains(result: Any) -> bool:
    match result:
        case [int(), bool() as drains, *_]:
            return drains
        case _:
            return False


_FILL = b""
