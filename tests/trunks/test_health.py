"""Health: what one answer, and what silence means."""

from p2psip.base.chance import Chance
from p2psip.trunks.health import DOWN_SECONDS_MAX, FAILURES_MAX, Health


def _health(interval: float = 60.0) -> Health:
    health = Health(interval, Chance.seeded(1))
    health.begin(0.0)
    return health


def test_it_is_asked_soon_and_then_now_and_then() -> None:
    health = _health()
    assert health.due is not None
    assert 0 < health.due <= 60
    health.answered(100.0, 404)
    assert health.is_up
    assert 145 <= health.due <= 160


def test_one_failure_is_none_and_several_are_down() -> None:
    health = _health()
    for number in range(FAILURES_MAX):
        assert health.is_up, number
        health.failed("no answer", 10.0)
    assert not health.is_up
    assert health.words == "no answer"
    assert health.due is not None
    assert health.due <= 10.0 + DOWN_SECONDS_MAX, "what is down is asked more often"
    health.answered(20.0, 200)
    assert health.is_up


def test_a_proxy_that_reaches_nobody_is_no_sign_of_life() -> None:
    health = _health()
    for _ in range(FAILURES_MAX):
        health.answered(0.0, 503)
    assert not health.is_up


def test_who_is_never_asked_is_never_down() -> None:
    health = _health(0.0)
    assert health.due is None
    for _ in range(FAILURES_MAX):
        health.failed("no answer", 0.0)
    assert health.is_up
    assert health.due is None
