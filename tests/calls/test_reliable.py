"""Reliable provisional responses (RFC 3262) on either leg, on trio's virtual clock."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.forking import EARLY_DIALOGS_MAX
from p2psip.calls.reliable import PROVISIONALS_MAX, Receipt, ReliableProvisionals
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.sdp import SessionDescription
from tests.calls.early_steps import EarlyCallee, EarlyCaller, calls
from tests.calls.steps import both, two_nodes
from tests.calls.world import Phone, World, sdp, world
from tests.sip.playbook import request_text

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.9", 5066))


class Sent:
    """Takes what an exchange sends, with the time."""

    def __init__(self) -> None:
        self.log: list[tuple[float, int, str | None]] = []

    def respond(self, key: str, response: Response) -> None:
        self.log.append((trio.current_time(), response.status, response.headers.get("RSeq")))

    def send_again(self, wire: bytes, flow: Flow) -> None: ...

    def cancel(self, key: str) -> None: ...

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        return b""

    def expect_ack(self, exchange: ServerExchange, waiting: bool) -> None: ...

    def repeat(self, *_arguments: object) -> str:
        return ""


def server(headers: str) -> tuple[ReliableProvisionals, Sent, Request]:
    sent = Sent()
    request = parse_message(request_text(headers=headers))
    assert isinstance(request, Request)
    return ReliableProvisionals(ServerExchange("key", request, FLOW, sent), Chance.seeded(3)), sent, request  # type: ignore[arg-type]


def prack(number: str | None, cseq: str = "1 INVITE") -> Request:
    message = parse_message(request_text("PRACK", headers=f"RAck: {number} {cseq}\r\n"))
    assert isinstance(message, Request)
    return message


async def test_a_response_is_repeated_by_t1_doubling_and_the_call_is_given_up_at_64_t1(
    autojump_clock: MockClock,
) -> None:
    provisionals, sent, request = server("Require: 100rel\r\n")
    provisionals.send(make_response(request, 180, to_tag="b"))
    with pytest.raises(RemoteError) as caught:
        await provisionals.run()
    assert caught.value.status == 504
    assert [time for time, _status, _number in sent.log] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert trio.current_time() == 32


async def test_one_at_a_time_numbers_go_up_and_only_a_fitting_prack_counts(autojump_clock: MockClock) -> None:
    provisionals, sent, request = server("Require: 100rel\r\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provisionals.run)
        for status in (183, 180):
            provisionals.send(make_response(request, status, to_tag="b"))
        await trio.sleep(0.1)
        assert [status for _time, status, _number in sent.log] == [183]
        first = sent.log[0][2]
        for wrong in (prack("77"), prack(first, "2 INVITE"), prack(first, "1 BYE")):
            with pytest.raises(RemoteError) as caught:
                provisionals.take(wrong)
            assert caught.value.status == 481
        assert provisionals.take(prack(first)).status == 183
        await trio.sleep(0.1)
        assert [(status, number) for _time, status, number in sent.log] == [
            (183, first),
            (180, str(int(first or 0) + 1)),
        ]
        with pytest.raises(RemoteError):
            provisionals.take(prack(first))
        provisionals.close()


async def test_a_description_holds_the_answer_up_until_it_is_acknowledged(autojump_clock: MockClock) -> None:
    provisionals, sent, request = server("Supported: 100rel\r\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provisionals.run)
        provisionals.send(make_response(request, 180, to_tag="b"))
        provisionals.send(make_response(request, 183, to_tag="b", body=sdp(1), content_type="application/sdp"))
        await trio.sleep(0.1)
        assert [number is None for _time, _status, number in sent.log] == [True, False]
        with trio.move_on_after(1) as waited:
            await provisionals.wait_acknowledged()
        assert waited.cancelled_caught
        assert not provisionals.answered
        provisionals.take(prack(sent.log[1][2]))
        await provisionals.wait_acknowledged()
        assert provisionals.answered
        provisionals.close()


async def test_so_many_wait_and_no_more(autojump_clock: MockClock) -> None:
    provisionals, sent, request = server("Require: 100rel\r\n")
    for status in range(PROVISIONALS_MAX + 1):
        provisionals.send(make_response(request, 180 + status, to_tag="b"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provisionals.run)
        for _ in range(PROVISIONALS_MAX):
            await trio.sleep(0.1)
            provisionals.take(prack(sent.log[-1][2]))
        await trio.sleep(0.1)
        provisionals.close()
    assert [status for _time, status, _number in sent.log] == list(range(180, 180 + PROVISIONALS_MAX))


def test_responses_are_taken_once_and_in_order() -> None:
    _provisionals, _sent, request = server("")
    receipt = Receipt()

    def take(rseq: str | None, require: str = "100rel") -> str:
        headers = [("Require", require)] + ([] if rseq is None else [("RSeq", rseq)])
        try:
            return str(receipt.admit(make_response(request, 183, to_tag="b", headers=headers)))
        except RemoteError:
            return "dropped"

    assert [take("9"), take("9"), take("11"), take("10"), take(None), take("x"), take("5", "other")] == [
        "9 1 INVITE",
        "dropped",
        "dropped",
        "10 1 INVITE",
        "dropped",
        "dropped",
        "None",
    ]


# Through a node


async def two_phones(w: World) -> tuple[Phone, Phone]:
    node = await w.node("alice", "1001")
    return await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)


async def test_each_leg_has_the_extension_or_has_it_not(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await phone.invited()
        assert "100rel" in (invite.request.headers.get("Supported") or "")
        callee = EarlyCallee(phone, invite)
        await callee.say_reliably(180)
        ringing = await outgoing.response(180)
        assert (ringing.headers.get("Require"), ringing.headers.get("RSeq")) == (None, None)
        assert (await both(outgoing.established, lambda: callee.answer(sdp(6101, "0 101")))).dialog


async def test_a_caller_that_requires_it_gets_every_response_reliably(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Require", "100rel"))
        callee = EarlyCallee(phone, await phone.invited())
        callee.say(180)
        ringing = await outgoing.response(180)
        early = EarlyCaller(outgoing, ringing)
        assert (await early.acknowledge(ringing)).status == 200
        assert (await early.acknowledge(ringing)).status == 481
        callee.say(183, sdp(6101, "0 101"))
        progress = await outgoing.response(183)
        assert int(progress.headers.get("RSeq") or 0) == int(ringing.headers.get("RSeq") or 0) + 1
        assert SessionDescription.parse(progress.body).media[0].formats == ("0", "101")
        assert (await early.acknowledge(progress)).status == 200
        w.nursery.start_soon(callee.answer, sdp(6101, "0 101"))
        answer = await outgoing.response(200)
        assert not answer.body, "the offer has its answer"
        await early.established(answer)


async def test_the_answer_waits_for_the_prack_and_a_cancel_meanwhile_ends_the_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Supported", "100rel"))
        callee = EarlyCallee(phone, await phone.invited())
        callee.say(183, sdp(6101, "0 101"))
        await outgoing.response(183)
        w.nursery.start_soon(callee.answer, sdp(6101, "0 101"))
        await trio.sleep(2)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        await callee.dialog.expect("BYE")


async def test_a_caller_that_never_acknowledges_is_refused(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Require", "100rel"))
        invite = await phone.invited()
        phone.ring(invite)
        await outgoing.response(180)
        refusal = await outgoing.response(504)
        assert "never acknowledged" in (refusal.headers.get("Warning") or "")
        await invite.cancelled.wait()


async def test_repeated_and_early_numbers_are_acknowledged_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await caller.call("sip:1001@home.example")
        callee = EarlyCallee(phone, await phone.invited())
        await callee.say_reliably(180)
        for number in (callee.number, callee.number + 2):
            callee.exchange.respond(callee.response(183, rseq=number))
        await trio.sleep(1)
        assert callee.dialog.requests.statistics().current_buffer_used == 0
        await callee.say_reliably(183)
        await outgoing.response(180)


async def test_an_offer_in_a_response_goes_through_and_its_answer_in_prack_too(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Supported", "100rel"), body=b"")
        callee = EarlyCallee(phone, await phone.invited())
        seen: list[Request] = []

        async def offer() -> None:
            seen.append(await callee.say_reliably(183, sdp(6101, "0 8 101")))

        w.nursery.start_soon(offer)
        progress = await outgoing.response(183)
        assert SessionDescription.parse(progress.body).media[0].formats == ("0", "8", "101")
        early = EarlyCaller(outgoing, progress)
        assert (await early.acknowledge(progress, sdp(6001, "8 101"))).status == 200
        await trio.sleep(0.1)
        assert SessionDescription.parse(seen[0].body).media[0].formats == ("8", "101")
        w.nursery.start_soon(callee.answer)
        answer = await outgoing.response(200)
        assert not answer.body
        here = await early.established(answer)
        await trio.sleep(1)
        ack = callee.dialog.ack
        assert ack is not None
        assert not ack.body
        await both(lambda: here.ask("BYE"), lambda: callee.dialog.expect("BYE"))


async def test_a_prack_may_make_an_offer_of_its_own(autojump_clock: MockClock) -> None:
    """RFC 3262 §5: the answer is in its 200. The callee is asked by UPDATE."""
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Supported", "100rel"))
        callee = EarlyCallee(phone, await phone.invited())
        w.nursery.start_soon(callee.say_reliably, 183, sdp(6101, "0 101"))
        progress = await outgoing.response(183)
        await trio.sleep(0.1)
        early = EarlyCaller(outgoing, progress)
        serve = partial(callee.dialog.expect, "UPDATE", body=sdp(6101, "0 101", "recvonly"))
        response = await both(lambda: early.acknowledge(progress, sdp(6001, "0 101", "sendonly")), serve)
        assert response.status == 200
        description = SessionDescription.parse(response.body)
        assert description.direction(description.media[0]) == "recvonly"


async def test_an_offer_that_the_prack_does_not_answer_ends_the_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await calls(caller, "sip:1001@home.example", ("Supported", "100rel"), body=b"")
        callee = EarlyCallee(phone, await phone.invited())
        callee.exchange.respond(callee.response(183, sdp(6101), rseq=1))
        progress = await outgoing.response(183)
        early = EarlyCaller(outgoing, progress)
        assert (await early.acknowledge(progress)).status == 400
        await outgoing.response(488)


async def test_nodes_do_not_use_it_among_themselves(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        outgoing = await calls(alice, "sip:bob@home.example", ("Supported", "100rel"))
        callee = EarlyCallee(bob, await bob.invited())
        await callee.say_reliably(183, sdp(6101, "0 101"))
        progress = await outgoing.response(183)
        assert progress.headers.get("RSeq")
        between = b"".join(data for sip in (a.sip, b.sip) for data, flow in sip.sent if flow.transport == "overlay")
        assert b"100rel" not in between.replace(b"Supported: 100rel, timer", b"")


async def test_so_many_early_dialogs_of_one_place_and_no_more(autojump_clock: MockClock) -> None:
    async with world() as w:
        caller, phone = await two_phones(w)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await phone.invited()
        for number in range(EARLY_DIALOGS_MAX + 1):
            callee = EarlyCallee(phone, invite, f"fork{number}")
            callee.exchange.respond(callee.response(180, rseq=5))
            await trio.sleep(0.1)
            assert callee.dialog.requests.statistics().current_buffer_used == (number < EARLY_DIALOGS_MAX)
        await outgoing.response(180)
