"""Summaries of many numbers in plain Python: quantiles, the inequality of loads, the uncertainty of a share."""

import math
from collections.abc import Iterable, Sequence

WILSON_95 = 1.959964


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the ascending numbers lie, interpolated (Hyndman and Fan 1996, type 7)."""
    if not ordered:
        raise ValueError("no numbers, no quantile")
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def numbers(cells: Iterable[object]) -> list[float]:
    """The numbers among cells, ascending; booleans are none."""
    return sorted(cell for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool))


def gini(ordered: Sequence[float]) -> float:
    """Gini coefficient of ascending loads: 0 if all bear the same, near 1 if one bears all."""
    total, count = math.fsum(ordered), len(ordered)
    if not total:
        return 0.0
    weighted = math.fsum((place + 1) * value for place, value in enumerate(ordered))
    return 2 * weighted / (count * total) - (count + 1) / count


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (0, 1) if nothing was tried."""
    if not tries:
        return 0.0, 1.0
    share, square = hits / tries, WILSON_95**2
    middle = (share + square / (2 * tries)) / (1 + square / tries)
    half = WILSON_95 / (1 + square / tries) * math.sqrt(share * (1 - share) / tries + square / (4 * tries**2))
    return max(0.0, middle - half), min(1.0, middle + half)
