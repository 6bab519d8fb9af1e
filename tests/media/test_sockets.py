"""The loop over many sockets: all are served, none starves another, and nothing that comes in can end it."""

import contextlib
import logging
import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from media import sockets
from media.sockets import ERRORS_MAX, ROUNDS_MAX, SocketPlane
from p2psip.base.core import Address
from p2psip.net.port import open_udp

LOCAL = "127.0.0.1"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets."""
    with open_udp((LOCAL, 0)) as one, open_udp((LOCAL, 0)) as other:
        yield one, other


class Ears:
    """Keeps what is received."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Address]] = []

    def take(self, data: bytes, source: Address) -> None:
        self.heard.append((data, source))


async def test_datagrams_reach_their_receiver(pair: tuple[socket.socket, socket.socket]) -> None:
    plane, first, second = SocketPlane(), Ears(), Ears()
    plane.add(pair[0], first.take)
    plane.add(pair[1], second.take)
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        for number in range(100):
            pair[0].sendto(b"%d" % number, pair[1].getsockname())
            pair[1].sendto(b"%d" % number, pair[0].getsockname())
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    for ears, source in ((first, pair[1]), (second, pair[0])):
        assert ears.heard == [(b"%d" % number, source.getsockname()) for number in range(100)]


def test_a_flood_on_one_socket_does_not_starve_another(pair: tuple[socket.socket, socket.socket]) -> None:
    plane, flooded, other = SocketPlane(), Ears(), Ears()
    plane.add(pair[0], flooded.take)
    plane.add(pair[1], other.take)
    for _ in range(500):
        pair[1].sendto(b"flood", pair[0].getsockname())
    pair[0].sendto(b"speech", pair[1].getsockname())
    plane.drain()
    assert len(flooded.heard) == ROUNDS_MAX
    assert len(other.heard) == 1


def test_a_receiver_that_fails_is_counted_and_the_others_go_on(
    pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    plane, other = SocketPlane(), Ears()

    def fail(_data: bytes, _source: Address) -> None:
        raise ZeroDivisionError

    plane.add(pair[0], fail)
    plane.add(pair[1], other.take)
    pair[1].sendto(b"1", pair[0].getsockname())
    pair[0].sendto(b"2", pair[1].getsockname())
    with caplog.at_level(logging.ERROR):
        plane.drain()
    assert plane.failed == 1
    assert len(other.heard) == 1
    assert "made its receiver fail" in caplog.text


def test_an_error_of_an_earlier_send_is_no_trouble(pair: tuple[socket.socket, socket.socket]) -> None:
    plane, ears = SocketPlane(), Ears()
    plane.add(pair[0], ears.take)
    with open_udp((LOCAL, 0)) as gone:
        pair[0].connect(gone.getsockname())
    pair[0].send(b"to nobody")
    plane.drain()
    assert ears.heard == []
    assert plane.failed == 0


def test_a_receiver_may_remove_sockets_that_are_ready_too() -> None:
    plane = SocketPlane()
    heard: list[bytes] = []
    with open_udp((LOCAL, 0)) as one, open_udp((LOCAL, 0)) as other, open_udp((LOCAL, 0)) as sender:

        def close_both(data: bytes, _source: Address) -> None:
            heard.append(data)
            for sock in (one, other):
                plane.remove(sock)
                sock.close()

        for sock in (one, other):
            plane.add(sock, close_both)
            sender.sendto(b"x", sock.getsockname())
        plane.drain()
    assert heard == [b"x"]
    assert len(plane) == 0


def test_sockets_are_bounded(monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]) -> None:
    monkeypatch.setattr(sockets, "SOCKETS_MAX", 1)
    plane, ears = SocketPlane(), Ears()
    assert plane.add(pair[0], ears.take)
    assert not plane.add(pair[1], ears.take)
    plane.remove(pair[1])
    plane.remove(pair[0])
    assert plane.add(pair[1], ears.take)


async def test_after_the_end_sockets_can_still_be_removed(pair: tuple[socket.socket, socket.socket]) -> None:
    plane, ears = SocketPlane(), Ears()
    plane.add(pair[0], ears.take)
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        nursery.cancel_scope.cancel()
    plane.remove(pair[0])
    assert not plane.add(pair[1], ears.take)
    assert len(plane) == 0


@pytest.mark.parametrize("local", [LOCAL, "::1"])
def test_who_sends_to_a_closed_port_is_told_and_goes_on(local: str) -> None:
    """ICMP errors (RFC 1122 §4.1.3.3) are taken off the socket, ERRORS_MAX at a time, or it would stay ready and send nothing."""
    plane, ears = SocketPlane(), Ears()
    told: list[int] = []
    with open_udp((local, 0)) as sock, open_udp((local, 0)) as other:
        with open_udp((local, 0)) as gone:
            closed = gone.getsockname()[:2]
        assert plane.add(sock, ears.take, told.append)
        for _ in range(2 * (ERRORS_MAX + 1)):
            with contextlib.suppress(ConnectionRefusedError):
                sock.sendto(b"x", closed)
        other.sendto(b"heard", sock.getsockname()[:2])
        for _ in range(4):
            plane.drain()
        assert ears.heard == [(b"heard", other.getsockname()[:2])]
        assert told
        assert max(told) <= ERRORS_MAX
        before = len(told)
        sock.sendto(b"y", other.getsockname()[:2])
        assert other.recv(10) == b"y"
        plane.drain()
        assert len(told) == before
        plane.remove(sock)
