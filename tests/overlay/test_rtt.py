"""The estimator of RFC 6298, by hand-made figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.rtt import START_SECONDS, WAIT_SECONDS_MAX, WAIT_SECONDS_MIN, RoundTrips


def after(*samples: float) -> RoundTrips:
    trips = RoundTrips()
    for sample in samples:
        trips.measured(sample)
    return trips


def test_before_any_answer_it_waits_one_second() -> None:
    """RFC 6298 §2.1."""
    assert RoundTrips().retransmit_seconds == START_SECONDS == 1.0


def test_the_first_sample() -> None:
    """RFC 6298 §2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR."""
    assert after(0.2).retransmit_seconds == pytest.approx(0.2 + 4 * 0.1)


def test_the_second_sample_changes_the_variation_before_the_mean() -> None:
    """RFC 6298 §2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT = 7/8 SRTT + 1/8 R'."""
    variation = 0.75 * 0.05 + 0.25 * abs(0.1 - 0.18)
    assert after(0.1, 0.18).retransmit_seconds == pytest.approx(0.875 * 0.1 + 0.125 * 0.18 + 4 * variation)


def test_steady_samples_come_down_to_the_sample_and_the_grain() -> None:
    assert after(*[0.3] * 200).retransmit_seconds == pytest.approx(0.31, abs=1e-6)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_it_never_leaves_its_bounds(samples: list[float]) -> None:
    trips = after(*samples)
    assert WAIT_SECONDS_MIN <= trips.retransmit_seconds <= START_SECONDS
    assert 0.5 <= trips.give_up_seconds <= WAIT_SECONDS_MAX
    assert trips.give_up_seconds > trips.retransmit_seconds
