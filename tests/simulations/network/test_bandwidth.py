from collections.abc import Callable

import pytest

from simulations.network.bandwidth import OVERHEAD_BYTES, QUEUE_SECONDS_MAX, down, up
from simulations.network.endpoint import Line

SIZE = 1_000 - OVERHEAD_BYTES


def _line() -> Line:
    line = Line()
    line.up_seconds = line.down_seconds = 0.000_01  # 100 kB/s: a datagram of 1000 bytes takes 10 ms
    return line


@pytest.mark.parametrize("way", [up, down])
def test_a_datagram_takes_its_time_and_waits_for_those_before_it(
    way: Callable[[Line, float, int], float | None],
) -> None:
    line = _line()
    assert way(line, 5.0, SIZE) == pytest.approx(5.010)
    assert way(line, 5.0, SIZE) == pytest.approx(5.020)
    assert way(line, 5.015, SIZE) == pytest.approx(5.030)
    assert way(line, 6.0, SIZE) == pytest.approx(6.010)


@pytest.mark.parametrize("way", [up, down])
def test_a_full_queue_drops_the_last(way: Callable[[Line, float, int], float | None]) -> None:
    line = _line()
    line.up_seconds = line.down_seconds = 0.000_007
    room = int(QUEUE_SECONDS_MAX / 0.007) + 1
    sent = [way(line, 5.0, SIZE) for _ in range(room + 1)]
    assert None not in sent[:room]
    assert sent[room] is None
    assert way(line, 5.02, SIZE) is not None


@pytest.mark.parametrize("way", [up, down])
def test_a_line_without_a_rate_delays_nothing(way: Callable[[Line, float, int], float | None]) -> None:
    line = Line()
    assert [way(line, 5.0, SIZE) for _ in range(1_000)] == [5.0] * 1_000


def test_one_that_overtakes_does_not_wait_for_one_that_arrives_later() -> None:
    line = _line()
    assert down(line, 5.2, SIZE) == pytest.approx(5.210)
    assert down(line, 5.0, SIZE) == pytest.approx(5.020)
