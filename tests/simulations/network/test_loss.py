import math

import pytest

from p2psip.base.chance import Chance
from simulations.network.endpoint import Line
from simulations.network.loss import BURST_SECONDS, LOSS_MAX, LOSS_WHEN_BAD, is_lost, turn

STEP = 0.001


def _states(line: Line, seconds: float) -> list[bool]:
    real = Chance.seeded(1).real
    states = []
    for step in range(int(seconds / STEP)):
        now = 1_000.0 + step * STEP
        while now >= line.turn:
            turn(line, now, real)
        states.append(line.bad)
    return states


def _runs(states: list[bool]) -> list[float]:
    runs, length = [], 0
    for bad in states:
        if bad:
            length += 1
        elif length:
            runs.append(length * STEP)
            length = 0
    return runs


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_bursts_last_and_losses_are_as_many_as_stated(loss: float) -> None:
    line = Line()
    line.loss = loss
    states = _states(line, 1_000.0)
    bursts = _runs(states)
    assert abs(sum(states) / len(states) * LOSS_WHEN_BAD / loss - 1.0) < 0.15
    assert abs(sum(bursts) / len(bursts) / BURST_SECONDS - 1.0) < 0.1


def test_after_a_long_silence_the_state_is_as_likely_as_ever() -> None:
    real = Chance.seeded(2).real
    line = Line()
    line.loss = 0.1
    bad = 0
    for hour in range(20_000):
        now = 3_600.0 * hour
        if now >= line.turn:
            turn(line, now, real)
        bad += line.bad
    assert abs(bad / 20_000 - 0.1 / LOSS_WHEN_BAD) < 0.01


def test_a_line_without_losses_is_never_looked_at_again() -> None:
    line = Line()
    turn(line, 5.0, Chance.seeded(1).real)
    assert not line.bad
    assert line.turn == math.inf


def test_a_line_loses_no_more_than_the_bound() -> None:
    line = Line()
    line.loss = LOSS_MAX + 0.5
    states = _states(line, 200.0)
    assert abs(sum(states) / len(states) * LOSS_WHEN_BAD - LOSS_MAX) < 0.02


def test_two_bad_lines_lose_by_turns() -> None:
    real = Chance.seeded(3).real
    a, b = Line(), Line()
    a.bad = True
    assert abs(sum(is_lost(a, b, real) for _ in range(10_000)) / 10_000 - LOSS_WHEN_BAD) < 0.02
    b.bad = True
    assert abs(sum(is_lost(a, b, real) for _ in range(10_000)) / 10_000 - 0.75) < 0.02
