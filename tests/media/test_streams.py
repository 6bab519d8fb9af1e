"""Streams of many calls between one pair of ports: each finds its call, whatever the phones chose, at a bounded cost."""

import pytest

from media import streams
from media.streams import ADDRESSES_MAX, STREAMS_PER_PATH_MAX, StreamTable
from p2psip.base.core import Address

PEER: Address = ("192.0.2.1", 4_000)
OTHER: Address = ("192.0.2.2", 4_000)
A, B = b"AAAA", b"BBBB"


class Path:
    """Takes the datagrams that begin with its name, and counts how often it was asked."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.asked = 0
        self.taken: list[bytes] = []

    def receive(self, data: bytes, source: Address) -> bool:
        self.asked += 1
        if data.startswith(self.name):
            self.taken.append(data)
            return True
        return False


def give(table: StreamTable[Path], data: bytes, ssrc: bytes, now: float = 0.0, source: Address = PEER) -> bool:
    """What the service does with a datagram."""
    return table.deliver(data, source, ssrc) or table.search(data, source, ssrc, now)


def table_of(*paths: Path) -> StreamTable[Path]:
    """A table with these paths at PEER."""
    table: StreamTable[Path] = StreamTable()
    for path in paths:
        table.expect(PEER, path)
    return table


def test_a_stream_is_found_once_and_then_known() -> None:
    one, two = Path(b"1"), Path(b"2")
    table = table_of(one, two)
    assert all(give(table, b"1%d" % number, A) for number in range(10))
    assert (one.asked, two.asked) == (10, 1)


def test_the_newest_call_is_tried_first() -> None:
    paths = [Path(b"%d" % number) for number in range(5)]
    table = table_of(*paths)
    assert give(table, b"4", A)
    assert sum(path.asked for path in paths) == 1


def test_an_unknown_address_costs_nothing() -> None:
    one = Path(b"1")
    assert not give(table_of(one), b"1", A, source=OTHER)
    assert one.asked == 0


def test_calls_with_the_same_ssrc_take_turns_at_one_try_each() -> None:
    paths = [Path(b"%02d" % number) for number in range(20)]
    table = table_of(*paths)
    for _ in range(3):
        assert all(give(table, path.name, A) for path in paths)
    before = sum(path.asked for path in paths)
    for _ in range(50):
        assert all(give(table, path.name, A) for path in paths)
    assert sum(path.asked for path in paths) - before == 50 * 20
    assert {len(path.taken) for path in paths} == {53}


def test_a_call_on_hold_costs_the_others_one_try_a_turn() -> None:
    paths = [Path(b"%02d" % number) for number in range(20)]
    table = table_of(*paths)
    for _ in range(3):
        assert all(give(table, path.name, A) for path in paths)
    before = sum(path.asked for path in paths)
    for _ in range(50):
        assert all(give(table, path.name, A) for path in paths[1:])
    assert sum(path.asked for path in paths) - before <= 50 * 21


def test_a_forgotten_path_leaves_nothing() -> None:
    one, two = Path(b"1"), Path(b"2")
    table = table_of(one, two)
    table.expect(OTHER, one)
    assert give(table, b"1", A)
    assert give(table, b"2", A)
    table.forget(one)
    assert table.paths(PEER) == (two,)
    assert len(table) == 1
    assert give(table, b"2", A)
    assert not give(table, b"1", A)
    table.forget(two)
    table.forget(two)
    assert len(table) == 0
    assert table.paths(PEER) == ()


def test_a_path_has_a_bounded_number_of_streams() -> None:
    one = Path(b"1")
    table = table_of(one)
    numbers = [number.to_bytes(4, "big") for number in range(STREAMS_PER_PATH_MAX + 1)]
    assert [give(table, b"1", ssrc) for ssrc in numbers] == [True] * STREAMS_PER_PATH_MAX + [False]
    assert give(table, b"1", numbers[0])


def test_addresses_are_bounded() -> None:
    one = Path(b"1")
    table: StreamTable[Path] = StreamTable()
    for number in range(ADDRESSES_MAX + 1):
        table.expect(("192.0.2.1", number), one)
    assert len(table) == ADDRESSES_MAX
    assert table.paths(("192.0.2.1", ADDRESSES_MAX)) == ()
    table.forget(one)
    assert len(table) == 0


def test_a_flood_of_strange_streams_is_tried_so_often_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TRIES_PER_SECOND_MAX", 100)
    one, far = Path(b"1"), Path(b"2")
    table = table_of(one)
    table.expect(OTHER, far)
    assert give(table, b"1", A, now=10.0)
    for number in range(1_000):
        assert not give(table, b"x", number.to_bytes(4, "big"), now=10.5)
    assert one.asked <= 102
    assert give(table, b"1", A, now=10.5)
    assert give(table, b"2", A, now=10.5, source=OTHER)
    assert not give(table, b"1", B, now=10.9)
    assert give(table, b"1", B, now=11.6)
