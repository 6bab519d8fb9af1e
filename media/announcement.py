"""What somebody hears who cannot be connected: the special information tone, then words, and both once more.

The tone is that of ITU-T E.180/Q.35: three tones of rising pitch, 330 ms each, in the place of a dial, busy or ringing tone
where a recorded announcement follows. Samples are 16 bit at 8 kHz.
"""

from array import array
from importlib import resources
from pathlib import Path

from media.g711 import SAMPLE_RATE
from media.tones import tone
from media.wav import read_wav
from p2psip.base.errors import RemoteError

TONES_HERTZ = (950.0, 1_400.0, 1_800.0)
TONE_SECONDS = 0.33
LEAD_SECONDS = 0.5
"""Silence at the start: a phone needs a moment to open its ear, and DTLS one to find keys."""
PAUSE_SECONDS = 0.5
REST_SECONDS = 1.0
"""Silence before the tone is given again."""
TIMES = 2
SPEECH_SECONDS_MAX = 20.0
EMERGENCY_SPEECH = "emergency.wav"


def special_information_tone() -> "array[int]":
    """The three tones, without a gap."""
    samples = array("h")
    for hertz in TONES_HERTZ:
        samples.extend(tone(hertz, TONE_SECONDS))
    return samples


def announcement(speech: "array[int]") -> "array[int]":
    """All that is heard, from the first packet to the last."""
    once = special_information_tone() + _silence(PAUSE_SECONDS) + speech
    return _silence(LEAD_SECONDS) + (once + _silence(REST_SECONDS)) * TIMES


def read_speech(path: Path) -> "array[int]":
    """The words in a WAV file; RemoteError when it is not 16-bit mono at 8 kHz, empty, or too long for a caller in need."""
    samples = read_wav(path)
    if not any(samples):
        raise RemoteError(f"{path} is silent: nobody would hear a word")
    if len(samples) > SPEECH_SECONDS_MAX * SAMPLE_RATE:
        raise RemoteError(f"{path} is longer than {SPEECH_SECONDS_MAX:.0f} s: who calls for help must not wait")
    return samples


def emergency_speech() -> "array[int]":
    """The English words that come with this package; `media/announcements/make` has made them."""
    with resources.as_file(resources.files("media") / "announcements" / EMERGENCY_SPEECH) as path:
        return read_speech(path)


def _silence(seconds: float) -> "array[int]":
    return array("h", bytes(2 * round(seconds * SAMPLE_RATE)))
