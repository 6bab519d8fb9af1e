"""The state file: what was said to be kept is kept, through kill -9 and a full disk; each trouble is one sentence."""

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2psip.app.state import LOCK_FILE, PHONES_MAX, STATE_FILE, Membership, Phone, State, StateError, only_process

MEMBERSHIP = Membership(
    overlay="home.example",
    addresses=("alice@home.example", "1001@home.example"),
    node_key=b"n" * 32,
    signing_key=b"s" * 32,
    ca_der=b"ca",
    certificate_der=b"certificate",
    configuration=b"configuration",
    invite="p2psip://home.example",
)


def phone(name: str) -> Phone:
    return Phone(name, "alice@home.example", "MD5", "0" * 32, 1_700_000_000)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path)) as opened:
        yield opened


def test_all_comes_back_after_reopening(tmp_path: Path) -> None:
    with closing(State(tmp_path)) as state:
        state.save_membership(MEMBERSHIP)
        state.save_introducer(b"k" * 32, ("::1", 4500))
        state.save_introducer(b"k" * 32, ("::1", 4500))
        state.add_phone(phone("desk"))
    with closing(State(tmp_path)) as state:
        assert state.require_membership() == MEMBERSHIP
        assert state.introducers() == [(b"k" * 32, ("::1", 4500))]
        assert state.phones() == [phone("desk")]
        assert state.phone("desk") == phone("desk")
        assert state.phone("other") is None


def test_the_file_and_what_stands_beside_it_are_for_the_owner_only(tmp_path: Path) -> None:
    with closing(State(tmp_path / "new")) as state:
        state.add_phone(phone("desk"))
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_before_joining_the_way_out_is_said(state: State) -> None:
    assert state.membership() is None
    with pytest.raises(StateError, match="p2psip join LINK"):
        state.require_membership()


def test_one_phone_over_the_bound(state: State) -> None:
    for number in range(PHONES_MAX):
        state.add_phone(phone(f"desk-{number}"))
    with pytest.raises(StateError, match=f"at most {PHONES_MAX} phones"):
        state.add_phone(phone("one-more"))


def test_a_name_is_taken_once_and_removed_once(state: State) -> None:
    state.add_phone(phone("desk"))
    with pytest.raises(StateError, match="named desk already"):
        state.add_phone(phone("desk"))
    state.remove_phone("desk")
    with pytest.raises(StateError, match="no phone named desk"):
        state.remove_phone("desk")


@pytest.mark.parametrize("left_bytes", [16, 100, 4096, 5000, 8192])
def test_a_cut_file_is_one_sentence(tmp_path: Path, left_bytes: int) -> None:
    with closing(State(tmp_path)) as state:
        state.save_membership(MEMBERSHIP)
    os.truncate(tmp_path / STATE_FILE, left_bytes)
    with pytest.raises(StateError, match=STATE_FILE) as caught, closing(State(tmp_path)) as state:
        state.membership()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [b"", b"S"])
def test_a_file_cut_to_nothing_asks_for_joining_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / STATE_FILE).write_bytes(left)
    with pytest.raises(StateError, match="p2psip join LINK"), closing(State(tmp_path)) as state:
        state.require_membership()


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"these are my notes " * 1000)
    with pytest.raises(StateError, match="not a database"):
        State(tmp_path)
    assert (tmp_path / STATE_FILE).read_bytes().startswith(b"these are my notes")


def test_damage_in_the_middle_is_one_sentence(tmp_path: Path) -> None:
    with closing(State(tmp_path)) as state:
        state.save_membership(MEMBERSHIP)
    with (tmp_path / STATE_FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (tmp_path / STATE_FILE).stat().st_size)
    with pytest.raises(StateError, match=STATE_FILE), closing(State(tmp_path)) as state:
        state.membership()


def test_a_locked_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2psip.app.state.WAIT_SECONDS_MAX", 0.0)
    with closing(State(tmp_path)) as state, closing(sqlite3.connect(tmp_path / STATE_FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError, match="locked"):
            state.add_phone(phone("desk"))
        other.rollback()
        state.add_phone(phone("desk"))
        assert state.phones() == [phone("desk")]


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        State(tmp_path / "home")
    with pytest.raises(StateError, match=r"cannot be used: [^[]*--home"), only_process(tmp_path / "home"):
        pass


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(StateError, match=r"cannot be used: [^[]*may write.*--home"):
        State(Path("/proc/self"))


FILL = """
import sys
from pathlib import Path
from p2psip.app.state import Phone, State
state = State(Path(sys.argv[1]))
for number in range(64):
    state.add_phone(Phone(f"desk-{number}", "alice@home.example", "MD5", "0" * int(sys.argv[2]), 1))
    print(number, flush=True)
"""


def fill(home: Path, ha1_letters: int) -> "subprocess.Popen[bytes]":
    """A process that adds phones and prints the number of each that it was told is kept."""

    def little_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    command = [sys.executable, "-c", FILL, str(home), str(ha1_letters)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=little_disk)


def kept(home: Path) -> set[str]:
    with closing(State(home)) as state:
        return {known.name for known in state.phones()}


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    said, words = fill(tmp_path, 20_000).communicate()
    told = {f"desk-{number.decode()}" for number in said.split()}
    assert 0 < len(told) < 64
    assert b"StateError: the state file" in words.splitlines()[-1]
    assert told <= kept(tmp_path)


@pytest.mark.parametrize("lines", [1, 7, 23])
def test_what_was_told_to_be_kept_survives_kill_9(tmp_path: Path, lines: int) -> None:
    process = fill(tmp_path, 32)
    assert process.stdout is not None
    told = {f"desk-{process.stdout.readline().decode().strip()}" for _ in range(lines)}
    process.kill()
    process.communicate()
    assert told <= kept(tmp_path)


def test_a_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with only_process(tmp_path), pytest.raises(StateError, match=r"running in .* already"), only_process(tmp_path):
        pass
    with only_process(tmp_path):
        assert stat.S_IMODE((tmp_path / LOCK_FILE).stat().st_mode) == 0o600
