"""Summaries against numbers worked out by hand."""

import pytest

from simulations.quantiles import gini, numbers, quantile, wilson


def test_quantiles_are_interpolated() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([1, 2, 3], 0.0) == 1
    assert quantile([1, 2, 3], 1.0) == 3
    assert quantile([7], 0.95) == 7
    with pytest.raises(ValueError, match="no numbers"):
        quantile([], 0.5)


def test_numbers_leave_out_what_is_none() -> None:
    assert numbers([3, None, 1.5, True, "2", 2]) == [1.5, 2, 3]


def test_gini_of_equal_and_of_one_that_bears_all() -> None:
    assert gini([2, 2, 2, 2]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert gini([0, 0]) == 0


def test_wilson_interval() -> None:
    low, high = wilson(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
