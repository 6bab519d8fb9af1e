"""The data plane on real sockets of loopback."""

import select
import socket
from collections.abc import Iterator

import pytest

from media.turn import messages
from media.turn.allocation import Allocation, Relay, Tables
from media.turn.plane import DATAGRAM_BYTES_MAX, RelayPlane
from media.turn.quota import Allowance, Meter, User
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock

CLIENT: Address = ("127.0.0.9", 4000)
SECONDS_MAX = 5.0
FIRST, LAST = 49_500, 49_899


class Rig:
    """A plane with one allocation, and a peer's socket for each family."""

    def __init__(self) -> None:
        self.to_client: list[tuple[bytes, Address]] = []
        self.tables = Tables(Allowance(1e9, 1.0, 0.0), Meter())
        self.plane = self.make_plane((FIRST, LAST))
        user = User("alice", bytes_per_second=1e9, requests_per_second=1e9, now=0.0)
        self.allocation = Allocation(CLIENT, "udp", user)
        self.peers = {4: _bound("127.0.0.1"), 6: _bound("::1")}
        for family in (4, 6):
            relay = self.plane.open_relay(family, even=False)
            assert relay is not None
            self.allocation.relays[family] = relay
            self.plane.assign(relay, self.allocation)
        self.tables.allocations[CLIENT] = self.allocation

    def make_plane(self, ports: tuple[int, int]) -> RelayPlane:
        return RelayPlane(
            tables=self.tables,
            send=lambda data, client: self.to_client.append((data, client)),
            clock=Clock(),
            chance=Chance.system(),
            hosts={4: "127.0.0.1", 6: "::1"},
            announced={4: "198.51.100.1", 6: "::1"},
            ports=ports,
        )

    def peer(self, family: int) -> Address:
        address: Address = self.peers[family].getsockname()[:2]
        return address

    def permit(self, family: int) -> None:
        self.allocation.permissions[self.peer(family)[0]] = 1e9

    def bind(self, number: int, family: int) -> None:
        self.allocation.bind(number, self.peer(family), 1e9)
        self.permit(family)

    def say(self, family: int, data: bytes) -> None:
        """Send from the peer to the relayed address, and serve the plane once."""
        host = "127.0.0.1" if family == 4 else "::1"
        self.peers[family].sendto(data, (host, self.allocation.relays[family].address[1]))
        self.plane.drain()

    def heard(self, family: int) -> tuple[bytes, Address]:
        """The next datagram at the peer."""
        sock = self.peers[family]
        assert select.select([sock], [], [], SECONDS_MAX)[0], "the peer heard nothing"
        data, source = sock.recvfrom(4_096)
        return data, source[:2]

    def heard_nothing(self, family: int) -> bool:
        return not select.select([self.peers[family]], [], [], 0)[0]

    def close(self) -> None:
        self.plane.close()
        for sock in self.peers.values():
            sock.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.mark.parametrize("family", [4, 6])
def test_channel_data_goes_to_the_peer_and_back(rig: Rig, family: int) -> None:
    rig.bind(0x4001, family)
    rig.plane.from_client(b"\x40\x01\x00\x05hello\0\0\0", CLIENT)
    data, source = rig.heard(family)
    assert data == b"hello"
    assert source[1] == rig.allocation.relays[family].address[1]
    rig.say(family, b"back")
    assert rig.to_client == [(b"\x40\x01\x00\x04back", CLIENT)]
    counters = rig.allocation.counters
    assert (counters.to_peer, counters.to_peer_bytes, counters.to_client, counters.to_client_bytes) == (1, 5, 1, 4)


def test_a_peer_without_a_channel_is_heard_by_data_indications_one_without_permission_not_at_all(rig: Rig) -> None:
    rig.say(4, b"stranger")
    assert rig.to_client == []
    rig.permit(4)
    rig.say(4, b"hello")
    rig.say(4, b"")
    transactions = set()
    for (raw, client), expected in zip(rig.to_client, (b"hello", b""), strict=True):
        message = messages.read(raw)
        assert (message.kind, message.method, client) == (messages.INDICATION, messages.DATA, CLIENT)
        assert message.peers == [rig.peer(4)]
        assert message.attributes[messages.DATA_VALUE] == expected
        transactions.add(message.transaction)
    assert len(transactions) == 2
    assert rig.allocation.counters.dropped == 1


@pytest.mark.parametrize(
    "data", [b"\x40", b"\x40\x01\x00", b"\x40\x01\x00\x05hell", b"\x40\x02\x00\x00", b"\x4f\xff\xff\xff"]
)
def test_channel_data_that_is_none_goes_nowhere(rig: Rig, data: bytes) -> None:
    rig.bind(0x4001, 4)
    rig.plane.from_client(data, CLIENT)
    rig.plane.from_client(b"\x40\x01\x00\x00", ("127.0.0.9", 4001))
    assert rig.heard_nothing(4)
    rig.plane.from_client(b"\x40\x01\x00\x00", CLIENT)
    assert rig.heard(4)[0] == b""


def test_the_largest_datagram_passes_and_one_byte_more_does_not(rig: Rig) -> None:
    rig.bind(0x4001, 4)
    rig.say(4, bytes(DATAGRAM_BYTES_MAX))
    rig.say(4, bytes(DATAGRAM_BYTES_MAX + 1))
    assert [len(data) for data, _ in rig.to_client] == [DATAGRAM_BYTES_MAX + 4]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("whole", [False, True])
def test_send_indications_leave_with_and_without_df(rig: Rig, family: int, whole: bool) -> None:
    rig.plane.send(rig.allocation.relays[family], b"data", rig.peer(family), dont_fragment=whole)
    assert rig.heard(family)[0] == b"data"
    assert rig.allocation.counters.to_peer == 1


def test_what_the_kernel_refuses_is_counted(rig: Rig) -> None:
    rig.plane.send(rig.allocation.relays[4], b"data", ("127.0.0.1", 99_999), dont_fragment=False)
    rig.plane.send(rig.allocation.relays[4], b"data", ("255.255.255.255", 9), dont_fragment=False)
    assert rig.allocation.counters.dropped == 2


def test_the_announced_host_is_told_with_the_ports_of_the_range(rig: Rig) -> None:
    relay = rig.allocation.relays[4]
    assert relay.address[0] == "198.51.100.1"
    assert FIRST <= relay.address[1] <= LAST


def test_every_port_of_a_range_is_given_once_and_none_more(rig: Rig) -> None:
    plane = rig.make_plane((49_900, 49_907))
    opened: list[Relay] = []
    pair = plane.open_pair(4)
    assert pair is not None
    assert pair[0].address[1] % 2 == 0
    assert pair[1].address[1] == pair[0].address[1] + 1
    even = plane.open_relay(4, even=True)
    assert even is not None
    assert even.address[1] % 2 == 0
    while (relay := plane.open_relay(4, even=False)) is not None:
        opened.append(relay)
    assert sorted(relay.address[1] for relay in (*pair, even, *opened)) == list(range(49_900, 49_908))
    assert plane.open_pair(4) is plane.open_relay(4, even=True) is None
    assert plane.open_relay(6, even=False) is not None
    plane.close_relay(even)
    assert plane.open_relay(4, even=True) is not None
    plane.close()


def test_a_closed_relay_is_silent(rig: Rig) -> None:
    rig.bind(0x4001, 4)
    relay = rig.allocation.relays[4]
    rig.plane.close_relay(relay)
    rig.say(4, b"too late")
    assert rig.to_client == []
    assert len(rig.plane) == 1


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock
