"""The demo: its folder is never somebody else's, its comparison of recordings can fail, and all of it runs."""

import json
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from media.tones import tone
from p2psip.app.demo import CALLER_NOTES, MARK, SHARE_NEEDED, DemoError, _agreement, _clear, _melody


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoError, match="other files"):
        _clear(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_a_demo_left_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "output"
    _clear(folder)
    (folder / "old.wav").write_bytes(b"")
    _clear(folder)
    assert [path.name for path in folder.iterdir()] == [MARK]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("")
    with pytest.raises(DemoError, match=r"a file is in its place.*--folder"):
        _clear(tmp_path / "output")


def test_recordings_are_told_apart() -> None:
    assert _agreement(_melody(CALLER_NOTES), CALLER_NOTES) > SHARE_NEEDED
    assert _agreement(_melody(tuple(reversed(CALLER_NOTES))), CALLER_NOTES) < SHARE_NEEDED
    assert _agreement(_melody(CALLER_NOTES[:2]), CALLER_NOTES) < SHARE_NEEDED
    assert _agreement(tone(440.0, 1.5), CALLER_NOTES) < SHARE_NEEDED
    assert _agreement(array("h"), CALLER_NOTES) < SHARE_NEEDED


@pytest.mark.slow
def test_the_demo_as_json(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    command = [sys.executable, "-m", "p2psip.app", "--json", "demo", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert [call["title"] for call in answer["calls"]] == ["by name", "by number", "without bootstrap server"]
    for call in answer["calls"]:
        assert call["status"] == 200
        assert call["lookup_hops"] >= 1, "a lookup from the cache proves nothing"
        assert set(call["audio"]) == {"bob hears alice", "alice hears bob"}
    assert len(list(folder.glob("*.wav"))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 5.0])
def test_a_demo_that_is_ended_leaves_no_process_behind(tmp_path: Path, seconds: float) -> None:
    folder = tmp_path / "output"
    command = [sys.executable, "-m", "p2psip.app", "demo", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.terminate()
        _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (1, b"p2psip: ended by SIGTERM\n")
    listed = subprocess.run(["pgrep", "-af", str(folder)], capture_output=True, text=True, check=False)
    assert listed.stdout == ""
