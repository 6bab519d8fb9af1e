"""Calls in a swarm: each outcome there is, ringing and talking, and the load over time."""

from collections import Counter
from typing import Any

import pytest

from p2psip.base.errors import LocalError
from simulations.lookups import Lookups
from simulations.network.nat import PORT_RESTRICTED, PUBLIC
from simulations.nodes import Node
from simulations.results import Cell
from simulations.swarm import Swarm
from simulations.workloads.calls import RINGS, TALKS, CallEnded, Calls
from simulations.workloads.diurnal import Diurnal
from simulations.workloads.signalling import (
    ABANDONED,
    ABSENT,
    ANSWERED,
    BUSY_THERE,
    GIVEN_UP_SECONDS,
    HANGS,
    NOT_PICKED_UP,
    RINGS_SECONDS_MAX,
    UNKNOWN,
    UNREACHED,
    Call,
    Fate,
)
from tests.simulations.town import empty_town, people_of, town

SOON = Fate(3.0, 20.0)


class Records:
    """What calls need of a run."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Cell]] = []
        self.events: list[Any] = []

    def record(self, table: str, **row: Cell) -> None:
        """One more row of the table `calls`."""
        assert table == "calls"
        self.rows.append(row)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """What checkers see."""
        self.events.append(event)


def one_call(swarm: Swarm, caller: Node, callee: Node, fate: Fate = SOON, **fields: Any) -> Call:
    """A call, and two minutes."""
    call = Calls(None, swarm).call(caller, callee, fate=fate, **fields)
    swarm.world.run(120.0)
    return call


def test_holding_times_have_the_stated_mean_and_median() -> None:
    assert TALKS.mean == pytest.approx(180.0)
    assert TALKS.median == pytest.approx(98.3, abs=0.1)
    assert RINGS.median == 7.0


def test_a_call_is_set_up_rings_is_answered_and_ends() -> None:
    swarm = town(1, 12)
    records = Records()
    calls = Calls(records, swarm)
    caller, callee = people_of(swarm)[:2]
    call = calls.call(caller, callee, fate=SOON)
    swarm.world.run(2.0)
    assert call.setup_seconds is not None
    assert call.setup_seconds < 1.0
    assert calls.signalling.is_busy(caller)
    assert calls.signalling.is_busy(callee)
    swarm.world.run(30.0)
    assert call.outcome == ANSWERED
    assert call.answered_at is not None
    assert call.ended_at == pytest.approx(call.answered_at + 20.0)
    assert not call.cut
    assert call.is_over
    assert not calls.signalling.calls
    assert not calls.signalling.is_busy(callee)
    assert [row["outcome"] for row in records.rows] == ["answered"]
    assert [type(event) for event in records.events] == [Call, CallEnded]


def test_nobody_picks_up() -> None:
    swarm = town(2, 8)
    call = one_call(swarm, *people_of(swarm)[:2], Fate(None, 20.0))
    assert (call.outcome, call.cause) == (NOT_PICKED_UP, "nobody picks up")
    late = one_call(swarm, *people_of(swarm)[:2], Fate(RINGS_SECONDS_MAX + 1, 20.0))
    assert late.outcome == NOT_PICKED_UP


def test_who_talks_is_busy() -> None:
    swarm = town(3, 8)
    calls = Calls(None, swarm)
    one, other, third = people_of(swarm)[:3]
    calls.call(one, other, fate=Fate(1.0, 100.0))
    swarm.world.run(10.0)
    second = calls.call(third, other, fate=SOON)
    third_call = calls.call(people_of(swarm)[3], one, fate=SOON)
    swarm.world.run(10.0)
    assert second.outcome == third_call.outcome == BUSY_THERE


def test_somebody_who_has_left_is_absent_and_a_wrong_name_unknown() -> None:
    swarm = town(4, 12)
    caller, callee = people_of(swarm)[:2]
    swarm.leave(callee)
    swarm.world.run(10.0)
    assert one_call(swarm, caller, callee).outcome == ABSENT
    call = one_call(swarm, caller, people_of(swarm)[2], address="nobody@sim.example")
    assert (call.outcome, call.live) == (UNKNOWN, False)


def test_somebody_whose_node_has_just_crashed_is_unreached_in_32_seconds() -> None:
    swarm = town(5, 12)
    calls = Calls(None, swarm)
    caller, callee = people_of(swarm)[:2]
    swarm.crash(callee)
    call = calls.call(caller, callee, fate=SOON)
    swarm.world.run(GIVEN_UP_SECONDS - 1)
    assert not call.outcome
    swarm.world.run(3.0)
    assert call.outcome == UNREACHED


def test_a_caller_who_vanishes_abandons_the_call() -> None:
    swarm = town(6, 8)
    calls = Calls(None, swarm)
    caller, callee = people_of(swarm)[:2]
    call = calls.call(caller, callee, fate=Fate(10.0, 20.0))
    swarm.world.run(2.0)
    swarm.crash(caller)
    swarm.world.run(90.0)
    assert call.outcome == ABANDONED
    assert not calls.signalling.is_busy(callee)


def test_a_talk_whose_other_side_vanishes_was_cut() -> None:
    swarm = town(7, 8)
    calls = Calls(None, swarm)
    caller, callee = people_of(swarm)[:2]
    call = calls.call(caller, callee, fate=Fate(1.0, 20.0))
    swarm.world.run(5.0)
    swarm.crash(callee)
    swarm.world.run(60.0)
    assert (call.outcome, call.cut) == (ANSWERED, True)
    assert (calls.ended, calls.cut) == (1, 1)


def test_a_lookup_that_never_ends_is_a_call_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    swarm = town(8, 5)
    monkeypatch.setattr(swarm, "find", lambda *_arguments: None)
    assert one_call(swarm, *people_of(swarm)[:2]).outcome == HANGS


def test_a_person_behind_a_nat_is_called_through_super_nodes() -> None:
    swarm = empty_town(9)
    swarm.grow(4, volunteer=True, nat=PUBLIC, per_second=2.0)
    swarm.grow(6, nat=PUBLIC, per_second=2.0)
    client = swarm.grow(1, nat=PORT_RESTRICTED)[0]
    swarm.world.run(60.0)
    call = one_call(swarm, people_of(swarm)[7], client)
    assert call.outcome == ANSWERED


def test_the_load_is_a_poisson_process_of_the_stated_rate_with_every_call_settled() -> None:
    swarm = town(10, 20)
    calls = Calls(None, swarm, calling=0.5, attempts_per_hour=12.0, to_absent=0.0)
    calls.begin()
    swarm.world.run(600.0)
    calls.stop()
    swarm.world.run(90.0)
    busy = 0.3  # of all attempts, about so many are of somebody who talks already
    assert calls.made == pytest.approx(20 * 12.0 / 6 * (1 - busy), rel=0.5)
    assert sum(calls.outcomes.values()) == calls.made
    assert calls.outcomes[ANSWERED] > 0.25 * calls.made
    assert HANGS not in calls.outcomes
    assert UNREACHED not in calls.outcomes


def test_only_the_stated_share_of_people_calls() -> None:
    swarm = town(11, 20)
    records = Records()
    calls = Calls(records, swarm, calling=0.2, attempts_per_hour=20.0)
    calls.begin()
    swarm.world.run(300.0)
    callers = Counter(row["caller"] for row in records.rows)
    assert 1 <= len(callers) <= 8
    assert len({row["callee"] for row in records.rows}) > len(callers)


def test_a_call_to_a_wrong_name_is_no_lookup_of_the_person_it_was_drawn_for() -> None:
    swarm = town(13, 8)
    run = Records()
    lookups = Lookups(run, swarm)  # type: ignore[arg-type]
    calls = Calls(None, swarm, lookups=lookups)
    calls.call(*people_of(swarm)[:2], address="nobody@sim.example")
    swarm.world.run(10.0)
    assert lookups.made == 0
    assert calls.outcomes == {UNKNOWN: 1}


def test_one_call_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.workloads.calls.CALLS_AT_ONCE_MAX", 2)
    swarm = town(14, 5)
    calls = Calls(None, swarm)
    for _ in range(2):
        calls.call(*people_of(swarm)[:2])
    with pytest.raises(LocalError, match="more than 2 calls"):
        calls.call(*people_of(swarm)[:2])


def test_nobody_calls_where_no_share_of_people_does() -> None:
    swarm = town(15, 3)
    calls = Calls(None, swarm, calling=0.0)
    calls.begin()
    swarm.world.run(100.0)
    assert calls.made == 0


def test_at_night_nobody_calls() -> None:
    swarm = town(12, 10)
    calls = Calls(None, swarm, calling=1.0, attempts_per_hour=20.0, diurnal=Diurnal([0.0] * 24))
    calls.begin()
    swarm.world.run(300.0)
    assert calls.made == 0
