"""One subscription on a virtual clock: what is sent when."""

import pytest

from p2psip.presence.subscription import (
    BURST,
    RETRIES_MAX,
    RETRY_SECONDS_MAX,
    SECONDS_MAX,
    SECONDS_MIN,
    Notice,
    Subscription,
    granted,
)

INTERVAL = 5.0


def taken(subscription: Subscription, now: float, status: int = 200, retry_after: int | None = None) -> Notice:
    notice = subscription.take(now)
    assert notice is not None
    subscription.answered(status, retry_after, now)
    return notice


def test_the_first_notice_comes_at_once_and_tells_everything() -> None:
    subscription = Subscription(600, INTERVAL, 100.0)
    assert taken(subscription, 100.0) == Notice("active;expires=600", True, False)
    assert subscription.take(100.0) is None
    assert subscription.poll_timeout(100.0) == 700.0
    subscription.change()
    assert taken(subscription, 150.0) == Notice("active;expires=550", False, False)


def test_it_runs_out() -> None:
    subscription = Subscription(60, INTERVAL, 0.0)
    taken(subscription, 0.0)
    assert subscription.take(59.9) is None
    assert taken(subscription, 60.0) == Notice("terminated;reason=timeout", False, True)
    assert subscription.is_over
    assert subscription.poll_timeout(60.0) is None


def test_a_refresh_prolongs_and_tells_everything_again() -> None:
    subscription = Subscription(60, INTERVAL, 0.0)
    taken(subscription, 0.0)
    subscription.refresh(60, 50.0)
    assert taken(subscription, 50.0) == Notice("active;expires=60", True, False)
    assert subscription.take(109.0) is None
    assert taken(subscription, 110.0).is_last


def test_a_fetch_is_told_once() -> None:
    subscription = Subscription(0, INTERVAL, 0.0)
    assert taken(subscription, 0.0) == Notice("terminated;reason=timeout", True, True)
    assert subscription.is_over


def test_notices_come_one_after_the_other() -> None:
    subscription = Subscription(600, INTERVAL, 0.0)
    assert subscription.take(0.0) is not None
    subscription.change()
    assert subscription.take(1.0) is None
    assert subscription.poll_timeout(1.0) == float("inf")
    subscription.answered(200, None, 1.0)
    assert subscription.poll_timeout(1.0) == 1.0
    assert taken(subscription, 1.0)


def test_after_a_burst_changes_are_told_together_at_the_interval() -> None:
    subscription = Subscription(600, INTERVAL, 0.0)
    for _ in range(BURST):
        subscription.change()
        taken(subscription, 0.0)
    for _ in range(10):
        subscription.change()
    assert subscription.take(0.0) is None
    assert subscription.poll_timeout(0.0) == pytest.approx(INTERVAL)
    assert taken(subscription, INTERVAL)
    assert subscription.take(INTERVAL) is None


def test_over_an_hour_of_changes_the_rate_holds() -> None:
    subscription = Subscription(SECONDS_MAX, INTERVAL, 0.0)
    sent = 0
    for tenth in range(6_000):
        subscription.change()
        if subscription.take(tenth / 10) is not None:
            subscription.answered(200, None, tenth / 10)
            sent += 1
    assert sent <= BURST + 600 / INTERVAL


def test_the_end_waits_for_no_turn_and_the_first_reason_counts() -> None:
    subscription = Subscription(600, INTERVAL, 0.0)
    for _ in range(BURST):
        subscription.change()
        taken(subscription, 0.0)
    subscription.end("rejected")
    subscription.end("deactivated")
    assert taken(subscription, 0.0) == Notice("terminated;reason=rejected", False, True)


@pytest.mark.parametrize("status", [408, 481, 489, 403, 500])
def test_a_watcher_that_is_gone_is_told_no_more(status: int) -> None:
    subscription = Subscription(600, INTERVAL, 0.0)
    taken(subscription, 0.0, status)
    assert subscription.is_over


def test_a_busy_watcher_is_told_again_but_not_for_ever() -> None:
    subscription = Subscription(600, INTERVAL, 0.0)
    now = 0.0
    for _ in range(RETRIES_MAX - 1):
        assert taken(subscription, now, 503, 10_000).is_whole
        assert not subscription.is_over
        due = subscription.poll_timeout(now)
        assert due is not None
        assert due - now == pytest.approx(RETRY_SECONDS_MAX)
        now = due
    taken(subscription, now, 503, 1)
    assert subscription.is_over


def test_what_is_granted() -> None:
    assert granted(None, 3_600) == 3_600
    assert granted(0, 3_600) == 0
    assert granted(SECONDS_MIN, 3_600) == SECONDS_MIN
    assert granted(SECONDS_MIN - 1, 3_600) is None
    assert granted(SECONDS_MAX + 1, 3_600) == SECONDS_MAX
