"""Digits by INFO: how they are read, whom they reach as telephone events, and whom as INFO."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from media.dtmf import TelephoneEvent
from media.legs import LegStatistics, Sink
from media.rtp import RtpPacket
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.calls.digits import (
    PLAIN_TYPE,
    PRESS_SECONDS,
    PRESS_SECONDS_MAX,
    PRESS_SECONDS_MIN,
    RELAY_TYPE,
    WAITING_MAX,
    EventFormat,
    Keypad,
    Press,
)
from p2psip.sip.headers import Headers
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import sdp, world

FORM = EventFormat(101, 8_000)


def info(body: bytes, content_type: str) -> Request:
    return Request("INFO", SipUri.parse("sip:a@b"), Headers([("Content-Type", content_type)]), body)


@pytest.mark.parametrize(
    ("body", "content_type", "press"),
    [
        (b"Signal=5\r\nDuration=200\r\n", RELAY_TYPE, Press("5", 0.2)),
        (b"Signal= #\nDuration= 100", RELAY_TYPE, Press("#", 0.1)),
        (b"signal=10", RELAY_TYPE, Press("*", PRESS_SECONDS)),
        (b"Signal=12\r\nDuration=1", RELAY_TYPE, Press("A", PRESS_SECONDS_MIN)),
        (b"Signal=d\r\nDuration=999999", RELAY_TYPE, Press("D", PRESS_SECONDS_MAX)),
        (b"7\r\n", PLAIN_TYPE, Press("7")),
        (b"11", "Application/DTMF; charset=utf-8", Press("#")),
        (b"16", PLAIN_TYPE, None),
        (b"Signal=!", RELAY_TYPE, None),
        (b"", RELAY_TYPE, None),
        (b"5", "text/plain", None),
    ],
)
def test_presses_as_phones_write_them(body: bytes, content_type: str, press: Press | None) -> None:
    assert Press.parse(info(body, content_type)) == press


@given(st.binary(max_size=300), st.sampled_from([RELAY_TYPE, PLAIN_TYPE]))
def test_any_body_is_a_press_or_none(body: bytes, content_type: str) -> None:
    press = Press.parse(info(body, content_type))
    assert press is None or PRESS_SECONDS_MIN <= press.seconds <= PRESS_SECONDS_MAX


def audio(*rtpmaps: str, formats: tuple[str, ...] = ("0", "101"), direction: str = "sendrecv") -> Audio:
    return Audio(formats, tuple(("rtpmap", each) for each in rtpmaps), direction)


@pytest.mark.parametrize(
    ("heard", "form"),
    [
        (audio("101 telephone-event/8000"), FORM),
        (audio("111 opus/48000/2", "96 telephone-event/8000", "97 telephone-event/48000", formats=("111", "96", "97")),
         EventFormat(97, 48_000)),
        (audio("101 telephone-event/8000", formats=("0",)), None),
        (audio("101 telephone-event/8000", direction="recvonly"), FORM),
        (audio("101 telephone-event/8000", direction="sendonly"), None),
        (audio("101 telephone-event/16000"), None),
        (audio("101 telephone-event/x", "102"), None),
        (audio("\N{SUPERSCRIPT TWO} telephone-event/8000", formats=("0", "\N{SUPERSCRIPT TWO}")), None),
        (audio(f"101 telephone-event/{'9' * 5_000}"), None),
        (None, None),
    ],
)  # fmt: skip
def test_who_takes_events(heard: Audio | None, form: EventFormat | None) -> None:
    assert EventFormat.of(heard) == form


class Leg:
    """A stream that a test feeds."""

    def __init__(self) -> None:
        self.statistics = LegStatistics()
        self.sink: Sink | None = None
        self.number = 0

    def connect(self, sink: Sink | None) -> None:
        self.sink = sink

    def say(self) -> None:
        self.number += 1
        self.statistics.last = RtpPacket(0, False, self.number, 160 * self.number, 7, b"x" * 160).to_bytes()
        if self.sink is not None:
            self.sink(self.statistics.last)


def events(packets: list[bytes]) -> list[TelephoneEvent]:
    return [TelephoneEvent.parse(each.payload) for each in map(RtpPacket.parse, packets) if each.payload_type == 101]


async def test_presses_take_the_place_of_audio_one_after_the_other(autojump_clock: MockClock) -> None:
    leg, keypad, heard = Leg(), Keypad(Chance.seeded(1)), []
    leg.connect(heard.append)

    async def speak() -> None:
        while True:
            leg.say()
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        for digit in "123456":
            keypad.begin(Press(digit, 0.1), leg, heard.append, FORM, nursery)
        await trio.sleep(2.0)
        nursery.cancel_scope.cancel()
    packets = [RtpPacket.parse(each) for each in heard]
    assert [each.sequence for each in packets] == list(range(1, len(packets) + 1)), "no number is missing or said twice"
    found = events(heard)
    assert [each.digit for each in found if each.end] == list("111222333444555666")
    assert all(each.duration == 800 for each in found if each.end)
    assert leg.sink == heard.append


async def test_a_silent_stream_gets_packets_of_its_own(autojump_clock: MockClock) -> None:
    leg, keypad, heard = Leg(), Keypad(Chance.seeded(1)), []
    for _ in range(3):
        leg.say()
    async with trio.open_nursery() as nursery:
        keypad.begin(Press("9", 0.1), leg, heard.append, FORM, nursery)
    packets = [RtpPacket.parse(each) for each in heard]
    assert [each.sequence for each in packets] == list(range(4, 4 + len(packets)))
    assert {(each.ssrc, each.timestamp) for each in packets} == {(7, 640)}
    assert [each.end for each in events(heard)].count(True) == 3


async def test_two_presses_in_silence_repeat_no_number(autojump_clock: MockClock) -> None:
    leg, keypad, heard = Leg(), Keypad(Chance.seeded(1)), []
    for digit in "5#":
        async with trio.open_nursery() as nursery:
            keypad.begin(Press(digit, 0.1), leg, heard.append, FORM, nursery)
    packets = [RtpPacket.parse(each) for each in heard]
    assert [each.sequence for each in packets] == list(range(1, len(packets) + 1))
    assert len({each.ssrc for each in packets}) == 1
    assert sorted({each.timestamp for each in packets}) == [160, 160 + 800 + 160]
    assert [each.digit for each in events(heard) if each.end] == list("555###")


async def test_a_bridge_that_is_made_anew_meanwhile_stays(autojump_clock: MockClock) -> None:
    leg, keypad, heard, other = Leg(), Keypad(Chance.seeded(1)), [], []
    async with trio.open_nursery() as nursery:
        keypad.begin(Press("9", 0.1), leg, heard.append, FORM, nursery)
        await trio.sleep(0.01)
        leg.connect(other.append)
    assert leg.sink == other.append


async def test_only_so_many_presses_wait(autojump_clock: MockClock) -> None:
    leg, keypad, heard = Leg(), Keypad(Chance.seeded(1)), []
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING_MAX):
            keypad.begin(Press("9", 0.1), leg, heard.append, FORM, nursery)
        with pytest.raises(RemoteError):
            keypad.begin(Press("9", 0.1), leg, heard.append, FORM, nursery)
    assert len([each for each in events(heard) if each.end]) == 3 * WAITING_MAX
    async with trio.open_nursery() as nursery:
        keypad.begin(Press("8", 0.1), leg, heard.append, FORM, nursery)
    assert events(heard)[-1].digit == "8", "it goes on"


async def test_info_becomes_events_for_a_phone_that_takes_them(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        here, _there = await connect(alice, bob, "sip:bob@home.example")
        response = await here.ask("INFO", body=b"Signal=5\r\nDuration=100", content_type=RELAY_TYPE)
        assert response.status == 200
        await trio.sleep(1.0)
        assert [each.digit for each in events(a.media.legs[1].packets) if each.end] == ["5", "5", "5"]
        with trio.move_on_after(0):
            raise AssertionError(f"bob was asked {await bob.sip.incoming.receive()}")


async def test_info_passes_to_a_phone_that_takes_none(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()

        async def answer() -> None:
            there = await bob.answer(invite, body=sdp(6101, "0"))
            request = await there.expect("INFO")
            assert request.body == b"Signal=5\r\nDuration=100"

        async def ask() -> int:
            here = await outgoing.established()
            return (await here.ask("INFO", body=b"Signal=5\r\nDuration=100", content_type=RELAY_TYPE)).status

        assert await both(ask, answer) == 200


async def test_infos_said_at_once_pass_in_the_order_in_which_they_were_said(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        digits = "1234567890"
        heard: list[bytes] = []

        async def answer() -> None:
            there = await bob.answer(invite, body=sdp(6101, "0"))
            heard.extend([(await there.expect("INFO")).body for _ in digits])

        async def ask() -> None:
            here = await outgoing.established()
            asked = [here.dialog.request("INFO", body=each.encode(), content_type=PLAIN_TYPE) for each in digits]
            exchanges = [alice.sip.start(request, alice.flow) for request in asked]
            for exchange in exchanges:
                assert (await exchange.final_response()).status == 200

        await both(ask, answer)
        assert heard == [each.encode() for each in digits]
