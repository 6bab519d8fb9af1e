"""The limit on guessing, by hand."""

from p2psip.calls import limiter as module
from p2psip.calls.limiter import (
    BLOCK_SECONDS,
    DELAY_SECONDS_MAX,
    FREE_FAILURES,
    GUESSERS_MAX,
    HOST_FAILURES_MAX,
    KNOWN_PAIRS_MAX,
    PAIR_FAILURES_MAX,
    USER_FAILURES_MAX,
    GuessLimiter,
)


def test_a_few_mistakes_are_free_and_then_each_costs_more() -> None:
    limiter = GuessLimiter()
    delays = [limiter.fail("h", "u", 0.0) for _ in range(PAIR_FAILURES_MAX)]
    assert delays[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert delays[FREE_FAILURES:] == sorted(delays[FREE_FAILURES:])
    assert delays[-1] == DELAY_SECONDS_MAX


def test_a_pair_is_blocked_and_forgiven() -> None:
    limiter = GuessLimiter()
    for _ in range(PAIR_FAILURES_MAX):
        assert not limiter.is_blocked("h", "u", 0.0)
        limiter.fail("h", "u", 0.0)
    assert limiter.is_blocked("h", "u", BLOCK_SECONDS - 1)
    assert not limiter.is_blocked("h", "u", BLOCK_SECONDS + 1)


def test_success_forgets_failures() -> None:
    limiter = GuessLimiter()
    for _ in range(PAIR_FAILURES_MAX - 1):
        limiter.fail("h", "u", 0.0)
    limiter.succeed("h", "u", 0.0)
    assert limiter.fail("h", "u", 0.0) <= DELAY_SECONDS_MAX
    assert not limiter.is_blocked("h", "u", 0.0)


def test_many_users_from_one_host_block_the_host_but_not_who_is_known() -> None:
    limiter = GuessLimiter()
    limiter.succeed("h", "alice", 0.0)
    for number in range(HOST_FAILURES_MAX):
        limiter.fail("h", f"u{number}", 0.0)
    assert limiter.is_blocked("h", "new", 0.0)
    assert not limiter.is_blocked("h", "alice", 0.0)
    assert not limiter.is_blocked("other", "new", 0.0)


def test_many_hosts_against_one_user_block_strangers_only() -> None:
    limiter = GuessLimiter()
    limiter.succeed("home", "alice", 0.0)
    for number in range(USER_FAILURES_MAX):
        limiter.fail(f"h{number}", "alice", 0.0)
    assert limiter.is_blocked("another", "alice", 0.0)
    assert not limiter.is_blocked("home", "alice", 0.0)


def test_tables_are_bounded() -> None:
    limiter = GuessLimiter()
    for number in range(GUESSERS_MAX):
        limiter.fail(f"h{number}", f"u{number}", 0.0)
    assert len(limiter) == GUESSERS_MAX
    for number in range(KNOWN_PAIRS_MAX + 1):
        limiter.succeed("h", f"u{number}", 0.0)
    assert len(limiter._known) == KNOWN_PAIRS_MAX
    assert module.FORGET_SECONDS >= BLOCK_SECONDS
