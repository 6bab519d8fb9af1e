"""Tones: what the generator makes, and that the share of energy tells a tone from anything else."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import g711
from media.tones import AMPLITUDE, energy_share, tone
from p2psip.base.chance import Chance

NOISE = array("h", (Chance.seeded(1).child(str(n)).integer(14) - 8_192 for n in range(8_000)))


@pytest.mark.parametrize("hertz", [300.0, 440.0, 697.0, 1_000.0, 1_633.0, 3_000.0])
def test_a_tone_has_its_energy_at_its_frequency(hertz: float) -> None:
    samples = tone(hertz, 1.0)
    assert len(samples) == g711.SAMPLE_RATE
    assert max(samples) == pytest.approx(AMPLITUDE, rel=0.01)
    assert energy_share(samples, hertz) > 0.999
    assert energy_share(samples, hertz + 50) < 0.01


@pytest.mark.parametrize("payload_type", [g711.PCMU, g711.PCMA])
def test_companding_keeps_the_tone(payload_type: int) -> None:
    heard = g711.decode(payload_type, g711.encode(payload_type, tone(440.0, 1.0)))
    assert energy_share(heard, 440.0) > 0.99


def test_silence_and_noise_have_no_tone() -> None:
    assert energy_share(array("h", bytes(1_600)), 440.0) == 0.0
    assert energy_share(array("h"), 440.0) == 0.0
    assert energy_share(NOISE, 440.0) < 0.01


def test_two_equal_tones_have_half_each() -> None:
    both = array("h", (a + b for a, b in zip(tone(440.0, 1.0), tone(1_000.0, 1.0), strict=True)))
    assert energy_share(both, 440.0) == pytest.approx(0.5, abs=0.01)
    assert energy_share(both, 1_000.0) == pytest.approx(0.5, abs=0.01)


def test_a_tone_goes_on_where_it_stopped() -> None:
    whole = tone(437.0, 0.04)
    assert whole == tone(437.0, 0.02) + tone(437.0, 0.02, phase=160)


@given(st.lists(st.integers(-32_768, 32_767), max_size=200), st.floats(0.0, 4_000.0))
def test_the_share_of_anything_is_from_nought_to_one(samples: list[int], hertz: float) -> None:
    share = energy_share(samples, hertz)
    assert 0.0 <= share <= 1.0
    assert not math.isnan(share)
