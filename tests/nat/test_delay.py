"""The user-space router of the laboratory: it adds the delay that was asked for, loses what was asked for, and no more."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.nat.kinds import Kind
from tests.nat.lab import Lab, Plan
from tests.nat.probes import port_of, receive, sockets

pytestmark = pytest.mark.nat

ROUND_TRIP_SECONDS = 0.08
LATE_SECONDS_MAX = 0.01
PACKETS_PER_SECOND = 20_000
BURST_PACKETS = 20
FLOOD_SECONDS = 1.0
PROBES = 11


@pytest.fixture(scope="module")
def slow_lab() -> Iterator[Lab]:
    plans = [Plan("one", Kind.PUBLIC), Plan("other", Kind.PUBLIC), Plan("home", Kind.SYMMETRIC)]
    with Lab(plans, one_way_seconds=ROUND_TRIP_SECONDS / 2) as lab:
        yield lab


@pytest.mark.parametrize("name", ["one", "home"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_round_trip_takes_twice_the_delay(slow_lab: Lab, name: str, family: socket.AddressFamily) -> None:
    other = slow_lab["other"]
    if name == "home" and family == socket.AF_INET6:
        name = "one"
    with sockets(slow_lab[name], other, family=family) as (near, far):
        host = other.ipv6 if family == socket.AF_INET6 else other.ipv4
        times = []
        for number in range(PROBES):
            started = time.monotonic()
            near.sendto(b"%d" % number, (host, port_of(far)))
            source = receive(far, b"%d" % number)
            assert source is not None
            far.sendto(b"back %d" % number, source)
            assert receive(near, b"back %d" % number) is not None
            times.append(time.monotonic() - started)
    assert min(times) >= ROUND_TRIP_SECONDS
    assert sorted(times)[PROBES // 2] < ROUND_TRIP_SECONDS + LATE_SECONDS_MAX


def test_nothing_is_lost_at_twenty_thousand_packets_a_second(slow_lab: Lab) -> None:
    assert flood(slow_lab) == PACKETS_PER_SECOND * FLOOD_SECONDS


def test_the_share_that_was_asked_for_is_lost() -> None:
    with Lab([Plan("one", Kind.PUBLIC), Plan("other", Kind.PUBLIC)], loss=0.1) as lab:
        assert 0.88 < flood(lab) / (PACKETS_PER_SECOND * FLOOD_SECONDS) < 0.92


def flood(lab: Lab) -> int:
    """Send for FLOOD_SECONDS; how many packets came."""
    count = int(PACKETS_PER_SECOND * FLOOD_SECONDS)
    came = 0
    with sockets(lab["one"], lab["other"]) as (near, far):
        far.setsockopt(
            socket.SOL_SOCKET, 33, 16 << 20
        )  # SO_RCVBUFFORCE: the receiver here must not be what loses packets
        far.settimeout(1.0)
        to = (lab["other"].ipv4, port_of(far))

        def send() -> None:
            started = time.monotonic()
            for first in range(0, count, BURST_PACKETS):
                for _ in range(BURST_PACKETS):
                    near.sendto(bytes(172), to)
                pause = started + (first + BURST_PACKETS) / PACKETS_PER_SECOND - time.monotonic()
                if pause > 0:
                    time.sleep(pause)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while came < count:
                far.recv(2048)
                came += 1
        except TimeoutError:
            pass
        sender.join()
    return came
