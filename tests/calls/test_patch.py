"""What a call's record says of its media, from legs that are looked at now and then."""

import struct
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from media.legs import LegStatistics
from p2psip.base.chance import Chance
from p2psip.calls.call_log import CallLog
from p2psip.calls.patch import GAP_PACKETS_MAX, EndWatch, Patch
from p2psip.calls.phone_end import PhoneEnd
from tests.calls.fakes import FakeLeg, FakeMedia
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Node, TrioClock, sdp, world


def rtp(number: int, ssrc: int = 7, payload_type: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, number & 0xFFFF, 0, ssrc) + bytes(160)


def feed(leg: FakeLeg, count: int, last: bytes) -> None:
    """As if `count` packets had come, the last of them `last`."""
    statistics = leg.statistics
    if statistics.first_received is None:
        statistics.first_received = TrioClock().now()
    statistics.received += count
    statistics.octets_received += count * len(last)
    statistics.last = last


def facts_of(node: Node, number: int = 1) -> dict[str, Any]:
    facts = node.server.call_facts(number)
    assert facts is not None
    return facts


async def test_a_running_and_a_past_call_say_what_came_and_went(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(0.25)
        phone, node = a.media.legs[:2]
        feed(phone, 1, rtp(1))
        await trio.sleep(10)
        feed(phone, 99, rtp(100))
        feed(node, 50, rtp(50))
        for leg in (phone, node):
            leg.statistics.sent = 100
        media = facts_of(a)["media"]
        assert media["verdict"] == "audio flows both ways"
        caller, callee = media["ends"]
        assert (caller["kind"], caller["received"], caller["octets_received"], caller["missing"]) == (
            "phone",
            100,
            17_200,
            0,
        )
        assert (callee["kind"], callee["path"]["way"], callee["formats"]) == ("node", "direct", ["0", "101"])
        assert caller["first_received"] < caller["last_received"] == callee["last_received"]
        assert media["directions"][0]["first_audio_ms"] == pytest.approx(250, abs=20)
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))
        assert facts_of(a)["media"]["verdict"] == "audio flows both ways"
        assert facts_of(b)["media"]["verdict"].startswith("no audio either way")
        assert a.server.status()["recent"][0]["audio"] == "audio flows both ways"


async def test_a_silent_phone_is_named_on_both_nodes(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(5)
        for node in (a, b):
            feed(node.media.legs[1], 100, rtp(100))
            node.media.legs[0].statistics.sent = 100
        assert "does not hear phone alice: nothing came" in facts_of(a)["media"]["verdict"]
        assert "sends no audio" in facts_of(b)["media"]["verdict"]


async def test_hold_is_seen_and_no_fault(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await both(
            lambda: here.ask("INVITE", body=sdp(6001, "0 101", "sendonly"), content_type="application/sdp"),
            lambda: there.expect("INVITE", body=sdp(6101, "0 101", "recvonly")),
        )
        await trio.sleep(10)
        for leg in a.media.legs:
            feed(leg, 10, rtp(10))
            leg.statistics.sent = 10
        directions = facts_of(a)["media"]["directions"]
        assert [each["state"] for each in directions] == ["flows", "held"]
        assert "phone alice has put the call on hold" in directions[1]["cause"]


async def test_a_local_service_is_an_end_too(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        alice = await w.phone(node, "alice", 6000)
        await (await alice.call("sip:echo@home.example")).established()
        await trio.sleep(5)
        feed(node.media.legs[0], 10, rtp(10))
        node.media.legs[0].statistics.sent = 10
        media = facts_of(node)["media"]
        assert [end["kind"] for end in media["ends"]] == ["phone", "service"]
        assert media["verdict"] == "audio flows both ways"


async def test_calls_that_are_unknown_or_never_connected(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        alice = await w.phone(node, "alice", 6000)
        await (await alice.call("sip:nobody@home.example")).response(404)
        assert facts_of(node)["media"] == {}
        assert node.server.call_facts(2) is None


@pytest.mark.parametrize(
    ("packets", "missing"),
    [
        ([(1, rtp(1)), (100, rtp(101))], 0),
        ([(1, rtp(1)), (90, rtp(101))], 10),
        ([(1, rtp(65_530)), (10, rtp(4))], 0),
        ([(1, rtp(65_530)), (8, rtp(4))], 2),
        ([(1, rtp(1)), (90, rtp(101, ssrc=8)), (10, rtp(111, ssrc=8))], 0),
        ([(1, rtp(1)), (1, rtp(2 + GAP_PACKETS_MAX))], GAP_PACKETS_MAX),
        ([(1, rtp(1)), (1, rtp(3 + GAP_PACKETS_MAX))], 0),
        ([(1, rtp(100)), (2, rtp(99))], 0),
        ([(1, rtp(1)), (5, b"\x80\xc9" + bytes(20)), (5, rtp(13))], 2),
        ([(1, b"")], 0),
    ],
)
async def test_gaps_are_counted_from_looks_at_the_last_packet(packets: list[tuple[int, bytes]], missing: int) -> None:
    end = PhoneEnd(FakeMedia(), Chance.seeded(1), signalling_host="127.0.0.1", host=None)
    leg = end.leg
    assert isinstance(leg, FakeLeg)
    watch = EndWatch("phone", leg, end, TrioClock())
    for count, last in packets:
        feed(leg, count, last)
        watch.sample()
    assert watch.facts().missing == missing


async def test_joining_another_leg_parts_the_first() -> None:
    legs = [FakeLeg(number) for number in range(3)]
    clock = TrioClock()
    watches = [EndWatch("end", leg, None, clock) for leg in legs]
    patch = Patch(CallLog().open("a", "b", 0.0), clock)
    patch.join(watches[0], watches[1])
    patch.join(watches[0], watches[1])
    patch.join(watches[0], watches[2])
    assert legs[1].sink is None
    assert legs[0].sink == legs[2].send
    patch.part()
    patch.part()
    assert legs[0].sink is None
    assert LegStatistics() == legs[0].statistics
