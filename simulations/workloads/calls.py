"""Who calls whom, and when: the load of calls on a swarm.

**How often.** Calls are a Poisson process (thinned by the hour where people live, see `diurnal`). ATTEMPTS_PER_HOUR is the busiest
hour of planners: 0.6 attempts of 2.6 minutes, 0.026 erlang a subscriber (Lucent, Traffic Engineering, wireless course). It is the
mean over all people: when a tenth of them calls at all, each of those makes ten times as many.

**How long.** Log-normal (Bolotin, Modeling Call Holding Time Distributions for CCS Network Design and Performance Analysis, IEEE
JSAC 12, 1994; Pattavina and Parini, of mobile calls, 2005; Heegaard, of mobile and IP telephony, JCOMSS 4, 2008), with a mean of 3
minutes. The deviation of the logarithm, 1.1, is our assumption: half of all calls are shorter than 98 s. So are how long it
rings, how many are not picked up, and how many callers want somebody who is not there, or a name that does not exist.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from overlay.events import MessageArrived
from overlay.participant import FoundDone
from p2psip.base.errors import LocalError
from simulations.lookups import LookedUp, Lookups
from simulations.nodes import Node
from simulations.results import Cell
from simulations.swarm import Swarm
from simulations.workloads.churn import is_person
from simulations.workloads.diurnal import Diurnal
from simulations.workloads.durations import LogNormal, exponential
from simulations.workloads.signalling import Call, Fate, Signalling

ATTEMPTS_PER_HOUR = 0.6
TALKS = LogNormal(1.1, 1.0).scaled_to(180.0)
RINGS = LogNormal(0.6, 7.0)
NOT_PICKED_UP = 0.2
TO_ABSENT = 0.05
TO_NOBODY = 0.01
DRAWS_MAX = 50
CALLS_AT_ONCE_MAX = 100_000

_HOUR = 3_600.0


class Recorder(Protocol):
    """What calls need of a run (`simulations.run.Run`)."""

    def record(self, table: str, /, **row: Cell) -> None:
        """One more row of a table."""

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Show something to the checkers."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A talk is over; `Call` itself is the event of a call whose outcome is known."""

    call: Call


class Calls:
    """Lets people call one another, and records each call in the table `calls` once its outcome is known.

    `calling`: the share of people who call at all, each with his lot; `attempts_per_hour`: mean over all people.
    """

    def __init__(
        self,
        run: Recorder | None,
        swarm: Swarm,
        *,
        calling: float = 0.1,
        attempts_per_hour: float = ATTEMPTS_PER_HOUR,
        diurnal: Diurnal | None = None,
        lookups: Lookups | None = None,
        to_absent: float = TO_ABSENT,
    ) -> None:
        self.outcomes: dict[str, int] = {}
        self.made = self.cut = self.ended = 0
        self.signalling = Signalling(swarm.world, self._settled, self._ended)
        self._run = run
        self._swarm = swarm
        self._lookups = lookups
        self._calling = calling
        self._attempts_per_hour = attempts_per_hour
        self._diurnal = diurnal
        self._to_absent = to_absent
        self._chance = swarm.world.chance.child("calls")
        self._lots = swarm.world.chance.child("callers")
        self._callers: list[Node] = []
        self._seen = 0
        self._is_on = False
        swarm.listeners.append(self)

    def begin(self) -> None:
        """From now on, until `stop`."""
        self._is_on = self._calling > 0
        if self._is_on:
            self._next()

    def stop(self) -> None:
        """No new calls; those that are under way go on."""
        self._is_on = False

    def call(self, caller: Node, callee: Node, *, fate: Fate | None = None, address: str | None = None) -> Call:
        """One call; LocalError over CALLS_AT_ONCE_MAX. `address`: dial this and not the callee's (no part of the lookups)."""
        if len(self.signalling.calls) >= CALLS_AT_ONCE_MAX:
            raise LocalError(f"more than {CALLS_AT_ONCE_MAX} calls at once")
        self.made += 1
        live = callee.alive and callee.registered_at is not None and address is None
        call = Call(self.made, caller, callee, self._swarm.now, live, fate or self._fate())
        self.signalling.begin(call)
        if self._lookups is not None and address is None:
            self._lookups.look_up(caller, callee, self._found_by(call))
            return call
        with contextlib.suppress(
            LocalError
        ):  # too many lookups at once: the call hangs, and is counted as one that does
            self._swarm.find(caller, address or callee.address, self._found(call))
        return call

    def observe(self, node: Node, event: Any, now: float) -> None:
        """As listener of the swarm: what nodes say to one another."""
        if type(event) is MessageArrived:
            self.signalling.heard(node, event.node_key, event.data)

    # --- inside

    def _found(self, call: Call) -> Callable[[FoundDone], None]:
        return lambda done: self.signalling.found(call, done.found)

    def _found_by(self, call: Call) -> Callable[[LookedUp], None]:
        return lambda looked: self.signalling.found(call, looked.result)

    def _fate(self) -> Fate:
        chance = self._chance
        rings, talks = RINGS.draw(chance), TALKS.draw(chance)
        return Fate(None if chance.uniform(0, 1) < NOT_PICKED_UP else rings, talks)

    def _next(self) -> None:
        """The next attempt of all callers together; an attempt of somebody who is away, busy or asleep is none."""
        self._meet_newcomers()
        rate = max(1, len(self._callers)) * self._attempts_per_hour / self._calling / _HOUR

        def attempt() -> None:
            if self._is_on:
                self._attempt()
                self._next()

        self._swarm.world.after(exponential(self._chance) / rate, attempt)

    def _attempt(self) -> None:
        if not self._callers:
            return
        caller, chance = self._chance.choice(self._callers), self._chance
        awake = self._diurnal is None or self._diurnal.admits(self._swarm.world.unix, caller.endpoint.region, chance)
        if not awake or not caller.alive or caller.joined_at is None or self.signalling.is_busy(caller):
            return
        lot = chance.uniform(0, 1)
        callee = self._draw(caller, is_up=lot >= self._to_absent)
        if callee is not None:
            nobody = f"nobody{self.made}@{callee.address.partition('@')[2]}" if lot > 1 - TO_NOBODY else None
            self.call(caller, callee, address=nobody)

    def _draw(self, caller: Node, *, is_up: bool) -> Node | None:
        """Somebody else, registered or away."""
        for _ in range(DRAWS_MAX):
            node = self._swarm.alive.draw(self._chance) if is_up else self._chance.choice(self._swarm.nodes)
            if not is_person(node) or node.person == caller.person:
                continue
            if is_up == (node.alive and node.registered_at is not None):
                return node
        return None

    def _meet_newcomers(self) -> None:
        for node in self._swarm.nodes[self._seen :]:
            if is_person(node) and self._lots.child(str(node.number)).uniform(0, 1) < self._calling:
                self._callers.append(node)
        self._seen = len(self._swarm.nodes)

    def _settled(self, call: Call) -> None:
        self.outcomes[call.outcome] = self.outcomes.get(call.outcome, 0) + 1
        if self._run is None:
            return
        self._run.record(
            "calls",
            t=round(call.begun, 3),
            number=call.number,
            caller=call.caller.number,
            callee=call.callee.number,
            nat=call.caller.endpoint.kind.name,
            callee_nat=call.callee.endpoint.kind.name,
            live=call.live,
            outcome=call.outcome,
            cause=call.cause,
            setup_seconds=call.setup_seconds,
            way=None,
        )
        self._run.observe(call.caller, call, self._swarm.now)

    def _ended(self, call: Call) -> None:
        self.ended += 1
        self.cut += call.cut
        if self._run is not None:
            self._run.observe(call.caller, CallEnded(call), self._swarm.now)
