"""A budget is spent, and comes back with time."""

from overlay.budget import Budget


def test_one_over_the_budget_is_refused_until_time_has_passed() -> None:
    budget = Budget(5)
    assert [budget.spend(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert not budget.spend(0.1)
    assert budget.spend(0.3)
    assert not budget.spend(0.3)
    assert [budget.spend(100.0) for _ in range(6)] == [True] * 5 + [False]
