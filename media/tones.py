"""Tones: a generator, and the share of a signal's energy at one frequency (Goertzel), for tests and for the tone service."""

import math
from array import array
from collections.abc import Sequence

from media.g711 import SAMPLE_RATE

AMPLITUDE = 8_000


def tone(frequency: float, seconds: float, *, amplitude: int = AMPLITUDE, phase: int = 0) -> "array[int]":
    """A sine of `frequency` Hz as 16-bit samples at 8 kHz; `phase` is the number of the first sample."""
    step = 2 * math.pi * frequency / SAMPLE_RATE
    count = round(seconds * SAMPLE_RATE)
    return array("h", (round(amplitude * math.sin(step * (phase + index))) for index in range(count)))


def energy_share(samples: Sequence[int], frequency: float, *, sample_rate: int = SAMPLE_RATE) -> float:
    """The share (0 to 1) of the energy of `samples` that lies at `frequency` Hz; 0 for silence."""
    total = float(sum(sample * sample for sample in samples))
    if total == 0.0:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * frequency / sample_rate)
    before, last = 0.0, 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = last * last + before * before - coefficient * last * before
    return min(2 * power / (len(samples) * total), 1.0)
