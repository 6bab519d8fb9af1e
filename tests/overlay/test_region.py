"""How many nodes there are, and which of them hold a record."""

import pytest

from overlay.buckets import BITS
from overlay.contact import Contact
from overlay.region import (
    CELLS,
    CELLS_IN_TURN,
    HOLDERS_MAX,
    HOLDERS_MIN,
    REGION_NODES,
    SAMPLES_MAX,
    NetworkSize,
    region_of,
    spread,
)
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


def settled(chance: Chance, numbers: list[int]) -> NetworkSize:
    """An estimate after many lookups of random places."""
    size = NetworkSize()
    for _ in range(SAMPLES_MAX):
        target = chance.integer(BITS)
        size.observe(target, closest_of(numbers, target, 8))
    return size


def contacts_of(numbers: list[int], target: int, count: int = 200, host: str = "10.0.0.1") -> list[Contact]:
    made = []
    for number in closest_of(numbers, target, count):
        contact = Contact(number.to_bytes(32, "big"), (host, 5000))
        contact.number = number
        made.append(contact)
    return made


def test_before_the_first_lookup_nothing_is_known() -> None:
    size = NetworkSize()
    assert (size.nodes, size.region(0)) == (None, None)
    size.observe(0, [1, 2, 3])
    assert size.nodes is None


def test_what_was_found_near_a_key_has_no_say_about_its_region() -> None:
    """Whoever has ground ids out beside a key would make the region small else."""
    chance = Chance.seeded(5)
    size, key = settled(chance, [chance.integer(BITS) for _ in range(1_000)]), chance.integer(BITS)
    before = size.region(key)
    for _ in range(SAMPLES_MAX * 2):
        size.observe(key, [key ^ number for number in range(1, 9)])
    after = size.region(key)
    assert before is not None
    assert after is not None
    assert before.radius / 1.3 < after.radius < before.radius * 1.3
    assert size.nodes is not None
    assert size.nodes < 2_000


def test_the_region_holds_about_as_many_as_it_should() -> None:
    chance = Chance.seeded(3)
    numbers = [chance.integer(BITS) for _ in range(2_000)]
    size, counts = settled(chance, numbers), []
    for _ in range(200):
        target = chance.integer(BITS)
        region = size.region(target)
        assert region is not None
        counts.append(len(region.holders(contacts_of(numbers, target))))
    assert REGION_NODES * 0.7 < sum(counts) / len(counts) < REGION_NODES * 1.6
    assert min(counts) == HOLDERS_MIN


@pytest.mark.parametrize("spread_bits", [4, BITS - 10])
def test_sixty_ids_ground_out_beside_a_key_push_nobody_out(spread_bits: int) -> None:
    """Close together, or all over the region (12 of 2 000 nodes share some 7 bits with the key)."""
    chance = Chance.seeded(4)
    numbers = [chance.integer(BITS) for _ in range(2_000)]
    size, key = settled(chance, numbers), chance.integer(BITS)
    region = size.region(key)
    assert region is not None
    honest = {contact.number for contact in region.holders(contacts_of(numbers, key))}
    ground = {key ^ 1 + chance.integer(spread_bits) for _ in range(60)} - honest
    holders = region.holders(contacts_of([*numbers, *ground], key))
    inside = {number for number in honest if number ^ key <= region.radius}
    assert len(inside & {contact.number for contact in holders}) >= len(inside) * 2 // 3
    assert len(holders) <= HOLDERS_MAX


def test_one_over_the_bound_leaves_out_one_of_the_fullest_cell() -> None:
    region = region_of(0, 1_000.0)
    crowd = contacts_of(list(range(1, HOLDERS_MAX + 1)), 0)
    (alone,) = contacts_of([region.radius], 0)
    holders = region.holders([*crowd, alone])
    assert len(holders) == HOLDERS_MAX
    assert alone in holders


def test_contacts_of_one_network_come_after_those_of_others() -> None:
    region = region_of(0, 1_000.0)
    crowd = contacts_of([1, 2, 3], 0, host="20.0.0.1")
    (other,) = contacts_of([4], 0, host="30.0.0.1")
    assert spread([*crowd, other], region.cell) == [crowd[0], other, crowd[1], crowd[2]]


def test_cells_are_parts_of_the_region_and_their_points_lie_in_them() -> None:
    region = region_of(1 << 159, 1_000.0)
    assert region.cell(region.target) == 0
    assert region.cell(region.target ^ region.radius) in range(CELLS // 2, CELLS)
    assert region.cell(region.target ^ 1 << 159) is None
    assert sorted(CELLS_IN_TURN) == list(range(CELLS))
    assert [region.cell(region.point(cell, turn)) for cell in range(CELLS) for turn in range(5)] == [
        cell for cell in range(CELLS) for _turn in range(5)
    ]


def test_chance_makes_no_crowd_and_ground_ids_do() -> None:
    chance, crowds = Chance.seeded(6), 0
    numbers = [chance.integer(BITS) for _ in range(2_000)]
    size = settled(chance, numbers)
    for _ in range(200):
        key = chance.integer(BITS)
        region = size.region(key)
        assert region is not None
        crowds += region.is_crowded(number ^ key for number in closest_of(numbers, key))
        assert region.is_crowded(sorted([number ^ key for number in closest_of(numbers, key)] + list(range(8))))
    assert crowds <= 2


@pytest.mark.parametrize(
    ("nodes", "count", "sparse"), [(2_000.0, 5, True), (2_000.0, 6, False), (4.0, 2, False), (4.0, 1, True)]
)
def test_half_of_those_who_should_be_there_are_enough(nodes: float, count: int, sparse: bool) -> None:
    assert region_of(0, nodes).is_sparse(count) is sparse


def test_one_sample_over_the_bound_forgets_the_oldest() -> None:
    size = NetworkSize()
    for target in range(SAMPLES_MAX):
        size.observe(target, [target ^ number for number in (1, 2, 3, 4)])
    for target in range(SAMPLES_MAX, SAMPLES_MAX * 2):
        size.observe(target, [RING // 8 * place for place in range(1, 5)])
    assert size.nodes is not None
    assert size.nodes < 10
