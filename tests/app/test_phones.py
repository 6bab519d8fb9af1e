"""Accounts of phones: strong passwords, names that a phone can type, and only a digest on disk."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2psip.app.phones import NAME_LETTERS_MAX, PASSWORD_LETTERS, add_phone, make_password
from p2psip.app.state import STATE_FILE, State, StateError
from p2psip.base.chance import Chance
from p2psip.sip.digest import digest_secret

ADDRESS = "alice@home.example"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path)) as opened:
        yield opened


def test_a_password_has_99_bits_and_no_letter_that_looks_like_another() -> None:
    password = make_password(Chance.seeded(1))
    letters = password.replace("-", "")
    assert len(letters) * math.log2(len(PASSWORD_LETTERS)) >= 99
    assert len(set(PASSWORD_LETTERS)) == len(PASSWORD_LETTERS)
    assert not set("01iloIO") & set(PASSWORD_LETTERS)
    assert set(letters) <= set(PASSWORD_LETTERS)


def test_no_two_passwords_are_the_same() -> None:
    chance = Chance.system()
    assert len({make_password(chance) for _ in range(200)}) == 200


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_secret_on_disk_is_a_digest(state: State, tmp_path: Path, algorithm: str) -> None:
    new = add_phone(state, ADDRESS, "desk", algorithm, 1, Chance.seeded(1))
    assert state.phone("desk") == new.phone
    assert new.phone.ha1 == digest_secret(algorithm, "desk", "home.example", new.password)
    for path in tmp_path.iterdir():
        assert new.password.encode() not in path.read_bytes(), path.name
    assert (tmp_path / STATE_FILE).exists()


def test_names_are_made_up_when_left_out(state: State) -> None:
    names = [add_phone(state, ADDRESS, None, "MD5", 1, Chance.seeded(n)).phone.name for n in range(3)]
    assert names == ["alice", "alice-2", "alice-3"]
    state.remove_phone("alice-2")
    assert add_phone(state, ADDRESS, None, "MD5", 1, Chance.seeded(9)).phone.name == "alice-2"


@pytest.mark.parametrize(
    "name", ["", "Desk", "my desk", "désk", "a@b", "a:b", 'a"b', "a\n", "x" * (NAME_LETTERS_MAX + 1)]
)
def test_names_that_a_phone_could_not_type_are_refused(state: State, name: str) -> None:
    with pytest.raises(StateError, match="small letters"):
        add_phone(state, ADDRESS, name, "MD5", 1, Chance.seeded(1))
    assert not state.phones()


def test_the_longest_name(state: State) -> None:
    assert add_phone(state, ADDRESS, "x" * NAME_LETTERS_MAX, "MD5", 1, Chance.seeded(1)).phone.ha1
