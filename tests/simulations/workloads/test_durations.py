"""Lengths of time: mean, median, scaling and what is left, by many draws with a fixed seed."""

import pytest

from p2psip.base.chance import Chance
from simulations.workloads.durations import Duration, LogNormal, Weibull, gamma, normal

DRAWS = 20_000


@pytest.mark.parametrize("duration", [Weibull(1.0, 60.0), Weibull(0.615, 40.0), LogNormal(1.0, 100.0)])
def test_draws_have_the_stated_mean_and_median(duration: Duration) -> None:
    chance = Chance.seeded(1)
    drawn = sorted(duration.draw(chance) for _ in range(DRAWS))
    assert sum(drawn) / DRAWS == pytest.approx(duration.mean, rel=0.05)
    assert drawn[DRAWS // 2] == pytest.approx(duration.median, rel=0.05)


@pytest.mark.parametrize("duration", [Weibull(0.615, 40.0), LogNormal(0.7, 100.0)])
def test_what_is_left_is_what_renewal_theory_says(duration: Duration) -> None:
    """The mean of what is left is E[length²] / (2 E[length])."""
    chance = Chance.seeded(2)
    drawn = [duration.draw(chance) for _ in range(4 * DRAWS)]
    expected = sum(each * each for each in drawn) / (2 * sum(drawn))
    left = [duration.residual(chance) for _ in range(4 * DRAWS)]
    assert sum(left) / len(left) == pytest.approx(expected, rel=0.06)


def test_what_is_left_of_an_exponential_is_as_long_as_a_fresh_one() -> None:
    chance = Chance.seeded(3)
    left = sorted(Weibull(1.0, 60.0).residual(chance) for _ in range(DRAWS))
    assert sum(left) / DRAWS == pytest.approx(60.0, rel=0.05)
    assert left[DRAWS // 2] == pytest.approx(Weibull(1.0, 60.0).median, rel=0.05)


@pytest.mark.parametrize("duration", [Weibull(0.4, 7.0), LogNormal(1.3, 7.0)])
def test_scaling_keeps_the_shape(duration: Duration) -> None:
    scaled = duration.scaled_to(1_200.0)
    assert scaled.mean == pytest.approx(1_200.0)
    assert scaled.median / scaled.mean == pytest.approx(duration.median / duration.mean)


def test_a_weibull_of_a_median() -> None:
    assert Weibull.of_median(0.6, 5.5).median == pytest.approx(5.5)


def test_variables_underneath() -> None:
    chance = Chance.seeded(4)
    normals = [normal(chance) for _ in range(DRAWS)]
    assert sum(normals) / DRAWS == pytest.approx(0.0, abs=0.03)
    assert sum(x * x for x in normals) / DRAWS == pytest.approx(1.0, rel=0.05)
    gammas = [gamma(chance, 2.5) for _ in range(DRAWS)]
    assert sum(gammas) / DRAWS == pytest.approx(2.5, rel=0.05)


def test_the_same_seed_draws_the_same() -> None:
    drawn = [[Weibull(0.6, 9.0).residual(chance) for _ in range(50)] for chance in (Chance.seeded(5), Chance.seeded(5))]
    assert drawn[0] == drawn[1]
