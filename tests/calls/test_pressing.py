"""Digits that come as telephone events, for a phone that takes INFO only: each key once, in order, as long as it was held."""

import pytest
import trio
from trio.testing import MockClock

from media.dtmf import digit_payloads
from media.rtp import RtpPacket
from p2psip.calls.descriptions import Audio
from p2psip.calls.digits import RELAY_TYPE, Press
from p2psip.calls.pressing import event_types, with_events
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.sdp import SessionDescription
from tests.calls.fakes import FakeLeg
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Established, Node, Phone, World, sdp, world

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO"


def presses(digits: str, *, payload_type: int = 101, ssrc: int = 7) -> list[bytes]:
    """The packets of presses of 0.1 s, each of them 0.2 s after the one before."""
    packets = []
    for number, digit in enumerate(digits):
        for index, event in enumerate(digit_payloads(digit, 4)):
            packet = RtpPacket(
                payload_type, not index, 100 * number + index, 1_600 * (number + 1), ssrc, event.to_bytes()
            )
            packets.append(packet.to_bytes())
    return packets


def speech(number: int) -> bytes:
    return RtpPacket(0, False, number, 160 * number, 7, b"x" * 160).to_bytes()


async def answer_with(bob: Phone, exchange: ServerExchange, body: bytes, allow: str = ALLOW) -> Established:
    """bob's phone answers, and says what it serves."""
    response = make_response(
        exchange.request, 200, to_tag="bob", headers=[("Contact", bob.contact), ("Allow", allow)],
        body=body, content_type="application/sdp",
    )  # fmt: skip
    established = Established(bob, Dialog.of_server(exchange.request, response, bob.contact))
    established.ack = await exchange.accept(response)
    return established


class Stage:
    """alice, whose phone says digits as events, in a call with bob, whose phone takes none."""

    def __init__(self, a: Node, b: Node, alice: Phone, here: Established, there: Established, answer: bytes) -> None:
        self.a, self.b, self.alice = a, b, alice
        self.here, self.there = here, there
        self.answer = answer
        self.infos: list[tuple[str, int]] = []

    @property
    def hears(self) -> FakeLeg:
        """The leg of bob's node towards alice's."""
        return self.b.media.legs[0]

    @property
    def speaks(self) -> FakeLeg:
        """The leg towards bob's phone."""
        return self.b.media.legs[1]

    def say(self, *packets: bytes) -> None:
        for packet in packets:
            assert self.hears.sink is not None
            self.hears.sink(packet)

    async def serve(self, status: int = 200) -> None:
        """bob's phone takes INFO, and is held."""
        async for exchange in self.there.requests:
            if exchange.request.method == "INVITE":
                held, contact = sdp(6101, "0", "recvonly"), [("Contact", self.there.phone.contact)]
                ok = make_response(exchange.request, 200, headers=contact, body=held, content_type="application/sdp")
                await exchange.accept(ok)
                continue
            assert exchange.request.content_type == RELAY_TYPE
            press = Press.parse(exchange.request)
            assert press is not None
            self.infos.append((press.digit, round(press.seconds * 1_000)))
            exchange.respond(make_response(exchange.request, status))


async def stage(w: World, answer: bytes = sdp(6101, "0"), allow: str = ALLOW) -> Stage:
    a, b, alice, bob = await two_nodes(w)
    outgoing = await alice.call("sip:bob@home.example")
    invite = await bob.invited()
    there: list[Established] = []

    async def pick_up() -> None:
        there.append(await answer_with(bob, invite, answer, allow))

    here = await both(outgoing.established, pick_up)
    await trio.sleep(0.1)
    return Stage(a, b, alice, here, there[0], outgoing.answer)


def formats(body: bytes) -> tuple[str, ...]:
    return SessionDescription.parse(body).media[0].formats


async def test_events_become_info_and_speech_passes(autojump_clock: MockClock) -> None:
    async with world() as w:
        s = await stage(w)
        w.nursery.start_soon(s.serve)
        assert formats(s.answer) == ("0", "101"), "alice's phone is told that events are taken"
        assert b"telephone-event/8000" in s.answer
        s.say(speech(1), *presses("5"), speech(2))
        await trio.sleep(0.1)
        assert s.infos == [("5", 100)], "at its end, and not when silence has shown that it is over"
        assert s.speaks.packets == [speech(1), speech(2)]
        s.say(*presses("5"))
        await trio.sleep(1)
        assert s.infos == [("5", 100)], "the same packets again are no other press"


async def test_ends_may_be_lost_and_every_digit_comes_once_and_in_order(autojump_clock: MockClock) -> None:
    async with world() as w:
        s = await stage(w)
        w.nursery.start_soon(s.serve)
        for number, packet in enumerate(presses("1122#*AD")):
            if number % 7 < 4:  # the growing ones only
                s.say(packet)
                await trio.sleep(0.02)
        await trio.sleep(1)
        assert [digit for digit, _milliseconds in s.infos] == list("1122#*AD")
        assert {milliseconds for _digit, milliseconds in s.infos} == {80}


async def test_a_phone_that_does_not_answer_is_asked_on(autojump_clock: MockClock) -> None:
    async with world() as w:
        s = await stage(w)
        s.say(*presses("1"))
        await trio.sleep(60)  # nobody answers the first one
        w.nursery.start_soon(s.serve)
        s.say(*presses("23", ssrc=8))
        await trio.sleep(1)
        assert [digit for digit, _milliseconds in s.infos] == list("123")


async def test_a_phone_that_refuses_info_hears_the_stream_as_it_is_from_then_on(autojump_clock: MockClock) -> None:
    async with world() as w:
        s = await stage(w)
        w.nursery.start_soon(s.serve, 415)
        s.say(*presses("1"))
        await trio.sleep(1)
        s.say(*presses("2", ssrc=8))
        await trio.sleep(1)
        assert s.infos == [("1", 100)]
        assert s.speaks.packets == presses("2", ssrc=8)
        hold = sdp(6001, "0 101", "sendonly")
        assert (await s.here.ask("INVITE", body=hold, content_type="application/sdp")).status == 200
        s.say(*presses("3", ssrc=9))
        assert s.speaks.packets[-7:] == presses("3", ssrc=9)


@pytest.mark.parametrize(
    ("answer", "allow"),
    [(sdp(6101, "0 101"), ALLOW), (sdp(6101, "0"), "INVITE, ACK, BYE, CANCEL")],
    ids=["takes events", "takes neither"],
)
async def test_who_takes_events_or_no_info_hears_the_stream_as_it_is(
    autojump_clock: MockClock, answer: bytes, allow: str
) -> None:
    async with world() as w:
        s = await stage(w, answer, allow)
        assert formats(s.answer) == formats(answer)
        s.say(*presses("5"))
        await trio.sleep(1)
        assert s.speaks.packets == presses("5")
        assert s.there.requests.statistics().current_buffer_used == 0


async def test_it_begins_and_ends_with_changes_of_the_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        s = await stage(w)
        for said, heard, is_taken_out in (("0 101", "0", True), ("0 8 101", "0 101", False), ("8 101", "8", True)):
            answers = sdp(6101, heard, host="127.0.0.1")
            hold = sdp(6001, said)
            w.nursery.start_soon(s.there.expect, "INVITE", 200, answers)
            response = await s.here.ask("INVITE", body=hold, content_type="application/sdp")
            assert formats(response.body)[-1] == "101"
            await trio.sleep(0.1)
            s.speaks.packets.clear()
            s.say(*presses("7", ssrc=len(said) + int(heard[0])))
            assert (s.speaks.packets == []) is is_taken_out
            if is_taken_out:
                await s.there.expect("INFO")


async def test_two_phones_of_one_node_and_the_callers_side_too(autojump_clock: MockClock) -> None:
    """The caller lists INFO and offers no events: what the callee says as events all the same reaches it."""
    async with world() as w:
        a = await w.node("alice", "1001")
        alice, bob = await w.phone(a, "alice", 6000), await w.phone(a, "alice-2", 6100)
        request = alice.invitation("sip:1001@home.example", sdp(6001, "0"))
        request.headers.add("Allow", ALLOW)
        alice.invitation = lambda *_more, **_others: request.copy()  # type: ignore[method-assign]
        here, _there = await connect(alice, bob, "sip:1001@home.example")
        await trio.sleep(0.1)
        sink = a.media.legs[1].sink
        assert sink is not None
        for packet in presses("9"):
            sink(packet)
        assert Press.parse(await here.expect("INFO")) == Press("9", 0.1)


async def test_what_is_told_before_the_answer_has_the_events_too(autojump_clock: MockClock) -> None:
    """A caller takes the first description for the answer, and passes over that of the 200 (RFC 3261 §13.2.1)."""
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        invite.respond(
            make_response(
                invite.request, 183, to_tag="bob", headers=[("Contact", bob.contact), ("Allow", ALLOW)],
                body=sdp(6101, "0"), content_type="application/sdp",
            )
        )  # fmt: skip
        early = await outgoing.response(183)
        assert formats(early.body) == ("0", "101")
        await both(outgoing.established, lambda: answer_with(bob, invite, sdp(6101, "0")))
        assert formats(outgoing.answer) == ("0", "101")


async def test_an_answer_that_comes_after_the_bye_begins_nothing(autojump_clock: MockClock) -> None:
    """The ACK of a call without an offer has the answer, and may be overtaken by the BYE."""
    async with world() as w:
        a = await w.node("alice", "1001")
        alice, bob = await w.phone(a, "alice", 6000), await w.phone(a, "alice-2", 6100)
        request = alice.invitation("sip:1001@home.example", b"")
        request.headers.add("Allow", ALLOW)
        alice.invitation = lambda *_more, **_others: request.copy()  # type: ignore[method-assign]
        outgoing = await alice.call("sip:1001@home.example")
        invite = await bob.invited()
        ok = make_response(
            invite.request, 200, to_tag="bob", headers=[("Contact", bob.contact)], body=sdp(6101),
            content_type="application/sdp",
        )  # fmt: skip
        there = Established(bob, Dialog.of_server(invite.request, ok, bob.contact))
        w.nursery.start_soon(invite.accept, ok)
        response = await outgoing.response(200)
        dialog = Dialog.of_client(outgoing.request, response, alice.contact)
        here = Established(alice, dialog)
        assert (await here.ask("BYE")).status == 200
        ack = dialog.acknowledge(outgoing.request.cseq.number, body=sdp(6001, "0"), content_type="application/sdp")
        outgoing.exchange.acknowledge(response, ack)
        await trio.sleep(1)
        await there.expect("BYE")
        await trio.sleep(1)
        assert a.server.failures == 0
        assert not list(a.server.standing)


@pytest.mark.parametrize(
    ("said", "types"),
    [
        (None, {101: 8_000}),
        (Audio(("0",)), {101: 8_000}),
        (Audio(("0", "101"), (("rtpmap", "101 opus/48000"),)), {}),
        (Audio(("0", "96"), (("rtpmap", "96 telephone-event/8000"),)), {96: 8_000, 101: 8_000}),
    ],
)
def test_what_counts_as_an_event(said: Audio | None, types: dict[int, int]) -> None:
    heard = Audio(("0", "101"), (("rtpmap", "101 telephone-event/8000"),))
    assert event_types(said, heard) == types


class Bob:
    """A phone that takes INFO."""

    class end:
        kind = "phone"

    @staticmethod
    def allows(_method: str) -> bool:
        return True


def test_events_have_the_clock_of_what_is_spoken() -> None:
    maps = ("111 opus/48000/2", "96 telephone-event/48000", "97 telephone-event/8000")
    offer = Audio(("111", "0", "96", "97"), tuple(("rtpmap", each) for each in maps))
    for spoken, number in (("0", "97"), ("111", "96")):
        kept = tuple(pair for pair in offer.attributes if pair[1].startswith("111"))
        answer = Audio((spoken,), kept if spoken == "111" else ())
        assert with_events(answer, offer, Bob).formats == (spoken, number)  # type: ignore[arg-type]


def test_an_answer_that_has_the_payload_type_for_something_else_stays() -> None:
    offer = Audio(("0", "101"), (("rtpmap", "101 telephone-event/8000"),))
    answer = Audio(("0", "101"), (("rtpmap", "101 opus/48000"),))
    assert with_events(answer, offer, Bob) is answer  # type: ignore[arg-type]
