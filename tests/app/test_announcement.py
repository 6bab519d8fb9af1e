"""`[calls] announcement`: the words that come with the program, those of a person, or none; a bad file is one sentence."""

from pathlib import Path

import pytest

from media.announcement import announcement, emergency_speech
from media.tones import tone
from media.wav import write_wav
from p2psip.app.announcement import announcement_of
from p2psip.app.settings import SETTINGS_FILE, SettingsError, load_settings
from p2psip.app.settings_calls import PATH_CHARACTERS_MAX, CallsSettings


def chosen(home: Path, line: str) -> CallsSettings:
    (home / SETTINGS_FILE).write_text(f"[calls]\n{line}\n")
    return load_settings(home).calls


def test_the_words_of_the_program_are_heard_unless_said_otherwise(tmp_path: Path) -> None:
    assert announcement_of(chosen(tmp_path, ""), tmp_path) == announcement(emergency_speech())
    assert announcement_of(CallsSettings(), None) is announcement_of(CallsSettings(), None), "of many nodes, one"


def test_off_is_nothing_but_the_refusal(tmp_path: Path) -> None:
    assert announcement_of(chosen(tmp_path, 'announcement = "off"'), tmp_path) is None


@pytest.mark.parametrize("is_relative", [True, False])
def test_a_file_of_ones_own(tmp_path: Path, is_relative: bool) -> None:
    words = tone(300.0, 1.0)
    write_wav(tmp_path / "notruf.wav", words)
    path = "notruf.wav" if is_relative else str(tmp_path / "notruf.wav")
    assert announcement_of(chosen(tmp_path, f'announcement = "{path}"'), tmp_path) == announcement(words)


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    for name in ("bad.wav", "missing.wav"):
        with pytest.raises(
            SettingsError, match=rf"^\[calls\] announcement must name a WAV .*{name} cannot be read as a WAV file: .+$"
        ):
            announcement_of(chosen(tmp_path, f'announcement = "{name}"'), tmp_path)


def test_what_is_no_path_is_refused_when_the_settings_are_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="announcement"):
        chosen(tmp_path, "announcement = 7")


def test_the_path_is_bounded(tmp_path: Path) -> None:
    longest = "x" * PATH_CHARACTERS_MAX
    assert chosen(tmp_path, f'announcement = "{longest}"').announcement == longest
    with pytest.raises(SettingsError, match="announcement"):
        chosen(tmp_path, f'announcement = "{longest}x"')
