"""The contest between our nodes and kademlia's: the same crashes and questions for both, and the same outcome each time."""

import pytest

from p2psip.base.chance import Chance
from simulations.network.plain import PlainNetwork
from simulations.referee.contest import LOOKUPS_MAX, PEERS_MAX, Score, draw_contest
from simulations.referee.theirs import play_theirs
from simulations.results import Result
from simulations.run import run_scenario
from simulations.scenario import ScenarioError
from simulations.scenarios.referee import TABLE, compared

SMALL = {"peers": 24, "crash_share": 0.25, "lookups": 20, "absent": 6}


@pytest.fixture(scope="module")
def result() -> Result:
    return run_scenario("referee", SMALL, 5)


def rows(result: Result) -> dict[str, tuple[float, float]]:
    table = result.tables[TABLE]
    return {str(row["what"]): (row["p2psip"], row["kademlia"]) for row in table}  # type: ignore[misc]


def test_both_find_every_live_key_and_no_other(result: Result) -> None:
    said = rows(result)
    assert said["registrations stored"] == (24, 24)
    assert said["live key: right answers of 20"] == (100, 100)
    assert said["absent key: right answers of 6"] == (100, 100)


def test_dead_contacts_cost_kademlia_its_time_outs_and_us_round_trips(result: Result) -> None:
    ours, theirs = rows(result)["absent key: median time"]
    assert ours < 2.0
    assert theirs >= 5.0


def test_requests_are_counted_on_both_sides(result: Result) -> None:
    for what in ("live key: requests, mean", "absent key: requests, mean"):
        ours, theirs = rows(result)[what]
        assert 1 <= ours <= 40
        assert 0 < theirs <= 40
    assert {figure.name for figure in result.figures} >= {"live keys found", "live keys found by kademlia"}


def test_the_same_seed_gives_the_same_outcome(result: Result) -> None:
    again = run_scenario("referee", SMALL, 5)
    assert again.trace_hash == result.trace_hash
    assert again.tables == result.tables


def test_kademlia_alone_is_the_same_each_time() -> None:
    def play() -> Score:
        chance = Chance.seeded(9)
        contest = draw_contest(chance, peers=12, crash_share=0.5, lookups=6, absent=2)
        return play_theirs(contest, PlainNetwork(chance.child("network")), chance.child("kademlia"))

    assert play() == play()


def test_nobody_who_crashed_asks_or_is_asked_for() -> None:
    contest = draw_contest(Chance.seeded(2), peers=40, crash_share=0.5, lookups=100, absent=30)
    crashed = set(contest.crashed)
    assert len(crashed) == 20
    assert 0 not in crashed
    assert crashed.isdisjoint(number for pair in contest.lookups for number in pair)
    assert crashed.isdisjoint(contest.absent)
    assert all(asker != target for asker, target in contest.lookups)


def test_two_survive_whatever_the_share() -> None:
    assert len(draw_contest(Chance.seeded(2), peers=5, crash_share=1.0, lookups=3, absent=3).crashed) == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"peers": 1}, "peers must be 2 to"),
        ({"peers": PEERS_MAX + 1}, "peers must be 2 to"),
        ({"lookups": LOOKUPS_MAX + 1}, "lookups must be 0 to"),
        ({"absent": -1}, "absent must not be negative"),
        ({"crash_share": -0.5}, "crash_share must not be negative"),
        ({"crash_share": 1.5}, "crash_share must be 0 to 1"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        run_scenario("referee", {**SMALL, **wrong}, 1)


def test_a_side_that_was_asked_nothing_has_no_figures() -> None:
    contest = draw_contest(Chance.seeded(2), peers=5, crash_share=0.0, lookups=0, absent=0)
    said = compared(contest, Score(), Score())
    assert {row["p2psip"] for row in said if "key" in str(row["what"])} == {None}
