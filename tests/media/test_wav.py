"""WAV files: there and back, and one clear sentence for each file that cannot be used."""

import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import wav
from media.tones import tone
from media.wav import read_wav, write_wav
from p2psip.base.errors import RemoteError


def write(path: Path, *, channels: int = 1, width: int = 2, rate: int = 8_000, frames: bytes = bytes(16)) -> Path:
    """A WAV file of any form."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return path


@pytest.mark.parametrize("samples", [array("h"), array("h", [0, 1, -1, 32_767, -32_768]), tone(440.0, 0.5)])
def test_there_and_back(tmp_path: Path, samples: "array[int]") -> None:
    write_wav(tmp_path / "a.wav", samples)
    assert read_wav(tmp_path / "a.wav") == samples


@pytest.mark.parametrize("form", [(2, 2, 8_000), (1, 1, 8_000), (1, 4, 8_000), (1, 2, 44_100)])
def test_another_form_is_refused_with_the_way_to_convert_it(tmp_path: Path, form: tuple[int, int, int]) -> None:
    with pytest.raises(RemoteError, match="16-bit mono at 8 kHz; `sox"):
        read_wav(write(tmp_path / "a.wav", channels=form[0], width=form[1], rate=form[2]))


def test_a_file_that_is_missing_or_a_folder_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    for path in (tmp_path / "missing.wav", tmp_path, tmp_path / "empty.wav"):
        with pytest.raises(RemoteError, match=r"cannot be read as a WAV file: ."):
            read_wav(path)


def test_a_file_longer_than_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "SECONDS_MAX", 1)
    assert len(read_wav(write(tmp_path / "a.wav", frames=bytes(16_000)))) == 8_000
    with pytest.raises(RemoteError, match="longer than"):
        read_wav(write(tmp_path / "b.wav", frames=bytes(16_002)))


@pytest.mark.parametrize("size", [1, 11, 20, 43, 44, 45, 47])
def test_a_file_that_is_cut_off_gives_samples_or_one_sentence(tmp_path: Path, size: int) -> None:
    whole = write(tmp_path / "a.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(whole[:size])
    try:
        assert len(read_wav(tmp_path / "b.wav")) <= 8
    except RemoteError as error:
        assert "cannot be read" in str(error)  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 59), value=st.integers(0, 255))
def test_one_changed_byte_gives_samples_or_a_remote_error(tmp_path: Path, position: int, value: int) -> None:
    data = bytearray(write(tmp_path / "a.wav").read_bytes())
    data[position] = value
    (tmp_path / "a.wav").write_bytes(data)
    try:
        read_wav(tmp_path / "a.wav")
    except RemoteError:
        return
