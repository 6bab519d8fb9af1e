"""The replay window against a plain set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay.replay import REPLAY_WINDOW_FRAMES, ReplayWindow
from p2psip.base.errors import RemoteError


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2_000) | st.integers(2**95, 2**95 + 2_000), max_size=200))
def test_each_number_once_within_the_window(numbers: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for number in numbers:
        fresh = number not in seen and number > max(seen, default=-1) - REPLAY_WINDOW_FRAMES
        if fresh:
            window.check(number)
            window.add(number)
            seen.add(number)
        else:
            with pytest.raises(RemoteError):
                window.check(number)
        assert window._missing.bit_length() <= REPLAY_WINDOW_FRAMES


def test_frames_in_order_leave_nothing_to_remember() -> None:
    window = ReplayWindow()
    for number in range(2**40, 2**40 + REPLAY_WINDOW_FRAMES + 1):
        window.check(number)
        window.add(number)
    assert window._missing == 0
