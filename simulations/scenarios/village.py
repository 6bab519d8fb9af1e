"""Whole nodes with phones: calls between all kinds of NATs, with media that is listened to at both ends."""

from collections.abc import Callable
from typing import Any, cast

from p2psip.base.chance import Chance
from simulations.checkers.phone_calls import PhoneCalls
from simulations.network.internet import Internet
from simulations.network.nat import PUBLIC
from simulations.network.survey import KINDS
from simulations.run import Run
from simulations.scenario import scenario
from simulations.village.household import Household
from simulations.village.village import Village

VOLUNTEERS_MIN = 4
ARRIVAL_SECONDS = 0.5
SETTLE_SECONDS = 60.0
DRAIN_SECONDS = 40.0
CLOCK_SECONDS_MAX = 300.0
"""Who is further off cannot take part (`overlay.frame`), and is told so."""
PACE_SECONDS = 2.0
SPARE_SECONDS = 5.0


@scenario("village")
def village(
    run: Run,
    *,
    households: int = 100,
    calls: int = 100,
    volunteers: float = 0.08,
    talk_seconds: float = 30.0,
    ring_seconds: float = 3.0,
    least: float = 0.97,
) -> None:
    """Households behind NATs in survey shares call one another: the outcome and the way of every call, by pair of NATs."""
    place, chance = _village(run), run.chance.child("village calls")
    helpers = max(VOLUNTEERS_MIN, round(households * volunteers))
    for number in range(helpers):
        place.add(nat=PUBLIC, volunteer=True, ring_seconds=ring_seconds, at=number * ARRIVAL_SECONDS)
    for number in range(helpers, households):
        place.add(ring_seconds=ring_seconds, at=number * ARRIVAL_SECONDS)
    people = [each for each in place.households if abs(each.endpoint.skew) < CLOCK_SECONDS_MAX]
    begin = len(place.households) * ARRIVAL_SECONDS + SETTLE_SECONDS
    free_at = {each.number: 0.0 for each in place.households}  # nobody dials while in a call of their own
    for number in range(calls):
        at, talk = begin + number * PACE_SECONDS, chance.uniform(0.2, 1.8) * talk_seconds
        caller = chance.choice([each for each in people if free_at[each.number] <= at] or people)
        callee = chance.choice([each for each in people if each is not caller])
        place.call(caller, callee, talk, at=at)
        free_at[caller.number] = free_at[callee.number] = at + ring_seconds + talk + SPARE_SECONDS
    run.check(PhoneCalls(least=least))
    _live(run, place, begin + calls * PACE_SECONDS + 2 * talk_seconds + ring_seconds + DRAIN_SECONDS)


@scenario("village-pairs")
def pairs(run: Run, *, talk_seconds: float = 8.0, volunteers: int = 4, least: float = 1.0) -> None:
    """Every kind of NAT calls every other one, one call after the other: everybody must hear everybody."""
    place = _village(run)
    for number in range(volunteers):
        place.add(nat=PUBLIC, volunteer=True, at=number * ARRIVAL_SECONDS)
    callers = {name: place.add(nat=KINDS[name], at=5.0 + number) for number, name in enumerate(KINDS)}
    callees = {name: place.add(nat=KINDS[name], at=20.0 + number) for number, name in enumerate(KINDS)}
    for each in place.households:
        each.clock.skew = 0.0
    begin = 20.0 + len(KINDS) + SETTLE_SECONDS
    step = talk_seconds + 7.0
    order = [(here, there) for here in KINDS for there in KINDS]
    for number, (here, there) in enumerate(order):
        place.call(callers[here], callees[there], talk_seconds, at=begin + number * step)
    run.check(PhoneCalls(least=least))
    _live(run, place, begin + len(order) * step + DRAIN_SECONDS)


def _village(run: Run) -> Village:
    place = Village(run.seed, network=Internet(Chance.seeded(run.seed).child("internet")))
    run.adopt(cast(Any, place))  # it has all of a World that a run reads
    place.on_call = _recorder(run)
    return place


def _recorder(run: Run) -> Callable[[Household, Any], None]:
    def record(caller: Household, result: Any) -> None:
        run.record("calls", **result.as_row())
        run.observe(cast(Any, caller), result, result.t)

    return record


def _live(run: Run, place: Village, seconds: float) -> None:
    run.total_seconds = seconds

    def watch(now: float) -> None:
        run.virtual_seconds = now
        run.tell()

    place.run(seconds, watch=watch)
    run.virtual_seconds = seconds
    for each in place.households:
        run.record("nodes", **place.facts(each))
    run.figure("households", len(place.households))
    run.figure("calls that could not be tried", place.skipped)
