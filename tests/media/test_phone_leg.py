"""A leg that speaks SRTP: what latches, what is dropped, what is counted, and RTCP beside it."""

import socket

import pytest

from media.phone_leg import PhoneLeg
from media.srtp import MasterKey, SrtpContexts, SrtpKeys
from p2psip.base.core import Address
from tests.media.test_srtp import key, rtcp, rtp

PHONE: Address = ("127.0.0.1", 6_000)
MOVED: Address = ("127.0.0.1", 6_002)
OURS, THEIRS = key(first=1), key(first=50)


class Socket:
    """Keeps what is sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[tuple[bytes, Address]] = []

    def getsockname(self) -> Address:
        return ("127.0.0.1", self.port)

    def sendto(self, data: bytes, target: Address) -> int:
        self.sent.append((data, target))
        return len(data)


class Line:
    """A leg and the phone at its other end."""

    def __init__(self, theirs: MasterKey = THEIRS) -> None:
        self.sockets = Socket(20_000), Socket(20_001)
        rtp_socket, rtcp_socket = self.sockets
        assert isinstance(rtp_socket, Socket)
        self.leg = PhoneLeg(_as_socket(rtp_socket), _as_socket(rtcp_socket), now=lambda: 5.0, close=lambda _: None)
        self.heard: list[bytes] = []
        self.leg.connect(self.heard.append)
        self.leg.set_remote(PHONE, PHONE[0])
        self.leg.set_keys(SrtpKeys(OURS, THEIRS))
        self.phone = SrtpContexts()
        self.phone.set_keys(SrtpKeys(theirs, OURS))

    def say(self, packet: bytes, source: Address = PHONE) -> bytes:
        """As the phone does; the wire form."""
        wire = self.phone.protect(packet)
        assert wire is not None
        self.leg.receive_rtp(wire, source)
        return wire


def _as_socket(fake: Socket) -> socket.socket:
    return fake  # type: ignore[return-value]


@pytest.fixture
def line() -> Line:
    return Line()


def test_both_directions_are_protected_on_the_wire_and_plain_at_the_bridge(line: Line) -> None:
    line.say(rtp(1))
    assert line.heard == [rtp(1)]
    line.leg.send(rtp(2))
    ((wire, target),) = line.sockets[0].sent
    assert target == PHONE
    assert wire != rtp(2)
    assert line.phone.unprotect(wire) == rtp(2)


def test_control_packets_take_their_own_socket_and_are_protected_too(line: Line) -> None:
    wire = line.phone.protect(rtcp())
    assert wire is not None
    line.leg.receive_rtcp(wire, ("127.0.0.1", 6_001))
    line.leg.receive_rtcp(wire, ("127.0.0.1", 6_001))
    assert line.heard == [rtcp()]
    line.leg.send(rtcp())
    ((sent, target),) = line.sockets[1].sent
    assert target == ("127.0.0.1", 6_001)
    assert line.phone.unprotect(sent) == rtcp()


def test_what_does_not_fit_the_key_neither_latches_nor_passes(line: Line) -> None:
    for forged in (rtp(1), b"\x80" + bytes(200), b"\x80\x00" + bytes(10)):
        line.leg.receive_rtp(forged, MOVED)
    assert line.leg.statistics.undecryptable == 3
    line.leg.receive_rtcp(rtcp(), MOVED)
    assert line.leg.statistics.undecryptable == 4
    line.say(rtp(2), PHONE)
    line.leg.send(rtp(3))
    assert line.sockets[0].sent[-1][1] == PHONE
    assert line.heard == [rtp(2)]


def test_a_repeated_packet_is_not_heard_twice(line: Line) -> None:
    wire = line.say(rtp(1))
    line.leg.receive_rtp(wire, PHONE)
    assert line.heard == [rtp(1)]
    assert (line.leg.statistics.received, line.leg.statistics.undecryptable) == (1, 1)


def test_wrong_keys_are_counted_and_not_heard() -> None:
    line = Line(theirs=key(first=99))
    line.say(rtp(1))
    assert line.heard == []
    assert line.leg.statistics.undecryptable == 1
    assert line.leg.statistics.first_received is None


def test_between_offer_and_answer_nothing_passes_either_way(line: Line) -> None:
    line.leg.set_keys(SrtpKeys())
    line.leg.send(rtp(1))
    line.leg.receive_rtp(rtp(1), PHONE)
    assert line.sockets[0].sent == []
    assert line.heard == []


def test_who_goes_back_to_plain_and_to_the_same_keys_again_repeats_no_keystream(line: Line) -> None:
    line.leg.send(rtp(1))
    line.leg.set_keys(None)
    line.leg.send(rtp(2))
    assert line.sockets[0].sent[-1][0] == rtp(2)
    line.leg.set_keys(SrtpKeys(OURS, THEIRS))
    line.leg.send(rtp(1))
    assert len(line.sockets[0].sent) == 2, "the packet that was sent before is not sent again"


def test_fax_passes_as_it_is_from_the_phone_only(line: Line) -> None:
    fax = [b"\0\1\6rest", b"\x16\1\6rest", b"\x80\xc8" + bytes(20)]
    line.leg.set_keys(None)
    line.leg.receive_rtp(fax[0], PHONE)
    assert line.heard == [], "not before it is agreed on"
    line.leg.set_raw(True)
    for data in fax:
        line.leg.receive_rtp(data, PHONE)
        line.leg.send(data)
    line.leg.receive_rtp(fax[0], ("203.0.113.9", 6_000))
    line.leg.receive_rtp(b"\0", PHONE)
    assert line.heard == fax
    assert line.sockets[0].sent == [(data, PHONE) for data in fax]
    line.leg.set_keys(SrtpKeys(OURS, THEIRS))
    line.leg.receive_rtp(fax[0], PHONE)
    assert line.heard == fax, "nothing unprotected passes beside SRTP"
