"""How many nodes there are, and which of them hold a record."""

import pytest

from overlay.buckets import BITS
from overlay.region import HOLDERS_MAX, HOLDERS_MIN, REGION_NODES, SAMPLES_MAX, NetworkSize
from p2psip.base.chance import Chance

RING = 1 << BITS


def closest_of(numbers: list[int], target: int, count: int = 40) -> list[int]:
    return sorted(numbers, key=lambda number: number ^ target)[:count]


@pytest.mark.parametrize("nodes", [50, 1_000, 20_000])
def test_the_estimate_is_near_the_truth(nodes: int) -> None:
    chance, size = Chance.seeded(nodes), NetworkSize()
    numbers = [chance.integer(BITS) for _ in range(nodes)]
    for _ in range(SAMPLES_MAX):
        target = chance.integer(BITS)
        size.observe(target, closest_of(numbers, target, 8))
    assert size.nodes is not None
    assert nodes / 1.6 < size.nodes < nodes * 1.6


def test_before_the_first_lookup_nothing_is_known() -> None:
    size = NetworkSize()
    assert size.nodes is None
    size.observe(0, [1, 2, 3])
    assert size.nodes is None
    assert size.holders(0, list(range(30))) == HOLDERS_MIN
    assert size.holders(0, [1, 2]) == 2


def test_the_region_holds_about_as_many_as_it_should() -> None:
    chance, size = Chance.seeded(3), NetworkSize()
    numbers = [chance.integer(BITS) for _ in range(2_000)]
    counts = []
    for _ in range(200):
        target = chance.integer(BITS)
        size.observe(target, closest_of(numbers, target, 8))
        counts.append(size.holders(target, closest_of(numbers, target)))
    assert REGION_NODES * 0.7 < sum(counts) / len(counts) < REGION_NODES * 1.5
    assert (min(counts), max(counts) <= HOLDERS_MAX) == (HOLDERS_MIN, True)


def test_ids_ground_out_beside_a_key_do_not_push_the_others_out() -> None:
    """Eight false neighbours: the honest holders keep the record, for the region is as wide as before."""
    chance, size = Chance.seeded(4), NetworkSize()
    numbers = [chance.integer(BITS) for _ in range(2_000)]
    for _ in range(SAMPLES_MAX):
        target = chance.integer(BITS)
        size.observe(target, closest_of(numbers, target, 8))
    key = chance.integer(BITS)
    honest = size.holders(key, closest_of(numbers, key))
    ground = [key ^ number for number in range(1, 9)]
    assert size.holders(key, closest_of(numbers + ground, key)) >= min(honest + 4, HOLDERS_MAX)


def test_no_more_than_the_bound_hold_a_record() -> None:
    size = NetworkSize()
    size.observe(0, [RING // 8 * place for place in range(8)])
    assert size.holders(0, list(range(HOLDERS_MAX + 1))) == HOLDERS_MAX


def test_one_sample_over_the_bound_forgets_the_oldest() -> None:
    size = NetworkSize()
    for _ in range(SAMPLES_MAX):
        size.observe(0, [1, 2, 3, 4])
    for _ in range(SAMPLES_MAX):
        size.observe(0, [RING // 8 * place for place in range(1, 5)])
    assert size.nodes is not None
    assert size.nodes < 10
