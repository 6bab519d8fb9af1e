"""Partitions: for some time, parts of the network do not reach one another, or a region is dark.

Parts are regions, or a random share of all lines: those whose `lot` lies below it, so that nothing is kept for a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simulations.network.endpoint import Line

CUTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the lines: those of `regions`, or those with a lot in [low, high)."""

    regions: tuple[int, ...] | None = None
    low: float = 0.0
    high: float = 1.0

    def has(self, line: Line) -> bool:
        """Whether `line` is one of them."""
        return self.low <= line.lot < self.high and (self.regions is None or line.region in self.regions)


@dataclass(frozen=True, slots=True)
class Cut:
    """From `start` until `end` (World's clock) `one` does not reach `other`; None: all that are not in `one`.

    In an outage it does not reach itself either.
    """

    start: float
    end: float
    one: Part
    other: Part | None = None
    outage: bool = False

    def parts(self, a: Line, b: Line) -> bool:
        """Whether it lies between two lines."""
        has, got = self.one.has(a), self.one.has(b)
        if self.outage:
            return has or got
        if self.other is None:
            return has != got
        return (has and self.other.has(b)) or (got and self.other.has(a))


class Partitions:
    """The cuts of a network, now and planned. A datagram must pass both when it is sent and when it arrives."""

    def __init__(self) -> None:
        self.cuts: list[Cut] = []

    def cut(self, cut: Cut) -> bool:
        """Plan a cut; False if there are too many (`CUTS_MAX`)."""
        if len(self.cuts) >= CUTS_MAX:
            return False
        self.cuts.append(cut)
        return True

    def cut_regions(
        self, regions: Sequence[int], start: float, end: float, *, other: Sequence[int] | None = None
    ) -> bool:
        """Cut `regions` off from `other` regions (default: from all others)."""
        return self.cut(Cut(start, end, Part(tuple(regions)), None if other is None else Part(tuple(other))))

    def cut_share(self, share: float, start: float, end: float) -> bool:
        """Cut a random `share` of all lines off from the rest; for the same share these are always the same lines."""
        return self.cut(Cut(start, end, Part(high=share)))

    def black_out(self, region: int, start: float, end: float) -> bool:
        """A whole region is without any network, within itself too (but for homes)."""
        return self.cut(Cut(start, end, Part((region,)), outage=True))

    def apart(self, now: float, a: Line, b: Line) -> bool:
        """Whether two lines do not reach one another now. Cuts that are over are forgotten."""
        if any(cut.end <= now for cut in self.cuts):
            self.cuts[:] = [cut for cut in self.cuts if cut.end > now]
        return any(cut.start <= now and cut.parts(a, b) for cut in self.cuts)

    def heal(self) -> None:
        """All cuts are over, those that were planned too."""
        self.cuts.clear()
