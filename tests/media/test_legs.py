"""Symmetric RTP that latches once, and bridges that change nothing of what they carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs import Bridge, Latch, LegStatistics, Sink
from media.rtp import RtpPacket
from p2psip.base.core import Address

INSIDE: Address = ("10.0.0.5", 4_000)
PHONE: Address = ("198.51.100.7", 61_000)
STRANGER: Address = ("203.0.113.9", 4_000)
SIGNALLING = "198.51.100.7"


class Ear:
    """A leg that keeps what it is sent."""

    def __init__(self) -> None:
        self.statistics = LegStatistics()
        self.sink: Sink | None = None
        self.heard: list[bytes] = []

    def connect(self, sink: Sink | None) -> None:
        self.sink = sink

    def send(self, packet: bytes) -> None:
        self.heard.append(packet)

    def close(self) -> None:
        self.sink = None

    def say(self, packet: bytes) -> None:
        """As if `packet` had been received here."""
        if self.sink is not None:
            self.sink(packet)


@pytest.fixture
def latch() -> Latch:
    """One that was aimed at a phone behind a NAT."""
    latch = Latch()
    latch.aim(INSIDE, SIGNALLING)
    return latch


def test_nobody_is_believed_before_a_description() -> None:
    latch = Latch()
    assert not latch.admit(PHONE)
    assert latch.target is None


def test_media_goes_to_the_announced_address_until_a_packet_comes(latch: Latch) -> None:
    assert latch.target == INSIDE
    assert latch.admit(PHONE)
    assert latch.target == PHONE


@pytest.mark.parametrize("source", [INSIDE, (INSIDE[0], 9), PHONE, (SIGNALLING, 9)])
def test_the_announced_and_the_signalling_host_may_latch(latch: Latch, source: Address) -> None:
    assert latch.admit(source)
    assert latch.admit(source)
    assert latch.target == source


def test_a_stranger_never_latches(latch: Latch) -> None:
    assert not latch.admit(STRANGER)
    assert latch.target == INSIDE
    assert latch.admit(PHONE)


@pytest.mark.parametrize("second", [STRANGER, INSIDE, (PHONE[0], PHONE[1] + 2)])
def test_a_second_source_is_refused(latch: Latch, second: Address) -> None:
    assert latch.admit(PHONE)
    assert not latch.admit(second)
    assert latch.target == PHONE
    assert latch.admit(PHONE)


def test_the_same_description_again_keeps_what_was_learnt(latch: Latch) -> None:
    assert latch.admit(PHONE)
    latch.aim(INSIDE, SIGNALLING)
    assert latch.target == PHONE
    assert not latch.admit((PHONE[0], 9))


def test_a_new_description_latches_anew(latch: Latch) -> None:
    assert latch.admit(PHONE)
    moved = (INSIDE[0], INSIDE[1] + 2)
    latch.aim(moved, SIGNALLING)
    assert latch.target == moved
    assert latch.admit((PHONE[0], 9))
    assert not latch.admit(PHONE)


def test_a_description_of_the_learnt_address_keeps_it(latch: Latch) -> None:
    assert latch.admit(PHONE)
    latch.aim(PHONE, SIGNALLING)
    assert latch.target == PHONE
    assert not latch.admit((PHONE[0], 9))


@given(st.lists(st.tuples(st.sampled_from([INSIDE[0], SIGNALLING, STRANGER[0]]), st.integers(1, 5)), max_size=20))
def test_of_any_packets_one_address_gets_through(sources: list[Address]) -> None:
    latch = Latch()
    latch.aim(INSIDE, SIGNALLING)
    admitted = [source for source in sources if latch.admit(source)]
    assert len(set(admitted)) <= 1
    assert STRANGER[0] not in {host for host, _ in admitted}


@given(st.binary(max_size=300))
def test_a_bridge_changes_nothing(payload: bytes) -> None:
    left, right = Ear(), Ear()
    Bridge(left, right)
    packet = RtpPacket(101, True, 65_535, 0xFFFFFFFF, 0xDEADBEEF, payload).to_bytes()
    left.say(packet)
    right.say(packet[::-1])
    assert right.heard == [packet]
    assert left.heard == [packet[::-1]]


def test_a_closed_bridge_carries_nothing_and_the_legs_live_on() -> None:
    left, right = Ear(), Ear()
    bridge = Bridge(left, right)
    bridge.close()
    left.say(b"1")
    right.say(b"2")
    assert left.heard == right.heard == []
    Bridge(left, right)
    left.say(b"3")
    assert right.heard == [b"3"]


def test_closing_twice_leaves_a_later_bridge_alone() -> None:
    left, right, other = Ear(), Ear(), Ear()
    first = Bridge(left, right)
    first.close()
    Bridge(left, other)
    first.close()
    left.say(b"1")
    assert other.heard == [b"1"]


def test_rebinding_moves_the_left_leg_to_another() -> None:
    left, right, other = Ear(), Ear(), Ear()
    bridge = Bridge(left, right)
    bridge.rebind(other)
    left.say(b"1")
    other.say(b"2")
    right.say(b"3")
    assert (left.heard, right.heard, other.heard) == ([b"2"], [], [b"1"])
    bridge.close()
    left.say(b"4")
    assert other.heard == [b"1"]
    bridge.rebind(right)
    left.say(b"5")
    assert right.heard == []
