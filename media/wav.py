"""WAV files of 16-bit mono speech at 8 kHz, through the standard library's `wave`."""

import wave
from array import array
from pathlib import Path

from media.g711 import SAMPLE_RATE
from p2psip.base.errors import RemoteError

SECONDS_MAX = 3_600


def read_wav(path: Path) -> "array[int]":
    """The samples of a WAV file; RemoteError when it is not 16-bit mono at 8 kHz, or too long."""
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if form != (1, 2, SAMPLE_RATE):
                raise RemoteError(f"{path} must be 16-bit mono at 8 kHz; `sox IN -r 8000 -c 1 -b 16 OUT` makes one")
            if file.getnframes() > SECONDS_MAX * SAMPLE_RATE:
                raise RemoteError(f"{path} is longer than an hour")
            return array("h", file.readframes(file.getnframes()))
    except (
        wave.Error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # `wave` says RuntimeError of odd lengths
        raise RemoteError(f"{path} cannot be read as a WAV file: {_words(error)}") from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return str(error) or "it is cut off"


def write_wav(path: Path, samples: "array[int]") -> None:
    """Write `samples` as a WAV file; OSError when the disk refuses."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
