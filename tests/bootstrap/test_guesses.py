"""Guessing is free at first, then slowed, then blocked, and the table never outgrows its bound."""

import pytest

from bootstrap.guesses import (
    BLOCK_SECONDS,
    FAILURES_BLOCKED,
    FAILURES_FREE,
    FORGET_SECONDS,
    GUESSERS_MAX,
    GuessLimiter,
    TooManyGuesses,
    account_key,
    source_key,
)


def _wait(limiter: GuessLimiter, key: str, now: float) -> int:
    try:
        limiter.check(key, now)
    except TooManyGuesses as error:
        return error.retry_after_seconds
    return 0


def test_the_wait_doubles_and_then_the_door_is_shut() -> None:
    limiter, waits = GuessLimiter(), []
    for _ in range(FAILURES_BLOCKED + 1):
        limiter.failed("a", 100.0)
        waits.append(_wait(limiter, "a", 100.0))
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 900, 900]


def test_waiting_opens_the_door_again() -> None:
    limiter = GuessLimiter()
    for _ in range(FAILURES_BLOCKED):
        limiter.failed("a", 100.0)
    assert _wait(limiter, "a", 100.0 + BLOCK_SECONDS - 0.1) == 1
    assert _wait(limiter, "a", 100.0 + BLOCK_SECONDS) == 0
    limiter.failed("a", 100.0 + BLOCK_SECONDS)
    assert _wait(limiter, "a", 100.0 + BLOCK_SECONDS) == BLOCK_SECONDS


def test_a_quiet_hour_forgets() -> None:
    limiter = GuessLimiter()
    for _ in range(FAILURES_BLOCKED):
        limiter.failed("a", 0.0)
    limiter.failed("a", FORGET_SECONDS + 1)
    assert _wait(limiter, "a", FORGET_SECONDS + 1) == 0


def test_the_refusal_says_when_to_come_back() -> None:
    error = TooManyGuesses(8)
    assert (error.status, error.retry_after_seconds) == (429, 8)
    assert "wait 8 s" in str(error)


def test_success_forgets_and_keys_are_apart() -> None:
    limiter = GuessLimiter()
    for _ in range(FAILURES_FREE):
        limiter.failed("a", 0.0)
    assert _wait(limiter, "b", 0.0) == 0
    limiter.succeeded("a")
    assert _wait(limiter, "a", 0.0) == 0
    assert len(limiter) == 0


def test_the_table_is_bounded() -> None:
    limiter = GuessLimiter()
    for number in range(GUESSERS_MAX + 1):
        limiter.failed(str(number), 0.0)
    assert len(limiter) == GUESSERS_MAX


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "source 192.0.2.1"),
        ("::ffff:192.0.2.1", "source 192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "source 2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "source 2001:db8:1:2::/64"),
        ("fe80::1%eth0", "source fe80::/64"),
        ("somewhere", "source somewhere"),
    ],
)
def test_a_source_is_a_host_or_a_site(host: str, key: str) -> None:
    assert source_key(host) == key
    assert account_key(host) != key
