"""Distributions of lengths of time, in seconds: how they are drawn, scaled to a mean, and what is left of them.

`draw` gives the length of one that begins now. `residual` gives what is left of one that is under way when we look: long ones
are met more often, in proportion to their length, and at a uniform point of it (renewal theory: the density of what is left is
P(length > t) / mean). A network that runs already at t = 0 must be begun with these, or it is younger than any real one.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from p2psip.base.chance import Chance


class Duration(Protocol):
    """A distribution of lengths of time."""

    @property
    def mean(self) -> float:
        """The mean length, in seconds."""

    @property
    def median(self) -> float:
        """Half of all lengths are shorter, in seconds."""

    def draw(self, chance: Chance) -> float:
        """The length of one that begins now, in seconds."""

    def residual(self, chance: Chance) -> float:
        """What is left of one that is under way, in seconds."""

    def scaled_to(self, mean: float) -> "Duration":
        """The same shape with this mean, in seconds."""


@dataclass(frozen=True, slots=True)
class Weibull:
    """P(length > t) = exp(-(t / scale) ** shape); `scale` in seconds. Shape 1 is exponential, below it the tail is heavy."""

    shape: float
    scale: float

    @property
    def mean(self) -> float:
        """The mean length, in seconds."""
        return self.scale * math.gamma(1 + 1 / self.shape)

    @property
    def median(self) -> float:
        """Half of all lengths are shorter, in seconds."""
        return self.scale * math.pow(math.log(2), 1 / self.shape)

    def draw(self, chance: Chance) -> float:
        """The length of one that begins now, in seconds, by inversion."""
        return self.scale * math.pow(exponential(chance), 1 / self.shape)

    def residual(self, chance: Chance) -> float:
        """What is left of one that is under way: of a length weighted by itself, (length / scale) ** shape is a gamma variable."""
        weighted = self.scale * math.pow(gamma(chance, 1 + 1 / self.shape), 1 / self.shape)
        return chance.uniform(0, 1) * weighted

    def scaled_to(self, mean: float) -> "Weibull":
        """The same shape with this mean, in seconds."""
        return replace(self, scale=mean / math.gamma(1 + 1 / self.shape))

    @classmethod
    def of_median(cls, shape: float, median: float) -> "Weibull":
        """With this median, in seconds."""
        return cls(shape, median / math.pow(math.log(2), 1 / shape))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The logarithm of a length is normal with deviation `sigma`; `middle` is the median in seconds."""

    sigma: float
    middle: float

    @property
    def mean(self) -> float:
        """The mean length, in seconds."""
        return self.middle * math.exp(self.sigma**2 / 2)

    @property
    def median(self) -> float:
        """Half of all lengths are shorter, in seconds."""
        return self.middle

    def draw(self, chance: Chance) -> float:
        """The length of one that begins now, in seconds."""
        return self.middle * math.exp(self.sigma * normal(chance))

    def residual(self, chance: Chance) -> float:
        """What is left of one that is under way: lengths weighted by themselves are log-normal with the median e^sigma² times."""
        return chance.uniform(0, 1) * self.draw(chance) * math.exp(self.sigma**2)

    def scaled_to(self, mean: float) -> "LogNormal":
        """The same shape with this mean, in seconds."""
        return replace(self, middle=mean / math.exp(self.sigma**2 / 2))


def exponential(chance: Chance) -> float:
    """An exponential variable of mean 1."""
    return -math.log(1 - chance.uniform(0, 1))


def normal(chance: Chance) -> float:
    """A standard normal variable (Box and Muller, 1958)."""
    return math.sqrt(2 * exponential(chance)) * math.cos(2 * math.pi * chance.uniform(0, 1))


def gamma(chance: Chance, shape: float) -> float:
    """A gamma variable of scale 1 and `shape` of at least 1 (Marsaglia and Tsang, 2000)."""
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal(chance)
        v = (1 + c * x) ** 3
        if v > 0 and -exponential(chance) < x * x / 2 + d - d * v + d * math.log(v):
            return d * v
