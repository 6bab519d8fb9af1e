"""Households with phones that call one another, on one network and one virtual clock, from one seed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from p2psip.app.state import Membership
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.softphone.phone import CallReport
from simulations.enrolment import Enrolment
from simulations.network.model import Network
from simulations.network.nat import PUBLIC, NatKind
from simulations.network.plain import PlainNetwork
from simulations.results import Cell
from simulations.trace import Trace
from simulations.village.calls import CallResult, result_of
from simulations.village.clock import UNIX_START, Timeline, VirtualClock, scheduled_by
from simulations.village.household import Household, Wishes
from simulations.village.lan import Lan
from simulations.village.machine import VirtualMachine
from simulations.village.wire import Counters, Wire
from simulations.world import Tap

INTRODUCERS = 3
HOUSEHOLDS_MAX = 2_000
CALLS_MAX = 100_000
WATCH_SECONDS = 10.0
ENROLLED_SECONDS_AGO = 7 * 86_400
"""People joined some time ago: a machine whose clock is behind takes its certificate for valid."""


@dataclass(frozen=True, slots=True)
class _Plan:
    when: float
    household: Household
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class _Appointment:
    when: float
    caller: Household
    callee: Household
    seconds: float


class Village:
    """Plan with `add` and `call`, then `run` once; `calls`, `households` and `wire` hold what happened.

    The first household is the bootstrap's: it must be public, and it introduces the others. Times given are virtual seconds
    since the start. `skipped` counts calls that could not be made: the caller was in a call, or a node was not running.
    """

    def __init__(self, seed: int, *, network: Network | None = None, real_dtls: bool = False) -> None:
        self.chance = Chance.seeded(seed).child("village")
        self.network = network or PlainNetwork(self.chance.child("network"))
        self.timeline = Timeline()
        self.wire = Wire(self.network, self.timeline)
        self.enrolment = Enrolment(self.chance.child("enrolment"), UNIX_START - ENROLLED_SECONDS_AGO)
        self.households: list[Household] = []
        self.calls: list[CallResult] = []
        self.skipped = 0
        self.cpu_seconds = 0.0
        self.seconds = 0.0
        self.on_call: Callable[[Household, CallResult], None] = lambda _caller, _result: None
        self._real_dtls = real_dtls
        self._plans: list[_Plan] = []
        self._appointments: list[_Appointment] = []

    def add(
        self,
        *,
        nat: NatKind | None = None,
        volunteer: bool = False,
        ring_seconds: float | None = 3.0,
        at: float = 0.0,
        region: int | None = None,
        behind: Household | None = None,
        wishes: Wishes | None = None,
    ) -> Household:
        """A household more, that starts at `at`. `ring_seconds` None: nobody ever answers its phone."""
        assert len(self.households) < HOUSEHOLDS_MAX, "more households than HOUSEHOLDS_MAX"
        number = len(self.households)
        chance = self.chance.child(f"household {number}")
        if not self.households:
            nat, volunteer = nat or PUBLIC, True
        device = self.enrolment.device(f"u{number}")
        membership = Membership(
            overlay=self.enrolment.overlay,
            addresses=device.certificate.addresses,
            node_key=device.node_key.private,
            signing_key=device.signing_key.private,
            ca_der=self.enrolment.authority.ca_der,
            certificate_der=device.certificate.der,
            configuration=self.enrolment.authority.configuration(),
            invite="",
        )
        endpoint = self.network.endpoint(
            number, chance.child("place"), nat=nat, region=region, behind=None if behind is None else behind.endpoint
        )
        clock = VirtualClock(self.timeline, endpoint.skew)
        household = Household(number, membership, endpoint, Lan(self.wire), clock, chance)
        self.households.append(household)
        decided = wishes or Wishes(volunteer=volunteer, ring_seconds=ring_seconds)
        self._plans.append(_Plan(at, household, decided))
        return household

    def call(self, caller: Household, callee: Household, seconds: float, *, at: float) -> None:
        """At `at` the caller's phone calls the callee, and hangs up after `seconds` of talk."""
        assert len(self._appointments) < CALLS_MAX, "more calls than CALLS_MAX"
        self._appointments.append(_Appointment(at, caller, callee, seconds))

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action()` at this time, while the village runs."""
        self.timeline.at(when, action)

    def run(self, seconds: float, *, watch: Callable[[float], None] | None = None) -> None:
        """Let so much virtual time pass, once; `watch(seconds)` is called now and then."""
        self.seconds = seconds
        begun = time.process_time()
        with scheduled_by(self.chance.child("scheduling")):
            trio.run(self._live, seconds, watch, clock=self.timeline)
        self.cpu_seconds = time.process_time() - begun

    def facts(self, household: Household) -> dict[str, Cell]:
        """A row of the table of nodes."""
        doors, node = self.wire.doors(household.endpoint), household.node
        up = 0.0 if household.started_at is None else self.now - household.started_at
        relays = (
            0
            if node is None or node.supernode is None or node.supernode.turn is None
            else (node.supernode.turn.statistics()["packets"])
        )
        return {
            "node": household.number,
            "position": 0.0
            if node is None
            else int.from_bytes(node.overlay.peer.node_key.node_id[:7], "big") / (1 << 56),
            "role": "none" if household.role is None else household.role.value,
            "nat": household.nat,
            "hostile": False,
            "up_seconds": round(up, 3),
            "sent_bytes": doors.sent_bytes,
            "received_bytes": doors.received_bytes,
            "bytes_per_second": round((doors.sent_bytes + doors.received_bytes) / up, 3) if up else 0.0,
            "messages": doors.sent,
            "held": 0 if node is None else len(node.overlay.peer.store),
            "contacts": 0 if node is None else len(node.overlay.peer.table),
            "relayed": relays,
            "registered_after": None
            if household.published_at is None
            else round(household.published_at - (household.started_at or 0.0), 3),
        }

    # What a run reads of a world

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.wire.now

    @property
    def trace(self) -> Trace:
        """The hash of every datagram."""
        return self.wire.trace

    @property
    def counters(self) -> Counters:
        """Of all datagrams."""
        return self.wire.counters

    @property
    def taps(self) -> list[Tap]:
        """Who watches every datagram between nodes."""
        return self.wire.taps

    async def _live(self, seconds: float, watch: Callable[[float], None] | None) -> None:
        with trio.CancelScope(deadline=seconds):
            async with trio.open_nursery() as nursery:
                for plan in self._plans:
                    nursery.start_soon(self._settle, plan)
                for appointment in self._appointments:
                    nursery.start_soon(self._keep, appointment)
                while True:
                    await trio.sleep(WATCH_SECONDS)
                    if watch is not None:
                        watch(trio.current_time())

    async def _settle(self, plan: _Plan) -> None:
        await trio.sleep_until(plan.when)
        household = plan.household
        machine = VirtualMachine(self.wire, household.endpoint, household.lan, real_dtls=self._real_dtls)
        running = [
            each for each in self.households if each is not household and each.node is not None and each.nat == "public"
        ]
        chosen = running if len(running) <= INTRODUCERS else household.chance.child("who").sample(running, INTRODUCERS)
        await household.run(machine, [each.introduction() for each in chosen], plan.wishes)

    async def _keep(self, appointment: _Appointment) -> None:
        await trio.sleep_until(appointment.when)
        caller, callee = appointment.caller, appointment.callee
        started = self.wire.now
        phone, other = caller.phone, callee.phone
        if phone is None or other is None or phone.is_busy:
            self.skipped += 1
            return
        try:
            report, voice = await phone.call_to(callee.address, appointment.seconds)
        except RemoteError as error:
            return self._note_failure(appointment, started, error)
        await trio.sleep(1.0)  # until the callee has put down, too
        answers = [each for each in other.answered if each[0].started >= report.started]
        heard_by = next((each[1] for each in answers if each[1] and caller.address in each[1].heard), None)
        self._note(caller, result_of(caller, callee, started, report, voice, heard_by))

    def _note_failure(self, appointment: _Appointment, started: float, error: RemoteError) -> None:
        report = CallReport(status=error.status or 0, reason=str(error), started=started)
        caller = appointment.caller
        self._note(caller, result_of(caller, appointment.callee, started, report, None, None))

    def _note(self, caller: Household, result: CallResult) -> None:
        self.calls.append(result)
        self.on_call(caller, result)
