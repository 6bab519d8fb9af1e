"""Arrivals: spread evenly, or a crowd that fades; all of them join."""

import pytest

from p2psip.base.chance import Chance
from simulations.network.nat import PUBLIC
from simulations.workloads.joins import arrivals, flash_crowd, flash_times
from tests.simulations.town import town


def test_half_of_a_crowd_is_there_after_the_half_time() -> None:
    times = flash_times(Chance.seeded(1), 10_000, 30.0)
    assert sum(time < 30.0 for time in times) / 10_000 == pytest.approx(0.5, abs=0.02)
    assert sum(time < 60.0 for time in times) / 10_000 == pytest.approx(0.75, abs=0.02)


def test_arrivals_come_within_their_time() -> None:
    swarm = town(1, 5)
    begun = swarm.now
    nodes = arrivals(swarm, 20, 60.0, nat=PUBLIC)
    swarm.world.run(61.0)
    started = [node.started_at - begun for node in nodes]
    assert started == sorted(started)
    assert 0 <= started[0] < 20.0
    assert 40.0 < started[-1] <= 60.0


def test_a_flash_crowd_joins_a_small_overlay() -> None:
    swarm = town(2, 5)
    crowd = flash_crowd(swarm, 25, 5.0, nat=PUBLIC)
    swarm.world.run(120.0)
    assert all(node.joined_at is not None and node.registered_at is not None for node in crowd)
