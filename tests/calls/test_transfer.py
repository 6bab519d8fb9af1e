"""Transfers: who may ask for what, chains of them, and every way to fail."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.calls import transfer as transfer_module
from p2psip.calls.answers import Failure
from p2psip.calls.rejoining import GLARES_MAX
from p2psip.sip.build import make_request, make_response
from p2psip.sip.uri import SipUri
from tests.calls.steps import both
from tests.calls.transferring import (
    Village,
    answer_of,
    answered,
    dial,
    hangs_up_both,
    hear,
    refer,
    replaces,
    talk,
    village,
)
from tests.calls.world import Established, sdp

CAROL = "<sip:carol@home.example>"


async def transferred(v: Village, alice: Established, bob: Established) -> Established:
    """alice has bob transferred to carol and hangs up; carol's side of the new call."""
    assert (await refer(alice, CAROL)).status == 202
    await hear(alice, "NOTIFY")
    v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
    carol = await answered(v.carol)
    assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
    assert (await alice.ask("BYE")).status == 200
    return carol


async def test_media_is_bridged_anew(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        carol = await transferred(v, alice, bob)
        to_bob, to_carol = [leg for leg in v.a.media.legs if not leg.is_closed and leg.sink is not None]
        assert to_bob.sink is not None
        assert to_carol.sink is not None
        to_bob.sink(b"of bob")
        to_carol.sink(b"of carol")
        assert (to_bob.packets, to_carol.packets) == ([b"of carol"], [b"of bob"])
        assert v.a.media.legs[0].sink is None, "the transferor hears nobody"
        await hangs_up_both(carol, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_the_target_sees_who_referred_and_the_callers_identity_stays_the_nodes(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, _bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL, ("Referred-By", "<sip:president@home.example>"))).status == 202
        invite = (await v.carol.invited()).request
        assert invite.headers.get("Referred-By") == "<sip:alice@home.example>"
        assert invite.from_.uri == SipUri.parse("sip:alice@home.example")


async def test_hold_is_taken_back_and_works_after_the_transfer(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        held = partial(alice.ask, "INVITE", body=sdp(6001, "0 101", "sendonly"), content_type="application/sdp")
        await both(held, partial(hear, bob, "INVITE", 200, sdp(6101, "0 101", "recvonly")))
        v.watch()
        carol = await transferred(v, alice, bob)
        assert v.ladder.columns["bob"][0] == "< INVITE sendrecv"
        held = partial(carol.ask, "INVITE", body=sdp(6201, "0 101", "sendonly"), content_type="application/sdp")
        response = await both(held, partial(hear, bob, "INVITE", 200, sdp(6101, "0 101", "recvonly")))
        assert response.status == 200
        assert b"a=recvonly" in response.body
        await hangs_up_both(bob, carol)


async def test_the_callee_may_transfer_and_phones_may_share_a_node(autojump_clock: MockClock) -> None:
    async with village() as v:
        bob, alice = await both_talk(v)
        second = await v.world.phone(v.a, "alice-2", 6050)
        assert (await refer(alice, "<sip:alice-2@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        there = await answered(second)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, there)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def both_talk(v: Village) -> tuple[Established, Established]:
    """bob has called alice."""
    outgoing = await v.bob.call("sip:alice@home.example")
    there: list[Established] = []

    async def answer() -> None:
        there.append(await answered(v.alice))

    return await both(outgoing.established, answer), there[0]


async def test_who_does_not_hang_up_hears_a_bye(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        await hear(alice, "NOTIFY")
        bye = await alice.expect("BYE")
        assert "transferred" in (bye.headers.get("Reason") or "")
        await hangs_up_both(carol, bob)


async def test_no_reports_are_sent_to_who_wants_none(autojump_clock: MockClock) -> None:
    """RFC 4488."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        response = await refer(alice, CAROL, ("Refer-Sub", "false"), ("Require", "norefersub"))
        assert (response.status, response.headers.get("Refer-Sub")) == (202, "false")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        await hear(alice, "BYE")
        await hangs_up_both(carol, bob)


async def test_reports_end_when_one_is_refused(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.watch()
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY", 481)
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        invite = await v.carol.invited()
        v.carol.ring(invite)
        await trio.sleep(1)
        await v.carol.answer(invite)
        await hear(alice, "BYE")
        assert [line for line in v.ladder.columns["alice"] if "NOTIFY" in line] == [
            "< NOTIFY SIP/2.0 100 Trying",
            "> 481 NOTIFY",
        ]


async def test_a_failed_transfer_may_be_tried_again_and_the_second_has_an_id(autojump_clock: MockClock) -> None:
    """RFC 3515 §2.4.6."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, "<sip:nobody@home.example>")).status == 202
        assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
        assert await hear(alice, "NOTIFY") == "SIP/2.0 404 Not Found"
        assert (await refer(alice, CAROL)).status == 202
        report = await alice.expect("NOTIFY")
        assert report.headers.get("Event") == f"refer;id={alice.dialog.cseq}"
        assert report.headers.get("Subscription-State") == "active;expires=180"
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        await answered(v.carol)
        last = await alice.expect("NOTIFY")
        assert last.headers.get("Subscription-State") == "terminated;reason=noresource"
        assert last.content_type == "message/sipfrag"


async def test_one_transfer_at_a_time(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        assert (await refer(alice, CAROL)).status == 491
        assert bob is not None


async def test_who_was_transferred_to_may_transfer_on_but_not_without_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_module, "TRANSFERS_PER_CALL_MAX", 2)
    async with village() as v:
        second = await v.world.phone(v.a, "alice-2", 6050)
        side, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))  # once: then the audio stays the same
        for target, phone in (("alice-2", second), ("alice", v.alice)):
            assert (await refer(side, f"<sip:{target}@home.example>")).status == 202
            await hear(side, "NOTIFY")
            there = await answered(phone)
            await hear(side, "NOTIFY")
            assert (await side.ask("BYE")).status == 200
            side = there
        assert (await refer(side, CAROL)).status == 403
        await hangs_up_both(side, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0
        assert not v.a.server.log.current()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("<sip:carol@home.example;method=BYE>", 403),
        ("<http://home.example/>", 416),
        ("<sip:carol@home.example?Replaces=x>", 400),
        ("rubbish", 400),
    ],
)
async def test_what_a_refer_may_not_ask_for(autojump_clock: MockClock, target: str, status: int) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, target)).status == status
        assert (await alice.ask("REFER")).status == 400
        await hangs_up_both(alice, bob)


async def test_another_domain_is_refused_as_a_call_to_it_would_be(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, _bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, "<sip:premium@elsewhere.example>")).status == 202
        await hear(alice, "NOTIFY")
        assert await hear(alice, "NOTIFY") == "SIP/2.0 404 Not Found"


async def test_a_node_may_not_transfer_a_call_of_ours(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        call = next(iter(v.a.server.standing))
        assert call.talk is not None
        assert call.talk.callee is not None
        dialog = call.talk.callee.dialog
        request = make_request(
            "REFER", dialog.target, from_=dialog.remote, to=dialog.local, call_id=dialog.call_id, cseq=900,
            headers=[("Refer-To", "<sip:1003@home.example>"), ("Contact", "<sip:bob@home.example>")],
        )  # fmt: skip
        response = await v.b.sip.start(request, v.b.sip.overlay_flow(v.a.sip.node_id)).final_response()
        assert response.status == 403
        await hangs_up_both(alice, bob)


async def test_a_transfer_needs_the_password_of_a_call(autojump_clock: MockClock) -> None:
    """bob's node asks for passwords: a REFER is worth a call."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        request = bob.dialog.request("REFER", headers=[("Refer-To", CAROL)])
        challenge = await v.bob.sip.start(request, v.bob.flow).final_response()
        assert challenge.status == 401
        v.bob.cseq = bob.dialog.cseq
        again = v.bob.authorised(request, challenge)
        assert (await v.bob.sip.start(again, v.bob.flow).final_response()).status == 202
        assert alice is not None


async def test_another_phone_may_not_transfer_the_call(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, _bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        other = await v.world.phone(v.a, "alice-2", 6050)
        request = alice.dialog.request("REFER", headers=[("Refer-To", CAROL)])
        assert (await other.sip.start(request, other.flow).final_response()).status == 403


async def test_a_service_is_neither_transferred_nor_a_target(autojump_clock: MockClock) -> None:
    async with village() as v:
        alone = await dial(v.alice, "sip:echo@home.example").established()
        assert (await refer(alone, CAROL)).status == 403
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, "<sip:echo@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        assert await hear(alice, "NOTIFY") == "SIP/2.0 403 Forbidden"
        await hangs_up_both(alice, bob)
        assert (await alone.ask("BYE")).status == 200
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_who_stays_refuses_the_change(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 488)
        carol = await answered(v.carol)
        await hear(carol, "BYE")
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 488")
        await hangs_up_both(alice, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_a_target_that_hangs_up_before_it_is_connected(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        carol = await answered(v.carol)
        change = await bob.requests.receive()
        assert change.request.method == "INVITE"
        await trio.sleep(1)  # bob's phone asks him
        assert (await carol.ask("BYE")).status == 200
        assert await hear(alice, "NOTIFY") == "SIP/2.0 480 Temporarily Unavailable"
        assert change.cancelled.is_set()
        change.respond(make_response(change.request, 487))
        again = await transferred(v, alice, bob)
        await hangs_up_both(again, bob)
        await trio.sleep(60)
        assert not v.a.server._requests


async def test_a_change_that_nobody_waits_for_any_more_is_acknowledged(autojump_clock: MockClock) -> None:
    """Else the phone that has agreed to it would end the call after half a minute (RFC 3261 §13.3.1.4)."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        carol = await answered(v.carol)
        change = await bob.requests.receive()
        assert (await carol.ask("BYE")).status == 200
        assert await hear(alice, "NOTIFY") == "SIP/2.0 480 Temporarily Unavailable"
        body, contact = answer_of(v.bob), [("Contact", v.bob.contact)]
        ok = make_response(change.request, 200, headers=contact, body=body, content_type="application/sdp")
        await change.accept(ok)
        await trio.sleep(40)
        assert bob.requests.statistics().current_buffer_used == 0
        await hangs_up_both(alice, bob)


async def test_a_change_at_the_same_time_is_tried_again(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")

        async def refuse_once() -> None:
            await hear(bob, "INVITE", 491)
            await hear(bob, "INVITE", 200, answer_of(v.bob))

        v.world.nursery.start_soon(refuse_once)
        await answered(v.carol)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"


async def test_a_node_that_stops_ends_a_call_that_was_transferred(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        carol = await transferred(v, alice, bob)
        await trio.sleep(0.1)

        async def told() -> None:
            await hear(bob, "BYE")
            await hear(carol, "BYE")

        await both(v.a.server.stop, told)
        assert not v.a.server.log.current()


async def test_an_attended_transfer_that_names_no_call(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        target = "<sip:carol@home.example?Replaces=none%3Bto-tag%3Da%3Bfrom-tag%3Db>"
        assert (await refer(alice, target)).status == 202
        await hear(alice, "NOTIFY")
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 481")
        itself = f"<sip:carol@home.example?Replaces={replaces(alice)}>"
        assert (await refer(alice, itself)).status == 202
        await hear(alice, "NOTIFY")
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 481")
        await hangs_up_both(alice, bob)


async def test_an_attended_transfer_that_the_target_or_the_other_refuses(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        target = f"<sip:carol@home.example?Replaces={replaces(consulting)}>"
        assert (await refer(alice, target)).status == 202
        await hear(alice, "NOTIFY")
        await hear(carol, "INVITE", 503)
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 503")
        assert (await refer(alice, target)).status == 202
        await hear(alice, "NOTIFY")
        await hear(carol, "INVITE", 200, answer_of(v.carol))
        await hear(bob, "INVITE", 488)
        await hear(carol, "INVITE", 200, answer_of(v.carol))
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 488")
        await hangs_up_both(alice, bob)
        await hangs_up_both(consulting, carol)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_semi_attended_the_target_answers_later(autojump_clock: MockClock) -> None:
    """RFC 5589 §7.6, for phones that ask while the target rings and wait for the outcome."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting = dial(v.alice, "sip:carol@home.example")
        invite = await v.carol.invited()
        v.carol.ring(invite)
        ringing = await consulting.response(180)
        early = f"{ringing.call_id}%3Bto-tag%3D{ringing.to.tag}%3Bfrom-tag%3D{ringing.from_.tag}%3Bearly-only"
        assert (await refer(alice, f"<sip:carol@home.example?Replaces={early}>")).status == 202
        await hear(alice, "NOTIFY")
        assert await hear(alice, "NOTIFY") == "SIP/2.0 180 Ringing"
        carols: list[Established] = []

        async def pick_up() -> None:
            carols.append(await v.carol.answer(invite))

        v.world.nursery.start_soon(pick_up)
        consulted = await consulting.established()
        await hear(carols[0], "INVITE", 200, answer_of(v.carol))
        v.world.nursery.start_soon(hear, consulted, "BYE")
        await hear(bob, "INVITE", 200, answer_of(v.bob))
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carols[0])
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_semi_attended_by_a_phone_that_gives_up_its_call(autojump_clock: MockClock) -> None:
    """RFC 5589 §7.6: what is left is a blind transfer."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting = dial(v.alice, "sip:carol@home.example")
        invite = await v.carol.invited()
        v.carol.ring(invite)
        ringing = await consulting.response(180)
        early = f"{ringing.call_id}%3Bto-tag%3D{ringing.to.tag}%3Bfrom-tag%3D{ringing.from_.tag}"
        assert (await refer(alice, f"<sip:carol@home.example?Replaces={early}>")).status == 202
        await hear(alice, "NOTIFY")
        await hear(alice, "NOTIFY")
        consulting.exchange.cancel()
        await invite.cancelled.wait()
        v.carol.refuse(invite, 487)
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        await hear(alice, "BYE")
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_semi_attended_and_the_target_declines(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting = dial(v.alice, "sip:carol@home.example")
        invite = await v.carol.invited()
        v.carol.ring(invite)
        ringing = await consulting.response(180)
        early = f"{ringing.call_id}%3Bto-tag%3D{ringing.to.tag}%3Bfrom-tag%3D{ringing.from_.tag}"
        assert (await refer(alice, f"<sip:carol@home.example?Replaces={early}>")).status == 202
        await hear(alice, "NOTIFY")
        await hear(alice, "NOTIFY")
        v.carol.refuse(invite, 603)
        await consulting.response(603)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 603 Decline"
        await hangs_up_both(alice, bob)


async def test_the_call_that_lent_a_side_may_end_where_it_went(autojump_clock: MockClock) -> None:
    """A trunk that the target was called over may have minutes for a day; they end the call that was transferred."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        carol = await transferred(v, alice, bob)
        _first, lender = v.a.server.standing
        lender.stop(Failure(503, "the minutes of today are used up"))
        for side in (bob, carol):
            bye = await side.expect("BYE")
            assert "minutes of today" in (bye.headers.get("Reason") or "")
        await trio.sleep(1)
        assert v.open_legs() == 0


async def ask_for_more(bob: Established, body: bytes) -> bytes:
    """bob's phone is asked for an offer, and makes `body`; what the ACK answers."""
    exchange = await bob.requests.receive()
    assert (exchange.request.method, exchange.request.body) == ("INVITE", b"")
    headers = [("Contact", bob.phone.contact)]
    ack = await exchange.accept(
        make_response(exchange.request, 200, headers=headers, body=body, content_type="application/sdp")
    )
    return ack.body


async def test_a_target_with_another_codec_is_called_with_all_that_who_stays_can(autojump_clock: MockClock) -> None:
    """bob has answered with one codec only, and the target knows another: what bob could do besides is asked for."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        invite = await v.carol.invited()
        assert b"RTP/AVP 0 101" in invite.request.body
        v.carol.refuse(invite, 606)
        answer = await ask_for_more(bob, sdp(6101, "0 8 101"))
        assert b"RTP/AVP 0 8 101" in answer, "as alice has offered"
        invite = await v.carol.invited()
        assert b"RTP/AVP 0 8 101" in invite.request.body
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, sdp(6101, "8 101"))
        carol = await v.carol.answer(invite, body=sdp(6201, "8 101"))
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(carol, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_a_target_that_refuses_twice_is_not_called_again(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")
        v.carol.refuse(await v.carol.invited(), 606)
        await ask_for_more(bob, sdp(6101, "0 8 101"))
        v.carol.refuse(await v.carol.invited(), 606)
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 606")
        await hangs_up_both(alice, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_the_same_in_an_attended_transfer(autojump_clock: MockClock) -> None:
    """carol talks PCMA with alice. What bob can in the end is what alice had offered, so carol's node need not ask again."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        outgoing, carols = dial(v.alice, "sip:carol@home.example"), list[Established]()

        async def answer() -> None:
            carols.append(await v.carol.answer(await v.carol.invited(), body=sdp(6201, "8 101")))

        consulting = await both(outgoing.established, answer)
        carol = carols[0]
        target = f"<sip:carol@home.example?Replaces={replaces(consulting)}>"
        assert (await refer(alice, target)).status == 202
        await hear(alice, "NOTIFY")
        await hear(carol, "INVITE", 606)
        await ask_for_more(bob, sdp(6101, "0 8 101"))
        v.world.nursery.start_soon(hear, consulting, "BYE")
        await hear(bob, "INVITE", 200, sdp(6101, "8 101"))
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_a_side_that_changes_the_call_all_the_time_is_not_transferred(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        assert (await refer(alice, CAROL)).status == 202
        await hear(alice, "NOTIFY")

        async def refuse_always() -> None:
            for _ in range(GLARES_MAX):
                await hear(bob, "INVITE", 491)

        v.world.nursery.start_soon(refuse_always)
        carol = await answered(v.carol)
        await hear(carol, "BYE")
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 491")
        await hangs_up_both(alice, bob)


async def test_media_after_an_attended_transfer(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        v.world.nursery.start_soon(hear, consulting, "BYE")
        v.world.nursery.start_soon(hear, carol, "INVITE", 200, answer_of(v.carol))
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        assert (await refer(alice, f"<sip:carol@home.example?Replaces={replaces(consulting)}>")).status == 202
        await hear(alice, "NOTIFY")
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        to_bob, to_carol = (v.a.media.legs[number] for number in (1, 3))
        assert to_bob.sink is not None
        assert to_carol.sink is not None
        to_bob.sink(b"of bob")
        to_carol.sink(b"of carol")
        assert (to_bob.packets, to_carol.packets) == ([b"of carol"], [b"of bob"])
        await hangs_up_both(carol, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0
