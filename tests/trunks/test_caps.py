"""Caps: calls at once, per minute, minutes per day."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.trunks.caps import DAY_SECONDS, TAKEN_SECONDS_MAX, Caps

UNIX = 1_800_000_000.0


def test_so_many_calls_at_once_and_no_more() -> None:
    caps = Caps("trunk x", 2, 100)
    for _ in range(2):
        caps.check(0.0, UNIX)
        caps.begin(0.0)
    with pytest.raises(RemoteError, match="trunk x carries 2 calls already") as error:
        caps.check(0.0, UNIX)
    assert error.value.status == 503
    caps.end()
    caps.check(0.0, UNIX)


def test_so_many_calls_within_a_minute_and_no_more() -> None:
    caps = Caps("trunk x", 100, 3)
    for second in range(3):
        caps.check(second, UNIX)
        caps.begin(second)
        caps.end()
    with pytest.raises(RemoteError, match="3 calls within a minute"):
        caps.check(59.9, UNIX)
    caps.check(60.0, UNIX)


def take_all(caps: Caps, unix: float) -> float:
    """All that is left of the day, taken bit by bit."""
    taken = 0.0
    while more := caps.take(unix):
        taken += more
    return taken


def test_so_many_minutes_a_day_and_more_on_the_next() -> None:
    caps = Caps("bob", 1, 100, 10)
    assert caps.take(UNIX) == TAKEN_SECONDS_MAX
    assert caps.seconds_left(UNIX) == 590.0
    assert take_all(caps, UNIX) == 590.0
    with pytest.raises(RemoteError, match="10 minutes of today"):
        caps.check(0.0, UNIX)
    caps.give_back(5.0, UNIX, UNIX)
    caps.check(0.0, UNIX)
    assert take_all(caps, UNIX) == 5.0
    caps.check(0.0, UNIX + DAY_SECONDS)
    assert take_all(caps, UNIX + DAY_SECONDS) == 600.0


def test_what_is_taken_ends_with_the_day_and_is_not_given_back_to_another() -> None:
    caps = Caps("bob", 1, 100, 1)
    midnight = (UNIX // DAY_SECONDS + 1) * DAY_SECONDS
    assert caps.take(midnight - 3.0) == 3.0
    assert caps.take(midnight) == TAKEN_SECONDS_MAX
    caps.give_back(3.0, midnight - 3.0, midnight)
    assert caps.seconds_left(midnight) == 50.0


def test_without_a_cap_of_minutes_time_is_not_counted() -> None:
    caps = Caps("trunk x", 1, 1)
    assert caps.seconds_left(UNIX) is None
    assert caps.take(UNIX) is None


@given(
    calls=st.lists(st.tuples(st.floats(0.0, 90_000.0), st.floats(0.0, 400.0)), min_size=1, max_size=12),
    minutes=st.integers(1, 3),
)
def test_however_calls_lie_no_day_has_more_than_its_minutes(calls: list[tuple[float, float]], minutes: int) -> None:
    """Each call (its start, and how long it would talk) takes as it goes on, in the order of time."""
    caps = Caps("bob", 100, 100, minutes)
    talked: dict[int, float] = {}
    under_way = [(UNIX + start, UNIX + start + wish) for start, wish in calls]
    while under_way:
        under_way.sort()
        now, end = under_way.pop(0)
        taken = caps.take(now) or 0.0
        used = min(taken, end - now)
        day = int(now) // DAY_SECONDS
        talked[day] = talked.get(day, 0.0) + used
        if used < taken:
            caps.give_back(taken - used, now, now + used)
        elif taken:
            under_way.append((max(now + taken, math.nextafter(now, math.inf)), end))
    assert all(seconds <= 60.0 * minutes + 1e-3 for seconds in talked.values())
