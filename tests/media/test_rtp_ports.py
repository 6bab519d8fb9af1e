"""Pairs of RTP and RTCP ports: even and next, in turn, the whole range, and one sentence when there are none."""

import errno
import socket

import pytest

from media import rtp_ports
from media.rtp_ports import RtpPorts
from p2psip.base.errors import RemoteError
from p2psip.net.port import open_udp

HOST = "127.0.0.1"
Pair = tuple[socket.socket, socket.socket]


def numbers(pair: Pair) -> tuple[int, int]:
    """The two port numbers."""
    return pair[0].getsockname()[1], pair[1].getsockname()[1]


def close(ports: RtpPorts, *pairs: Pair) -> None:
    """Give pairs back."""
    for pair in pairs:
        ports.close(HOST, *pair)


@pytest.mark.parametrize(("first", "last", "pairs"), [(18_000, 18_007, 4), (18_001, 18_008, 3), (18_000, 18_001, 1)])
def test_every_pair_of_the_range_is_used_and_then_the_sentence_comes(first: int, last: int, pairs: int) -> None:
    ports = RtpPorts(first, last, start=7)
    found = [ports.open(HOST) for _ in range(pairs)]
    even = first + first % 2
    assert sorted(numbers(pair) for pair in found) == [(even + 2 * n, even + 2 * n + 1) for n in range(pairs)]
    with pytest.raises(
        RemoteError, match=rf"no pair of RTP ports is free on 127.0.0.1 between {even} and {last}; {pairs}"
    ):
        ports.open(HOST)
    close(ports, found[0])
    again = ports.open(HOST)
    assert again[0].getsockname()[1] in range(first, last)
    close(ports, again, *found[1:])
    assert len(ports) == 0


def test_a_range_without_a_pair_has_none() -> None:
    with pytest.raises(RemoteError) as caught:
        RtpPorts(18_001, 18_002).open(HOST)
    assert caught.value.status == 503


def test_ports_are_handed_out_in_turn() -> None:
    ports = RtpPorts(18_100, 18_199)
    seen = []
    for _ in range(10):
        pair = ports.open(HOST)
        seen.append(numbers(pair)[0])
        close(ports, pair)
    assert seen == list(range(18_100, 18_120, 2))


@pytest.mark.parametrize("taken", [18_200, 18_201])
def test_a_port_that_another_program_holds_is_passed_over(taken: int) -> None:
    with open_udp((HOST, taken)):
        ports = RtpPorts(18_200, 18_203)
        pair = ports.open(HOST)
        assert numbers(pair) == (18_202, 18_203)
        close(ports, pair)


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(RemoteError, match=r"cannot use UDP 192\.0\.2\.1 port") as caught:
        RtpPorts(18_300, 18_399).open("192.0.2.1")
    assert caught.value.status == 503


def test_no_more_open_files_is_said_so_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    def one_then_none(address: tuple[str, int]) -> socket.socket:
        if opened:
            raise OSError(errno.EMFILE, "cannot use UDP 127.0.0.1 port 18401: Too many open files")
        opened.append(open_udp(address))
        return opened[0]

    monkeypatch.setattr(rtp_ports, "open_udp", one_then_none)
    ports = RtpPorts(18_400, 18_499)
    with pytest.raises(RemoteError, match="Too many open files"):
        ports.open(HOST)
    assert opened[0].fileno() == -1
    assert len(ports) == 0
