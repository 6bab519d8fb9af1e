"""DTLS-SRTP between two legs without ICE: roles, ports, NATs, wrong certificates, lost datagrams, hold."""

import socket
from collections.abc import Callable

import pytest

from media.dtls import DEADLINE_SECONDS, DtlsIdentity
from media.phone_dtls import DtlsPeer
from media.phone_leg import EARLY_DTLS_MAX, PhoneLeg
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from tests.media.test_srtp import rtcp, rtp

UNIX = 1_800_000_000.0
IDENTITIES = DtlsIdentity(UNIX), DtlsIdentity(UNIX)
HOSTS = "192.0.2.1", "192.0.2.2"
Carrier = Callable[[bytes, Address, Address], None]


class Wire:
    """Joins the sockets of two legs; `lose` counts datagrams that are to be lost."""

    def __init__(self) -> None:
        self.now = 5.0
        self.lose = 0
        self.waiting: list[tuple[bytes, Address, Address]] = []
        self.legs: dict[Address, Callable[[bytes, Address], None]] = {}
        self.seen: list[tuple[bytes, Address, Address]] = []
        self.mapped: dict[Address, Address] = {}

    def socket(self, address: Address) -> socket.socket:
        return Socket(address, self.waiting)  # type: ignore[return-value]

    def pump(self) -> None:
        while self.waiting:
            data, source, target = self.waiting.pop(0)
            self.seen.append((data, source, target))
            if self.lose:
                self.lose -= 1
            elif target in self.legs:
                self.legs[target](data, self.mapped.get(source, source))

    def pass_time(self, legs: "Legs", seconds: float) -> None:
        end = self.now + seconds
        while (due := min((d for leg in legs if (d := leg.poll_timeout()) is not None), default=None)) is not None:
            if due > end:
                break
            self.now = max(self.now, due)
            for leg in legs:
                leg.handle_timeout(self.now)
            self.pump()
        self.now = end


class Socket:
    def __init__(self, address: Address, waiting: list[tuple[bytes, Address, Address]]) -> None:
        self._address = address
        self._waiting = waiting

    def getsockname(self) -> Address:
        return self._address

    def sendto(self, data: bytes, target: Address) -> int:
        self._waiting.append((data, self._address, target))
        return len(data)


Legs = tuple[PhoneLeg, PhoneLeg]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def legs_on(wire: Wire) -> Legs:
    found: list[PhoneLeg] = []
    for host, identity in zip(HOSTS, IDENTITIES, strict=True):
        sockets = wire.socket((host, 4_000)), wire.socket((host, 4_001))
        leg = PhoneLeg(*sockets, now=lambda: wire.now, close=lambda _: None, identity=identity)
        wire.legs[host, 4_000], wire.legs[host, 4_001] = leg.receive_rtp, leg.receive_rtcp
        found.append(leg)
    return found[0], found[1]


def start(legs: Legs, *, is_muxed: bool = False, wrong: bool = False) -> None:
    one, other = legs
    one.set_remote((HOSTS[1], 4_000), HOSTS[1])
    other.set_remote((HOSTS[0], 4_000), HOSTS[0])
    fingerprint = one.fingerprint if wrong else other.fingerprint
    one.start_dtls(DtlsPeer(True, fingerprint, is_muxed))
    other.start_dtls(DtlsPeer(False, one.fingerprint, is_muxed))


def assert_carries(wire: Wire, legs: Legs, number: int = 1) -> None:
    for one, other in (legs, legs[::-1]):
        heard: list[bytes] = []
        other.connect(heard.append)
        for packet in (rtp(number), rtcp()):
            wire.seen.clear()
            one.send(packet)
            wire.pump()
            assert packet not in [data for data, *_ in wire.seen]
        assert heard == [rtp(number), rtcp()]


@pytest.mark.parametrize("is_muxed", [False, True])
def test_both_ports_or_one_get_keys_and_carry(wire: Wire, is_muxed: bool) -> None:
    legs = legs_on(wire)
    start(legs, is_muxed=is_muxed)
    wire.pump()
    assert_carries(wire, legs)
    ports = {target[1] for *_, target in wire.seen}
    assert ports == ({4_000} if is_muxed else {4_001})
    assert all(leg.poll_timeout() is None for leg in legs)


def test_nothing_leaves_in_the_clear_before_the_keys(wire: Wire) -> None:
    legs = legs_on(wire)
    start(legs)
    legs[0].send(rtp())
    legs[0].send(rtcp())
    assert rtp() not in [data for data, *_ in wire.waiting]
    legs[0].receive_rtp(rtp(), (HOSTS[1], 4_000))
    assert legs[0].statistics.received == 0


def test_another_certificate_than_the_announced_one_ends_it(wire: Wire) -> None:
    legs = legs_on(wire)
    start(legs, wrong=True)
    wire.pump()
    assert "certificate" in legs[0].lost_reason
    legs[0].send(rtp())
    assert rtp() not in [data for data, *_ in wire.waiting]


def test_what_comes_before_the_description_is_kept_and_used(wire: Wire) -> None:
    one, other = legs_on(wire)
    one.set_remote((HOSTS[1], 4_000), HOSTS[1])
    one.start_dtls(DtlsPeer(True, other.fingerprint, True))
    wire.pump()
    other.set_remote((HOSTS[0], 4_000), HOSTS[0])
    other.start_dtls(DtlsPeer(False, one.fingerprint, True))
    wire.pump()
    assert_carries(wire, (one, other))


def test_only_so_many_are_kept(wire: Wire) -> None:
    one, other = legs_on(wire)
    for number in range(EARLY_DTLS_MAX + 1):
        one.receive_rtp(bytes([22, number]) + bytes(20), (HOSTS[1], 4_000))
    one.set_remote((HOSTS[1], 4_000), HOSTS[1])
    one.start_dtls(DtlsPeer(False, other.fingerprint, True))
    assert one.statistics.refused == 0


def test_lost_flights_are_sent_again(wire: Wire) -> None:
    legs = legs_on(wire)
    wire.lose = 3
    start(legs)
    wire.pump()
    wire.pass_time(legs, 5.0)
    assert_carries(wire, legs)


def test_silence_ends_it_with_a_reason(wire: Wire) -> None:
    legs = legs_on(wire)
    wire.lose = 10_000
    start(legs)
    wire.pump()
    wire.pass_time(legs, DEADLINE_SECONDS + 1.0)
    assert "not answered in time" in legs[0].lost_reason


def test_a_phone_behind_a_nat_is_answered_where_it_sends_from(wire: Wire) -> None:
    one, other = legs_on(wire)
    outside = ("198.51.100.9", 61_000)
    wire.mapped = {(HOSTS[0], 4_000): outside}
    wire.legs[outside] = one.receive_rtp
    one.set_remote((HOSTS[1], 4_000), HOSTS[1])
    other.set_remote(("10.0.0.7", 4_000), "198.51.100.9")
    one.start_dtls(DtlsPeer(True, other.fingerprint, True))
    other.start_dtls(DtlsPeer(False, one.fingerprint, True))
    wire.pump()
    one.send(rtp())
    wire.pump()
    assert_carries(wire, (one, other), 2)


def test_strangers_are_not_listened_to(wire: Wire) -> None:
    legs = legs_on(wire)
    start(legs)
    legs[1].receive_rtp(bytes([22]) + bytes(30), ("203.0.113.9", 4_000))
    legs[1].receive_rtcp(bytes([22]) + bytes(30), ("203.0.113.9", 4_000))
    assert legs[1].statistics.refused == 2
    wire.pump()
    assert_carries(wire, legs)


def test_garbage_in_the_middle_of_it_harms_nothing(wire: Wire) -> None:
    legs = legs_on(wire)
    start(legs)
    for first in (20, 22, 63):
        legs[1].receive_rtp(bytes([first]) + b"\xfe\xfd" + bytes(40), (HOSTS[0], 4_000))
    wire.pump()
    assert_carries(wire, legs)
    legs[1].receive_rtp(bytes([22]) + b"\xfe\xfd" + bytes(40), (HOSTS[0], 4_000))
    assert_carries(wire, legs, 2)


def test_hold_keeps_the_association_and_another_address_makes_a_new_one(wire: Wire) -> None:
    legs = legs_on(wire)
    start(legs)
    wire.pump()
    assert_carries(wire, legs, 1)
    wire.seen.clear()
    start(legs)
    wire.pump()
    assert wire.seen == []
    assert_carries(wire, legs, 2)


def test_a_phone_that_begins_on_hold_begins_later(wire: Wire) -> None:
    legs = legs_on(wire)
    legs[0].start_dtls(DtlsPeer(True, legs[1].fingerprint, False))
    assert wire.waiting == []
    start(legs)
    wire.pump()
    assert_carries(wire, legs)


def test_what_cannot_be_done_is_said(wire: Wire) -> None:
    legs = legs_on(wire)
    legs[0].set_remote((HOSTS[1], 4_000), HOSTS[1])
    with pytest.raises(RemoteError):
        legs[0].start_dtls(DtlsPeer(True, "sha-1 AA", False))
    bare = PhoneLeg(wire.socket(("192.0.2.3", 1)), wire.socket(("192.0.2.3", 2)), now=lambda: 0.0, close=lambda _: None)
    with pytest.raises(LocalError):
        bare.start_dtls(DtlsPeer(True, legs[1].fingerprint, False))
    with pytest.raises(LocalError):
        _ = bare.fingerprint
