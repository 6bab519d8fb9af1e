"""The file of remembered peers: its bound, and what a cut, corrupted or foreign file does."""

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from overlay.remembered import DAMAGED_SUFFIX, PEERS_MAX, RememberedPeers
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

Peers = list[tuple[bytes, Address]]


def peers(count: int, first: int = 0) -> Peers:
    return [(number.to_bytes(32, "big"), ("192.0.2.1", 5000 + number)) for number in range(first, first + count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peers.sqlite"


def write(path: Path, count: int = 20) -> None:
    remembered = RememberedPeers(path)
    remembered.save(peers(count), 1_000)
    remembered.next_start(1_000)
    remembered.close()


def read(path: Path) -> Peers:
    remembered = RememberedPeers(path)
    try:
        return remembered.load()
    finally:
        remembered.close()


def test_what_was_saved_is_there_after_a_restart(path: Path) -> None:
    write(path)
    assert read(path) == peers(20)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_saved_is_there_without_a_proper_end(path: Path) -> None:
    killed = RememberedPeers(path)
    killed.save(peers(3), 1_000)
    assert read(path) == peers(3)
    killed.close()


def test_the_one_seen_last_comes_first() -> None:
    remembered = RememberedPeers(None)
    remembered.save(peers(2), 1_000)
    remembered.save(peers(1, first=1), 2_000)
    assert [key for key, _address in remembered.load()] == [peers(1, first=1)[0][0], peers(1)[0][0]]
    remembered.close()


def test_one_peer_over_the_bound_forgets_the_oldest() -> None:
    remembered = RememberedPeers(None)
    remembered.save(peers(1), 1_000)
    remembered.save(peers(PEERS_MAX, first=1), 2_000)
    assert {key for key, _address in remembered.load()} == {key for key, _address in peers(PEERS_MAX, first=1)}
    remembered.close()


def test_each_run_starts_later_than_the_last_even_when_the_clock_went_back(path: Path) -> None:
    starts = []
    for unix in (1_000.9, 1_000.2, 500.0, 2_000.0):
        remembered = RememberedPeers(path)
        starts.append(remembered.next_start(unix))
        remembered.close()
    assert starts == [1_000, 1_001, 1_002, 2_000]


@pytest.mark.parametrize("damage", ["garbage", "half", "middle"])
def test_a_damaged_file_is_set_aside(path: Path, damage: str) -> None:
    write(path, PEERS_MAX)
    whole = path.read_bytes()
    half = len(whole) // 2
    spoilt = {"garbage": b"no database" * 500, "half": whole[:half], "middle": whole[:4096] + bytes(half)}[damage]
    path.write_bytes(spoilt)
    remembered = RememberedPeers(path)
    assert remembered.load() == []
    remembered.save(peers(2), 3_000)
    assert remembered.next_start(5_000) == 5_000
    remembered.close()
    assert path.with_name(path.name + DAMAGED_SUFFIX).read_bytes() == spoilt
    assert read(path) == peers(2)


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.write_bytes(b"")
    assert read(path) == []


def test_a_database_of_something_else_is_set_aside(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE peers (name TEXT)")
    database.commit()
    database.close()
    assert read(path) == []
    assert path.with_name(path.name + DAMAGED_SUFFIX).exists()


def test_rows_that_are_no_peers_are_passed_over(path: Path) -> None:
    write(path, 1)
    database = sqlite3.connect(path)
    rows = [
        (b"short", "192.0.2.1", 5),
        (b"k" * 32, "nowhere", 5),
        (b"l" * 32, "192.0.2.1", 0),
        (b"m" * 32, b"\1" * 4, 5),
    ]
    database.executemany("INSERT INTO peers VALUES (?, ?, ?, 1)", rows)
    database.commit()
    database.close()
    assert read(path) == peers(1)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"gone.*cannot be used"):
        RememberedPeers(tmp_path / "gone" / "peers.sqlite")
    with pytest.raises(RemoteError, match="cannot be used"):
        RememberedPeers(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60_000), st.integers(1, 255), st.integers(0, 400))
@example(4_016, 128, 1)  # a schema that is no UTF-8
def test_any_changed_bytes_give_peers_or_a_clear_error(path: Path, place: int, change: int, length: int) -> None:
    path.unlink(missing_ok=True)
    write(path)
    data = bytearray(path.read_bytes())
    for at in range(place % len(data), min(place % len(data) + length, len(data))):
        data[at] ^= change
    path.write_bytes(data)
    try:
        remembered = RememberedPeers(path)
    except RemoteError:
        return
    try:
        for key, (host, port) in remembered.load():
            assert (len(key), type(host), type(port)) == (32, str, int)
        remembered.save(peers(2), 3_000)
        remembered.next_start(3_000)
    except RemoteError:
        pass
    finally:
        remembered.close()
