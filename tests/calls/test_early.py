"""Requests in early dialogs of either leg, and what the caller hears of several places (RFC 3311, RFC 3960)."""

from functools import partial

import trio
from trio.testing import MockClock

from p2psip.sip.message import Request, Response
from p2psip.sip.sdp import SessionDescription
from tests.calls.early_steps import EarlyCallee, EarlyCaller, calls
from tests.calls.steps import both, two_nodes
from tests.calls.world import Outgoing, Phone, World, sdp, world

SDP_TYPE = "application/sdp"
RELIABLE = (("Supported", "100rel"), ("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"))


def direction(body: bytes) -> str:
    description = SessionDescription.parse(body)
    return description.direction(description.media[0])


def formats(body: bytes) -> tuple[str, ...]:
    return SessionDescription.parse(body).media[0].formats


class Ringing:
    """alice calls her second phone, which has described itself reliably before it answers."""

    def __init__(self, caller: EarlyCaller, callee: EarlyCallee, outgoing: Outgoing) -> None:
        self.caller, self.callee, self.outgoing = caller, callee, outgoing


async def ring(w: World) -> Ringing:
    node = await w.node("alice", "1001")
    caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
    outgoing = await calls(caller, "sip:1001@home.example", *RELIABLE)
    callee = EarlyCallee(phone, await phone.invited())
    w.nursery.start_soon(callee.say_reliably, 183, sdp(6101, "0 101"))
    progress = await outgoing.response(183)
    early = EarlyCaller(outgoing, progress)
    assert (await early.acknowledge(progress)).status == 200
    return Ringing(early, callee, outgoing)


async def test_an_update_with_an_offer_is_passed_before_the_answer_either_way(autojump_clock: MockClock) -> None:
    async with world() as w:
        r = await ring(w)
        for asks, serves in ((r.caller.dialog, r.callee.dialog), (r.callee.dialog, r.caller.dialog)):
            response = await both(
                partial(asks.ask, "UPDATE", body=sdp(6009, "0 101", "sendonly"), content_type=SDP_TYPE),
                partial(serves.expect, "UPDATE", body=sdp(6109, "0 101", "recvonly")),
            )
            assert (response.status, direction(response.body)) == (200, "recvonly")
        w.nursery.start_soon(r.callee.answer)
        answer = await r.outgoing.response(200)
        here = await r.caller.established(answer)
        await trio.sleep(1)
        await both(lambda: here.ask("BYE"), lambda: r.callee.dialog.expect("BYE"))


async def test_updates_that_cross_are_refused_with_491_and_a_second_one_with_500(autojump_clock: MockClock) -> None:
    async with world() as w:
        r = await ring(w)
        change = partial(r.caller.dialog.ask, "UPDATE", body=sdp(6009, "0 101", "sendonly"), content_type=SDP_TYPE)
        w.nursery.start_soon(change)
        waiting = await r.callee.dialog.requests.receive()
        assert waiting.request.method == "UPDATE"
        crossing = await r.callee.dialog.ask("UPDATE", body=sdp(6109, "0"), content_type=SDP_TYPE)
        assert crossing.status == 491
        second = await change()
        assert (second.status, second.headers.get("Retry-After")) == (500, "5")


async def test_before_the_first_answer_no_offer_is_taken(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await calls(caller, "sip:1001@home.example", *RELIABLE)
        callee = EarlyCallee(phone, await phone.invited())
        callee.say(180)
        early = EarlyCaller(outgoing, await outgoing.response(180))
        offer = partial(early.dialog.ask, "UPDATE", body=sdp(6009), content_type=SDP_TYPE)
        assert (await offer()).status == 500
        assert (await callee.dialog.ask("UPDATE", body=sdp(6109), content_type=SDP_TYPE)).status == 491
        for dialog in (early.dialog, callee.dialog):
            assert (await dialog.ask("UPDATE")).status == 200
            assert (await dialog.ask("OPTIONS")).status == 200
            assert (await dialog.ask("NONSENSE")).status == 405
            assert (await dialog.ask("UPDATE", body=b"x", content_type="text/plain")).status == 415
            assert (await dialog.ask("UPDATE", headers=[("Require", "nonsense")])).status == 420
        assert (await early.dialog.ask("INVITE", body=sdp(6009), content_type=SDP_TYPE)).status == 500
        assert (await callee.dialog.ask("INVITE", body=sdp(6109), content_type=SDP_TYPE)).status == 491
        assert (await callee.dialog.ask("BYE")).status == 403
        assert (await callee.dialog.ask("PRACK", headers=[("RAck", "1 1 INVITE")])).status == 481


async def test_this_node_answers_for_a_phone_that_knows_no_update_and_tells_it_once_it_has_answered(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await calls(caller, "sip:1001@home.example", *RELIABLE)
        callee = EarlyCallee(phone, await phone.invited())
        callee.headers[1] = ("Allow", "INVITE, ACK, CANCEL, BYE")
        callee.say(183, sdp(6101, "0 101"))
        progress = await outgoing.response(183)
        early = EarlyCaller(outgoing, progress)
        await early.acknowledge(progress)
        held = await early.dialog.ask("UPDATE", body=sdp(6001, "0 8 101", "sendonly"), content_type=SDP_TYPE)
        assert (held.status, direction(held.body), formats(held.body)) == (200, "recvonly", ("0", "101"))
        other = await early.dialog.ask("UPDATE", body=sdp(6001, "3", "sendonly"), content_type=SDP_TYPE)
        assert other.status == 488
        w.nursery.start_soon(callee.answer, sdp(6101, "0 101"))
        await early.established(await outgoing.response(200))
        change = await callee.dialog.expect("INVITE", body=sdp(6101, "0 101", "recvonly"))
        assert direction(change.body) == "sendonly"


async def test_a_callee_that_changes_its_mind_across_nodes_is_answered_and_the_caller_hears_the_last_word(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        callee = EarlyCallee(bob, await bob.invited())
        await callee.say_reliably(183, sdp(6101, "0 101"))
        await outgoing.response(183)
        held = await callee.dialog.ask("UPDATE", body=sdp(6101, "0 101", "sendonly"), content_type=SDP_TYPE)
        assert (held.status, direction(held.body)) == (200, "recvonly")
        w.nursery.start_soon(callee.answer)
        answer = await outgoing.response(200)
        assert direction(answer.body) == "sendonly"
        await trio.sleep(1)
        assert callee.dialog.requests.statistics().current_buffer_used == 0


async def test_a_callee_that_changes_its_mind_is_told_to_a_caller_that_has_its_answer(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await calls(caller, "sip:1001@home.example", ("Supported", "100rel"))
        callee = EarlyCallee(phone, await phone.invited())
        w.nursery.start_soon(callee.say_reliably, 183, sdp(6101, "0 101"))
        progress = await outgoing.response(183)
        early = EarlyCaller(outgoing, progress)
        await early.acknowledge(progress)
        held = await callee.dialog.ask("UPDATE", body=sdp(6101, "0 101", "sendonly"), content_type=SDP_TYPE)
        assert (held.status, direction(held.body)) == (200, "recvonly")
        w.nursery.start_soon(callee.answer)
        here = await early.established(await outgoing.response(200))
        await here.expect("INVITE", 491)
        change = await here.expect("INVITE", body=sdp(6001, "0 101", "recvonly"))
        assert direction(change.body) == "sendonly"


async def test_what_is_said_before_the_answer_reaches_who_is_heard(autojump_clock: MockClock) -> None:
    async with world() as w:
        r = await ring(w)
        seen: list[Request] = []

        async def expect() -> None:
            seen.append(await r.callee.dialog.expect("INFO"))

        told = partial(r.caller.dialog.ask, "INFO", body=b"<caller/>", content_type="application/xml")
        assert (await both(told, expect)).status == 200
        assert seen[0].body == b"<caller/>"


async def test_a_caller_may_give_up_with_bye(autojump_clock: MockClock) -> None:
    async with world() as w:
        r = await ring(w)
        assert (await r.caller.dialog.ask("BYE")).status == 200
        await r.outgoing.response(487)
        await r.callee.exchange.cancelled.wait()


# Early media


class Places:
    """alice calls a person whose three phones ring."""

    def __init__(self, outgoing: Outgoing, callees: list[EarlyCallee], legs: list[object]) -> None:
        self.outgoing, self.callees, self.legs = outgoing, callees, legs

    def heard(self) -> object:
        """The leg that the caller is joined with."""
        leg = self.legs[0]
        return next((each for each in self.legs[1:] if getattr(each, "sink", None) == getattr(leg, "send", 0)), None)


async def ring_three(w: World, *headers: tuple[str, str]) -> Places:
    node = await w.node("alice", "1001")
    caller = await w.phone(node, "alice", 6000)
    phones: list[Phone] = [await w.phone(node, "alice-2", 6100 + 100 * n) for n in range(3)]
    outgoing = await calls(caller, "sip:1001@home.example", *headers)
    callees = [EarlyCallee(phone, await phone.invited()) for phone in phones]
    return Places(outgoing, callees, list(node.media.legs))


async def next_provisional(outgoing: Outgoing) -> Response:
    while (response := await outgoing.exchange.next_response()).status == 100:
        pass
    return response


async def test_of_several_early_medias_the_first_is_heard_and_the_next_when_that_is_gone(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        p = await ring_three(w)
        first, second, third = p.callees
        first.say(180)
        assert (await next_provisional(p.outgoing)).status == 180
        second.say(183, sdp(6201, "0 101"))
        progress = await next_provisional(p.outgoing)
        assert (progress.status, formats(progress.body)) == (183, ("0", "101"))
        third.say(183, sdp(6301, "8 101"))
        await trio.sleep(1)
        assert p.legs[2].sink is not None  # type: ignore[attr-defined]
        assert p.legs[3].sink is None  # type: ignore[attr-defined]
        second.phone.refuse(second.exchange, 486)
        progress = await next_provisional(p.outgoing)
        assert (progress.status, formats(progress.body)) == (183, ("8", "101"))
        assert p.legs[3].sink is not None  # type: ignore[attr-defined]
        w.nursery.start_soon(first.answer, sdp(6101, "0"))
        answer = await p.outgoing.response(200)
        assert formats(answer.body) == ("0",)
        await trio.sleep(0.1)
        assert p.legs[1].sink is not None  # type: ignore[attr-defined]
        assert p.legs[3].sink is None  # type: ignore[attr-defined]


async def test_180_with_a_description_is_early_media_too_and_rubbish_ends_no_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        p = await ring_three(w)
        p.callees[0].say(183, b"rubbish")
        assert (await next_provisional(p.outgoing)).status == 180
        p.callees[1].say(180, sdp(6201, "0 101"))
        ringing = await next_provisional(p.outgoing)
        assert (ringing.status, formats(ringing.body)) == (180, ("0", "101"))
        p.callees[1].say(180, sdp(6201, "0 101"))
        p.callees[1].say(180)
        with trio.move_on_after(1) as quiet:
            await next_provisional(p.outgoing)
        assert quiet.cancelled_caught, "the same thing is not said twice"


async def test_who_answers_differs_from_who_was_heard_and_the_caller_is_told_by_a_new_offer(
    autojump_clock: MockClock,
) -> None:
    """The reliable answer stands; another codec needs another offer."""
    async with world() as w:
        p = await ring_three(w, *RELIABLE)
        p.callees[1].say(183, sdp(6201, "8 101"))
        progress = await p.outgoing.response(183)
        early = EarlyCaller(p.outgoing, progress)
        await early.acknowledge(progress)
        w.nursery.start_soon(p.callees[0].answer, sdp(6101, "0 101"))
        answer = await p.outgoing.response(200)
        assert not answer.body
        here = await early.established(answer)
        change = await here.expect("UPDATE", body=sdp(6001, "0 101"))
        assert formats(change.body) == ("0", "101")


async def test_two_answers_from_one_place_are_one_call(autojump_clock: MockClock) -> None:
    """RFC 3261 §13.2.2.4: the second 2xx, of another fork, is acknowledged and ended; a repeated first one is not."""
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await phone.invited()
        one, two = EarlyCallee(phone, invite, "one"), EarlyCallee(phone, invite, "two")
        for callee in (one, two):
            callee.say(180)
        body = sdp(6101, "0 101")
        w.nursery.start_soon(one.answer, body)
        here = await outgoing.established()
        phone.sip.send_again(two.response(200, body).to_bytes(), phone.flow)
        await two.dialog.expect("BYE")
        phone.sip.send_again(one.response(200, body).to_bytes(), phone.flow)
        await trio.sleep(1)
        assert one.dialog.requests.statistics().current_buffer_used == 0
        await both(lambda: here.ask("BYE"), lambda: one.dialog.expect("BYE"))


async def test_an_answer_that_is_repeated_while_the_caller_still_decides_is_not_ended(
    autojump_clock: MockClock,
) -> None:
    """Without an offer in the INVITE, the ACK of the callee waits for that of the caller."""
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example", b"")
        callee = EarlyCallee(phone, await phone.invited())
        w.nursery.start_soon(callee.answer, sdp(6101, "0 101"))
        await trio.sleep(3)
        here = await outgoing.established(body=sdp(6001, "0 101"))
        await trio.sleep(1)
        assert callee.dialog.ack is not None
        assert callee.dialog.ack.body
        await both(lambda: here.ask("BYE"), lambda: callee.dialog.expect("BYE"))


async def test_who_answers_and_hangs_up_while_the_caller_still_acknowledges_ends_the_call(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await calls(caller, "sip:1001@home.example", *RELIABLE)
        callee = EarlyCallee(phone, await phone.invited())
        callee.say(183, sdp(6101, "0 101"))
        await outgoing.response(183)
        w.nursery.start_soon(callee.exchange.accept, callee.response(200, sdp(6101, "0 101")))
        await trio.sleep(0.2)
        assert (await callee.dialog.ask("BYE")).status == 200
        await outgoing.response(480)


async def test_the_reason_of_a_cancel_goes_on(autojump_clock: MockClock) -> None:
    """RFC 3326: a phone that sees that another one has answered shows no missed call."""
    reason = 'SIP;cause=200;text="Call completed elsewhere"'
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        bob.ring(invite)
        await outgoing.response(180)
        outgoing.exchange.request.headers.set("Reason", reason)
        outgoing.exchange.cancel()
        await invite.cancelled.wait()
        assert invite.cancel_reason == reason
        bob.refuse(invite, 487)
        await trio.sleep(40)
        assert a.sip.statistics()["dialogs"] == b.sip.statistics()["dialogs"] == 0


async def test_the_end_of_one_fork_of_many_is_nobody_elses_business(autojump_clock: MockClock) -> None:
    async with world() as w:
        p = await ring_three(w)
        p.callees[0].say(199)
        p.callees[1].say(180)
        assert (await next_provisional(p.outgoing)).status == 180


async def test_calls_leave_no_dialogs_behind(autojump_clock: MockClock) -> None:
    async with world() as w:
        r = await ring(w)
        node = next(iter(w.network.nodes.values()))
        w.nursery.start_soon(r.callee.answer)
        here = await r.caller.established(await r.outgoing.response(200))
        assert node.statistics()["dialogs"] == 2
        await both(lambda: here.ask("BYE"), lambda: r.callee.dialog.expect("BYE"))
        await trio.sleep(40)
        assert node.statistics()["dialogs"] == 0


async def test_an_offer_before_the_first_one_has_its_answer_is_too_early(autojump_clock: MockClock) -> None:
    """INVITE and 200 without the caller's ACK, which has the answer to the callee's offer."""
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example", b"")
        callee = EarlyCallee(phone, await phone.invited())
        w.nursery.start_soon(callee.answer, sdp(6101, "0 101"))
        await trio.sleep(1)
        early = await callee.dialog.ask("UPDATE", body=sdp(6101, "0"), content_type=SDP_TYPE)
        assert early.status == 491
        await outgoing.established(body=sdp(6001, "0 101"))
