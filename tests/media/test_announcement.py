"""What is heard before the words: three tones of ITU-T E.180; and which files hold words that may be given."""

from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from media.announcement import (
    LEAD_SECONDS,
    PAUSE_SECONDS,
    REST_SECONDS,
    SPEECH_SECONDS_MAX,
    TIMES,
    TONE_SECONDS,
    TONES_HERTZ,
    announcement,
    emergency_speech,
    read_speech,
    special_information_tone,
)
from media.g711 import SAMPLE_RATE
from media.tones import energy_share, tone
from media.wav import write_wav
from p2psip.base.errors import RemoteError
from p2psip.calls.announcing import ANNOUNCEMENT_SECONDS_MAX

TONE_SAMPLES = round(TONE_SECONDS * SAMPLE_RATE)
FILE_BYTES_MAX = 80_000


def test_the_tone_is_three_tones_of_a_third_of_a_second_that_rise() -> None:
    samples = special_information_tone()
    assert len(samples) == 3 * TONE_SAMPLES
    assert TONES_HERTZ == (950.0, 1_400.0, 1_800.0)
    for number, hertz in enumerate(TONES_HERTZ):
        part = samples[number * TONE_SAMPLES : (number + 1) * TONE_SAMPLES]
        assert energy_share(part, hertz) > 0.99
        assert all(energy_share(part, other) < 0.01 for other in TONES_HERTZ if other != hertz)


def test_all_of_it_is_heard_twice_after_a_short_silence() -> None:
    speech = tone(300.0, 1.0)
    samples = announcement(speech)
    lead, pause, rest = (round(each * SAMPLE_RATE) for each in (LEAD_SECONDS, PAUSE_SECONDS, REST_SECONDS))
    assert not any(samples[:lead])
    whole = 3 * TONE_SAMPLES + pause + len(speech) + rest
    assert len(samples) == lead + TIMES * whole
    turns = [samples[lead + number * whole : lead + (number + 1) * whole] for number in range(TIMES)]
    assert all(one == other for one, other in pairwise(turns))
    assert turns[0][: 3 * TONE_SAMPLES] == special_information_tone()
    assert turns[0][3 * TONE_SAMPLES + pause : -rest] == speech


def test_words_as_long_as_allowed_are_heard_to_the_end(tmp_path: Path) -> None:
    longest = tone(300.0, SPEECH_SECONDS_MAX)
    write_wav(tmp_path / "a.wav", longest)
    assert read_speech(tmp_path / "a.wav") == longest
    assert len(announcement(longest)) / SAMPLE_RATE < ANNOUNCEMENT_SECONDS_MAX
    write_wav(tmp_path / "b.wav", longest + array("h", [1]))
    with pytest.raises(RemoteError, match="longer than 20 s"):
        read_speech(tmp_path / "b.wav")


@pytest.mark.parametrize("samples", [array("h"), array("h", bytes(1_600))])
def test_silence_is_no_announcement(tmp_path: Path, samples: "array[int]") -> None:
    write_wav(tmp_path / "a.wav", samples)
    with pytest.raises(RemoteError, match="is silent"):
        read_speech(tmp_path / "a.wav")


def test_the_words_that_come_with_the_package_are_speech_and_small() -> None:
    samples = emergency_speech()
    assert 3.0 < len(samples) / SAMPLE_RATE < 6.0
    assert 2 * len(samples) < FILE_BYTES_MAX
    assert 8_000 < max(map(abs, samples)) < 32_767, "loud, and nowhere clipped"
    assert all(energy_share(samples, hertz) < 0.05 for hertz in TONES_HERTZ)
