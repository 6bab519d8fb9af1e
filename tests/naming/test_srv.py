"""The order of servers: priorities, and weights over many draws."""

from collections import Counter

from p2psip.base.chance import Chance
from p2psip.naming.questions import Srv
from p2psip.naming.srv import RECORDS_MAX, is_absent, ordered_srvs

DRAWS = 3_000


def firsts(records: list[Srv]) -> Counter[str]:
    chance = Chance.seeded(1)
    return Counter(ordered_srvs(records, chance)[0].target for _ in range(DRAWS))


def test_a_lower_priority_is_always_first() -> None:
    records = [Srv(20, 100, 5060, "late"), Srv(10, 0, 5060, "early")]
    assert firsts(records) == {"early": DRAWS}


def test_weights_are_shares() -> None:
    counts = firsts([Srv(1, 60, 5060, "a"), Srv(1, 30, 5060, "b"), Srv(1, 10, 5060, "c")])
    assert abs(counts["a"] / DRAWS - 0.6) < 0.05
    assert abs(counts["b"] / DRAWS - 0.3) < 0.05


def test_weight_zero_is_drawn_hardly_ever_among_others_and_equally_alone() -> None:
    counts = firsts([Srv(1, 0, 5060, "none"), Srv(1, 99, 5060, "all")])
    assert 0 < counts["none"] < DRAWS * 0.04
    equal = firsts([Srv(1, 0, 5060, name) for name in "ab"])
    assert abs(equal["a"] / DRAWS - 0.5) < 0.05


def test_all_are_kept_once_within_the_bound_and_the_order_is_the_seeds() -> None:
    records = [Srv(number % 3, number, 5060, f"h{number}") for number in range(RECORDS_MAX)]
    ordered = ordered_srvs(records, Chance.seeded(2))
    assert sorted(ordered, key=lambda each: each.weight) == records
    assert ordered == ordered_srvs(list(reversed(records)), Chance.seeded(2))
    assert len(ordered_srvs([*records, Srv(9, 0, 1, "over")], Chance.seeded(2))) == RECORDS_MAX


def test_the_root_says_that_there_is_no_service() -> None:
    assert is_absent([Srv(0, 0, 0, "")])
    assert not is_absent([Srv(0, 0, 0, ""), Srv(0, 0, 5060, "a")])
    assert not is_absent([])
