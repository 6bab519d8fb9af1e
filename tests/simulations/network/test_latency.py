from p2psip.base.chance import Chance
from simulations.network import latency
from simulations.network.latency import ONE_WAY, REGIONS, ROUND_TRIP_MEDIAN, ROUND_TRIP_TENTHS


def _near(value: float, documented: float) -> bool:
    return abs(value / documented - 1.0) < 0.03


def test_round_trips_are_distributed_as_documented() -> None:
    found = latency.round_trips(20_000)
    assert _near(found[10_000], ROUND_TRIP_MEDIAN)
    assert _near(found[2_000], ROUND_TRIP_TENTHS[0])
    assert _near(found[18_000], ROUND_TRIP_TENTHS[1])
    assert _near(latency.median_round_trip(), ROUND_TRIP_MEDIAN)


def test_regions_are_as_far_apart_as_published() -> None:
    published = {  # both directions as in the table of 27 Oct 2024
        ("Dallas", "London"): (113, 114),
        ("Frankfurt", "Tokyo"): (231, 231),
        ("London", "Sydney"): (261, 261),
        ("São Paulo", "Sydney"): (327, 328),
        ("Toronto", "Washington"): (19, 19),
    }
    for (one, other), (there, back) in published.items():
        row, column = REGIONS.index(one), REGIONS.index(other)
        assert ONE_WAY[row][column] == ONE_WAY[column][row] == (there + back) / 4_000


def test_a_way_is_as_long_in_both_directions() -> None:
    chance = Chance.seeded(1)
    a, b = latency.new_line(chance), latency.new_line(chance)
    assert latency.one_way(a, b) == latency.one_way(b, a)


def test_triangles_are_broken_sometimes_as_in_the_internet() -> None:
    chance = Chance.seeded(2)
    broken = 0
    for _ in range(2_000):
        a, b, c = (latency.new_line(chance) for _ in range(3))
        core = [latency.one_way(x, y) - x.delay - y.delay for x, y in ((a, b), (b, c), (a, c))]
        broken += 2 * max(core) > sum(core)
    assert 100 < broken < 1_000


def test_shares_are_whole_and_reached() -> None:
    assert abs(sum(latency.REGION_SHARES) - 1.0) < 1e-9
    assert abs(sum(technology.share for technology in latency.TECHNOLOGIES) - 1.0) < 1e-9
    chance = Chance.seeded(3)
    lines = [latency.new_line(chance) for _ in range(10_000)]
    for region, share in enumerate(latency.REGION_SHARES):
        assert abs(sum(line.region == region for line in lines) / 10_000 - share) < 0.015
    for technology in latency.TECHNOLOGIES:
        found = sorted(line.delay for line in lines if line.technology == technology.name)
        assert abs(len(found) / 10_000 - technology.share) < 0.015
        assert _near(found[len(found) // 2], technology.delay)


def test_the_last_share_takes_what_rounding_leaves() -> None:
    assert latency.draw((0.5, 0.4), 0.95) == 1
