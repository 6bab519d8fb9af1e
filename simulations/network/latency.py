"""Latency: what the way between two regions takes, how far a pair strays from it, and what the access line at each end adds.

One way = half the published round trip of the two regions x the detour of the pair + the access delays of both lines + jitter.

- Regions and round trips: the mean inter-region latencies that IBM publishes for its data centres, 28 Sep to 27 Oct 2024 (IBM
  Cloud docs, "Network latency", repository ibm-cloud-docs/vpc, _include-segments/network-latency.md), as published; both
  directions averaged.
- Access: round trips between home and the nearest measurement server are 24 ms with fibre, 32 ms with cable and 49 ms with DSL
  (FCC, Measuring Broadband America, quoted in J. Scott, "Latency on US Home Internet Connections", blog.josephscott.org);
  half of it is one way. Mobile: 60 ms, an assumption for LTE.
- Spread of lines around their technology, detours of pairs, jitter, shares of regions and technologies: assumptions, as named
  below.

The result is a synthetic fit, not a replay: the median round trip of two random hosts is `ROUND_TRIP_MEDIAN`, the 10th and 90th
percentiles are `ROUND_TRIP_TENTHS`. The shares of regions are chosen so that the median is near that of the King data set (1740
DNS servers, https://pdos.csail.mit.edu/p2psim/kingdata), the usual input of DHT simulations: some 160 ms (Dabek et al.,
"Vivaldi", SIGCOMM 2004; cited from memory).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, median

from p2psip.base.chance import Chance
from simulations.network.addresses import AMERICA_NORTH, AMERICA_SOUTH, ASIA_PACIFIC, EUROPE
from simulations.network.endpoint import Line

ROUND_TRIP_MEDIAN = 0.166
"""Seconds, of two random hosts; a test holds the model to it."""
ROUND_TRIP_TENTHS = (0.078, 0.312)
"""Seconds: the 10th and 90th percentile."""

REGIONS = (
    *("Dallas", "Toronto", "Washington", "Frankfurt", "London"),
    *("Madrid", "Osaka", "Sydney", "Tokyo", "São Paulo"),
)
REGISTRY_OF_REGION = (
    *(AMERICA_NORTH, AMERICA_NORTH, AMERICA_NORTH, EUROPE, EUROPE),
    *(EUROPE, ASIA_PACIFIC, ASIA_PACIFIC, ASIA_PACIFIC, AMERICA_SOUTH),
)
REGION_SHARES = (0.13, 0.06, 0.17, 0.20, 0.17, 0.11, 0.05, 0.02, 0.05, 0.04)
"""Of the population: 36 % North America, 48 % Europe, 12 % Asia and Pacific, 4 % South America; chosen to fit King's median."""

WITHIN_REGION = 10.0
"""Milliseconds there and back between two lines of one region: as Tokyo to Osaka (9) or Frankfurt to London (13)."""

_ROUND_TRIPS = (  # milliseconds; the row is a region, the column a region before it
    (),
    (34,),
    (31, 19),
    (123, 92, 91),
    (113.5, 83.5, 76, 13),
    (119, 107.5, 89.5, 29, 27),
    (150, 170, 175.5, 233, 244.5, 259),
    (184.5, 214, 213.5, 250, 261, 275, 122),
    (142, 163, 168, 231, 242.5, 256, 9, 116),
    (144, 131, 119, 197.5, 187.5, 206.5, 291.5, 327.5, 285),
)


def _one_way(row: int, column: int) -> float:
    if row == column:
        return WITHIN_REGION / 2_000
    return _ROUND_TRIPS[max(row, column)][min(row, column)] / 2_000


ONE_WAY = tuple(tuple(_one_way(row, column) for column in range(len(REGIONS))) for row in range(len(REGIONS)))
"""Seconds from region to region."""

MEDIAN_PAIRS = 4_000
SALT_BITS = 8
DETOUR_SIGMA = 0.2
"""Of the logarithm: how far pairs of two regions stray from the median, so that triangle inequalities break as they do in King."""
LINE_SIGMA = 0.35
"""Of the logarithm: how far lines of one technology stray from its median."""

_NORMAL = NormalDist()
DETOURS = tuple(
    math.exp(DETOUR_SIGMA * _NORMAL.inv_cdf((_step * 97 % 2**SALT_BITS + 0.5) / 2**SALT_BITS))
    for _step in range(2**SALT_BITS)
)
"""By the exclusive or of two lines' salts, so that a pair has the same detour in both directions and nothing is kept for it."""

JITTER_STEPS = 1_024
JITTER = tuple(-math.log(1.0 - (_step + 0.5) / JITTER_STEPS) for _step in range(JITTER_STEPS))
"""Quantiles of the exponential distribution with mean 1: queues on the way only add delay, mostly little (RFC 5481)."""


@dataclass(frozen=True, slots=True)
class Technology:
    """An access technology: its share of lines, median one-way delay and mean jitter (s), rates (bytes/s), share of losses."""

    name: str
    share: float
    delay: float
    jitter: float
    up: float
    down: float
    loss: float


TECHNOLOGIES = (
    Technology("fibre", 0.40, 0.012, 0.000_5, 12_500_000, 37_500_000, 0.000_5),
    Technology("cable", 0.30, 0.016, 0.002, 2_500_000, 25_000_000, 0.001_5),
    Technology("DSL", 0.20, 0.024_5, 0.001_5, 1_250_000, 6_250_000, 0.002),
    Technology("mobile", 0.10, 0.030, 0.006, 1_250_000, 5_000_000, 0.005),
)
"""Shares: near those of fixed subscriptions in the OECD (fibre, cable, DSL; from memory), a tenth mobile. Losses: the FCC's
reports class most homes below 0.4 % at peak times. Rates and jitter: typical of what is sold; assumptions."""
MOBILE_CARRIED = 0.9
"""The share of mobile lines behind a carrier-grade NAT: more than 90 % of cellular networks have one (Richter et al., IMC 2016)."""
CARRIED = 0.14
"""The share of all lines behind one; that of `survey.SHARES`."""


def draw(shares: tuple[float, ...], value: float) -> int:
    """The index that `value` in [0, 1) falls on when `shares` stand side by side."""
    for index, share in enumerate(shares):
        value -= share
        if value < 0.0:
            return index
    return len(shares) - 1


def new_line(chance: Chance, region: int | None = None, carried: bool | None = None) -> Line:
    """A line of the population, in `region` if that is named. `carried`: behind a carrier-grade NAT, or not, if known."""
    real = chance.real
    where, what = real(), real()
    line = Line(draw(REGION_SHARES, where) if region is None else region, lot=real(), salt=chance.integer(SALT_BITS))
    technology = TECHNOLOGIES[draw(_shares(carried), what)]
    spread = math.exp(LINE_SIGMA * _NORMAL.inv_cdf(min(max(real(), 1e-9), 1.0 - 1e-9)))
    line.row = ONE_WAY[line.region]
    line.technology = technology.name
    line.delay = technology.delay * spread
    line.jitter = technology.jitter * spread
    line.up_seconds, line.down_seconds, line.loss = 1.0 / technology.up, 1.0 / technology.down, technology.loss
    return line


def one_way(a: Line, b: Line) -> float:
    """Seconds from line to line without jitter and queues."""
    return a.row[b.region] * DETOURS[a.salt ^ b.salt] + a.delay + b.delay


def round_trips(pairs: int, *, jitter: float = 1.0) -> list[float]:
    """The round trips (s) of so many random pairs of the population with the mean of jitter (scaled), sorted; always the same."""
    chance = Chance.seeded(b"round trips")
    found = []
    for _ in range(pairs):
        a, b = new_line(chance), new_line(chance)
        found.append(2 * (one_way(a, b) + jitter * (a.jitter + b.jitter)))
    return sorted(found)


@lru_cache(maxsize=8)
def median_round_trip(*, jitter: float = 1.0) -> float:
    """The median of `MEDIAN_PAIRS` round trips."""
    return median(round_trips(MEDIAN_PAIRS, jitter=jitter))


def _shares(carried: bool | None) -> tuple[float, ...]:
    return _TECHNOLOGY_SHARES if carried is None else _SHARES_CARRIED if carried else _SHARES_DIRECT


def _shares_with_mobile(mobile: float) -> tuple[float, ...]:
    """The shares of technologies where mobile ones have this share."""
    fixed = (1.0 - mobile) / (1.0 - _MOBILE.share)
    return tuple(mobile if technology is _MOBILE else technology.share * fixed for technology in TECHNOLOGIES)


_MOBILE = TECHNOLOGIES[-1]
_TECHNOLOGY_SHARES = tuple(technology.share for technology in TECHNOLOGIES)
_SHARES_CARRIED = _shares_with_mobile(_MOBILE.share * MOBILE_CARRIED / CARRIED)
_SHARES_DIRECT = _shares_with_mobile(_MOBILE.share * (1.0 - MOBILE_CARRIED) / (1.0 - CARRIED))
