"""Datagrams by recvmmsg: the same as by recvfrom, in batches."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2psip.net import batch
from p2psip.net.batch import BATCH_DATAGRAMS_MAX, DATAGRAM_BYTES_MAX, SOURCES_CACHED_MAX, BatchReceiver, Datagram

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
FAMILIES = sorted(HOSTS)


def _bound(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((HOSTS[socket.AddressFamily(family)], 0))
    return sock


@pytest.fixture(params=["recvmmsg", "recvfrom"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "recvfrom":
        monkeypatch.setattr(batch, "_recvmmsg", None)


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest, _way: None) -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = _bound(request.param), _bound(request.param)
    yield here, there
    here.close()
    there.close()


def _send(there: socket.socket, here: socket.socket, *datagrams: bytes) -> list[Datagram]:
    for datagram in datagrams:
        there.sendto(datagram, here.getsockname())
    return [(datagram, there.getsockname()[:2]) for datagram in datagrams]


def test_datagrams_of_odd_sizes_come_whole_with_their_sources(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    receiver = BatchReceiver(here.family)
    other = _bound(here.family)
    expected = _send(there, here, b"", b"x", bytes(range(256)) * 8) + _send(other, here, b"other's")
    assert receiver.receive(here) == expected
    assert receiver.receive(here) == []
    other.close()


def test_what_does_not_fit_into_a_batch_comes_with_the_next(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    receiver = BatchReceiver(here.family)
    expected = _send(there, here, *(b"%d" % number for number in range(BATCH_DATAGRAMS_MAX + 1)))
    assert receiver.receive(here) == expected[:-1]
    assert receiver.receive(here) == expected[-1:]


def test_one_byte_too_long_is_left_out_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    receiver = BatchReceiver(here.family)
    sizes = (DATAGRAM_BYTES_MAX + 1, DATAGRAM_BYTES_MAX, 9_000, 1)
    expected = _send(there, here, *(bytes([size & 0xFF]) * size for size in sizes))
    assert receiver.receive(here) == expected[1::2]


def test_an_icmp_error_is_raised_and_costs_no_datagram(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    receiver = BatchReceiver(here.family)
    gone = _bound(here.family)
    here.connect(gone.getsockname())
    gone.close()
    here.send(b"to nobody")
    with pytest.raises(ConnectionRefusedError):
        receiver.receive(here)
    here.connect(there.getsockname())
    assert receiver.receive(here) == []
    assert receiver.receive(here) == _send(there, here) == []
    expected = _send(there, here, b"alive")
    assert receiver.receive(here) == expected


def test_a_closed_socket_is_an_error_not_a_crash(pair: tuple[socket.socket, socket.socket]) -> None:
    here, _ = pair
    receiver = BatchReceiver(here.family)
    here.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receiver.receive(here)


def test_sources_remembered_are_bounded() -> None:
    receiver = BatchReceiver(socket.AF_INET)
    for number in range(SOURCES_CACHED_MAX + 1):
        key = b"\x02\x00" + (number + 1).to_bytes(2, "big") + bytes((10, 0, 0, 1))
        assert receiver._remember(key) == ("10.0.0.1", number + 1)
    assert len(receiver._sources) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=64)), max_size=40), st.sampled_from(FAMILIES))
def test_batches_say_what_recvfrom_would(datagrams: list[tuple[bool, bytes]], family: int) -> None:
    batched, plain = _bound(family), _bound(family)
    senders = (_bound(family), _bound(family))
    for which, datagram in datagrams:
        for here in (batched, plain):
            senders[which].sendto(datagram, here.getsockname())
    expected = []
    for _ in datagrams:
        data, source = plain.recvfrom(DATAGRAM_BYTES_MAX)
        expected.append((data, source[:2]))
    assert BatchReceiver(family).receive(batched) == expected
    for sock in (batched, plain, *senders):
        sock.close()
