"""The load by the hour: profiles, time zones, thinning, and devices that follow it."""

import pytest

from p2psip.base.chance import Chance
from simulations.network.latency import REGIONS
from simulations.network.nat import PUBLIC
from simulations.workloads.diurnal import DAY, HOME, HOUR, OFFICE, ONLINE_TROUGH, REGION_HOURS, Diurnal, Tide
from tests.simulations.town import empty_town

MIDNIGHT = 1_700_006_400.0  # UTC, a multiple of a day


def test_profiles_have_a_value_for_each_hour_and_a_busiest_one() -> None:
    for profile in (OFFICE, HOME):
        assert len(profile) == 24
        assert max(profile) == 1.0
        assert min(profile) > 0.0
    assert MIDNIGHT % DAY == 0


def test_shares_that_sources_give() -> None:
    assert 1 / sum(HOME) == pytest.approx(0.073, abs=0.001)
    assert 0.1 < 1 / sum(OFFICE) < 0.15
    assert sum(OFFICE[8:20]) / sum(OFFICE) > 0.9


def test_the_level_is_that_of_the_local_hour_and_straight_between_hours() -> None:
    diurnal = Diurnal(OFFICE, (0.0, 9.0, -5.0))
    assert diurnal.level(MIDNIGHT + 10 * HOUR) == 1.0
    assert diurnal.level(MIDNIGHT + 1 * HOUR, region=1) == 1.0
    assert diurnal.level(MIDNIGHT + 15 * HOUR, region=2) == 1.0
    assert diurnal.level(MIDNIGHT + 8.5 * HOUR) == pytest.approx((OFFICE[8] + OFFICE[9]) / 2)
    assert diurnal.level(MIDNIGHT + 23.5 * HOUR) == pytest.approx((OFFICE[23] + OFFICE[0]) / 2)


def test_every_region_has_its_clock() -> None:
    assert len(REGION_HOURS) == len(REGIONS)
    tokyo = REGIONS.index("Tokyo")
    assert Diurnal(OFFICE).level(MIDNIGHT + 1 * HOUR, tokyo) == 1.0


def test_thinning_admits_the_share_of_the_hour() -> None:
    diurnal, chance = Diurnal(OFFICE, (0.0,)), Chance.seeded(1)
    admitted = sum(diurnal.admits(MIDNIGHT + 12 * HOUR, 0, chance) for _ in range(10_000))
    assert admitted / 10_000 == pytest.approx(OFFICE[12], abs=0.02)


def test_squeezing_keeps_the_peak_and_lifts_the_trough() -> None:
    squeezed = Diurnal(OFFICE, (3.0,)).squeezed(ONLINE_TROUGH)
    assert max(squeezed.profile) == pytest.approx(1.0)
    assert min(squeezed.profile) == pytest.approx(5.0 / 8.4)
    assert squeezed.offset_hours == (3.0,)


def test_the_tide_follows_the_hour() -> None:
    swarm = empty_town(1)
    hour = (swarm.world.unix % DAY) / HOUR
    falling = Diurnal((1.0, *([0.25] * 23)), (-hour,))  # from all to a quarter within an hour
    nodes = [swarm.add(nat=PUBLIC) for _ in range(8)]
    Tide(swarm, falling, spread=30.0).begin(nodes)
    swarm.world.run(200.0)
    assert sum(node.alive for node in nodes) >= 7
    swarm.world.run(3_600.0)
    assert sum(node.alive for node in nodes) == 2
