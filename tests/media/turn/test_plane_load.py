"""The data plane under load: bursts, batches, and what goes wrong in the middle of one."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.turn.plane import DATAGRAM_BYTES_MAX
from media.turn.quota import PACKET_BYTES_ADDED, User
from p2psip.base.core import Address
from p2psip.net.batch import BATCH_DATAGRAMS_MAX
from p2psip.net.clock import Clock
from tests.media.turn.test_plane import CLIENT, Rig

HOSTS = {4: "127.0.0.1", 6: "::1"}


class LoadRig(Rig):
    """A rig whose peers can send without the plane being served."""

    def put(self, family: int, *datagrams: bytes) -> None:
        port = self.allocation.relays[family].address[1]
        for datagram in datagrams:
            self.peers[family].sendto(datagram, (HOSTS[family], port))

    def drain(self) -> int:
        total = 0
        while count := self.plane.drain():
            total += count
        return total

    def drain_plainly(self) -> None:
        """What the plane must do, one recvfrom after the other."""
        for sock, allocation in list(self.plane._owners.values()):
            while True:
                try:
                    data, peer = sock.recvfrom(DATAGRAM_BYTES_MAX + 1)
                except BlockingIOError:
                    break
                self.plane.from_peer(allocation, data, peer[:2])


class Closer(list[tuple[bytes, Address]]):
    """The client's side; at the first packet the relay is closed."""

    def __init__(self, rig: LoadRig) -> None:
        super().__init__()
        self._rig = rig

    def append(self, packet: tuple[bytes, Address]) -> None:
        if not self:
            self._rig.plane.close_relay(self._rig.allocation.relays[4])
        super().append(packet)


@pytest.fixture
def rig() -> Iterator[LoadRig]:
    with closing(LoadRig()) as rig:
        yield rig


def _wrapped(number: int, data: bytes) -> tuple[bytes, Address]:
    return number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data, CLIENT


@pytest.mark.parametrize("family", [4, 6])
def test_a_burst_of_odd_sizes_comes_whole_and_in_order(rig: LoadRig, family: int) -> None:
    rig.bind(0x4001, family)
    burst = [bytes([number & 0xFF]) * (number % 200) for number in range(BATCH_DATAGRAMS_MAX + 20)]
    rig.put(family, *burst)
    assert rig.drain() == len(burst)
    assert rig.to_client == [_wrapped(0x4001, data) for data in burst]


def test_an_idle_plane_takes_one_datagram_of_each_socket_at_a_time(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    rig.bind(0x4002, 6)
    for family in (4, 6):
        rig.put(family, b"first", b"second")
    assert rig.plane.drain(False) == 2
    assert {packet[0][4:] for packet in rig.to_client} == {b"first"}
    assert rig.plane.drain(True) == 2
    assert len(rig.to_client) == 4


def test_padding_of_channel_data_is_no_payload(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    for size in range(9):
        rig.plane.from_client(_wrapped(0x4001, b"x" * size)[0] + bytes(-size % 4), CLIENT)
        assert rig.heard(4)[0] == b"x" * size


def test_too_long_a_datagram_in_a_batch_costs_none_of_the_others(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    rig.put(4, b"one", b"two", bytes(DATAGRAM_BYTES_MAX + 1), b"three")
    rig.drain()
    assert [data[4:] for data, _ in rig.to_client] == [b"one", b"two", b"three"]


def test_a_peer_that_is_gone_disturbs_nobody(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    rig.allocation.bind(0x4002, ("127.0.0.1", 9), 1e9)  # nobody is there: the kernel hears an ICMP error
    for _ in range(5):
        rig.plane.from_client(_wrapped(0x4002, b"to nobody")[0], CLIENT)
        rig.put(4, b"alive", b"and well")
    rig.drain()
    assert [data[4:] for data, _ in rig.to_client] == [b"alive", b"and well"] * 5


def test_a_relay_may_be_closed_in_the_middle_of_a_batch(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    rig.bind(0x4002, 6)
    rig.to_client = Closer(rig)
    rig.put(4, *[b"v4"] * 10)
    rig.put(6, *[b"v6"] * 10)
    rig.drain()
    assert [data[4:] for data, _ in rig.to_client].count(b"v6") == 10
    assert rig.plane.failed == 0
    assert len(rig.plane) == 1


def test_a_budget_ends_in_the_middle_of_a_burst(rig: LoadRig) -> None:
    rig.bind(0x4001, 4)
    size, packets = 100, 10
    rate = packets * (size + PACKET_BYTES_ADDED) / 2  # a user may save up two seconds
    now = Clock().now()
    rig.allocation.user = User("poor", bytes_per_second=rate, requests_per_second=1.0, now=now)
    rig.allocation.user.traffic.refill(0.0, now + 1e6)  # no time that passes fills it again
    rig.put(4, *[bytes(size)] * (packets + 5))
    rig.drain()
    rig.plane.from_client(_wrapped(0x4001, bytes(size))[0], CLIENT)
    assert len(rig.to_client) == packets
    assert rig.heard_nothing(4)
    assert rig.allocation.counters.over_quota == 6


STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from([4, 6]), st.lists(st.binary(max_size=40), max_size=80)),
    st.tuples(st.just("bind"), st.sampled_from([4, 6]), st.integers(0x4000, 0x4002)),
    st.tuples(st.just("forbid"), st.sampled_from([4, 6]), st.none()),
    st.tuples(st.just("drain"), st.none(), st.none()),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_any_order_of_steps_relays_what_plain_reading_would(steps: list[tuple[str, int, object]]) -> None:
    with closing(LoadRig()) as fast, closing(LoadRig()) as plain:
        for rig, drain in ((fast, fast.drain), (plain, plain.drain_plainly)):
            for step, family, what in [("bind", 4, 0x4000), ("bind", 6, 0x4001), *steps, ("drain", 4, None)]:
                match step, what:
                    case "put", list(datagrams):
                        rig.put(family, *datagrams)
                    case "bind", int(number):
                        if number not in rig.allocation.channels_by_number:
                            rig.bind(number, family)
                    case "forbid", _:
                        rig.allocation.permissions.pop(HOSTS[family], None)
                    case _:
                        drain()
        assert sorted(fast.to_client) == sorted(plain.to_client)
        assert _of(fast, b"\x40\x00") == _of(plain, b"\x40\x00")
        assert fast.allocation.counters == plain.allocation.counters


def _of(rig: LoadRig, header: bytes) -> list[bytes]:
    return [data for data, _ in rig.to_client if data[:2] == header]
