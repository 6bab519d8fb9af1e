"""The closest by XOR, against a look at all of them."""

import pytest

from p2psip.base.chance import Chance
from simulations.hostile.ring import Ring


@pytest.mark.parametrize("size", [0, 1, 5, 300])
def test_the_same_as_sorting_all(size: int) -> None:
    chance = Chance.seeded(size)
    numbers = [chance.integer(160) for _ in range(size)]
    ring = Ring((number, number) for number in numbers[: size // 2])
    for number in numbers[size // 2 :]:
        ring.add(number, number)
    assert len(ring) == size
    for _ in range(50):
        target = chance.integer(160)
        assert ring.near(target, 8) == sorted(numbers, key=lambda number: number ^ target)[:8]


def test_only_those_that_fit() -> None:
    ring = Ring((number << 150, number) for number in range(100))
    assert ring.near(0, 3, lambda value: value % 10 == 7) == [7, 17, 27]
    assert ring.near(0, 3, lambda value: value > 98) == [99]


def test_another_value_for_the_same_id() -> None:
    ring = Ring([(5, "old")])
    ring.add(5, "new")
    assert ring.near(5, 2) == ["new"]
