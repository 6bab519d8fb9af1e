"""INVITE with Replaces: a phone takes over the call of another phone of its person, and of nobody else."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.calls.steps import both
from tests.calls.transferring import Village, answer_of, dial, hangs_up_both, hear, talk, village
from tests.calls.world import Established, Outgoing, Phone, sdp


def named(side: Established, more: str = "") -> str:
    """The Replaces that names the call of `side` as its phone has it."""
    return f"{side.dialog.call_id};to-tag={side.dialog.remote.tag};from-tag={side.dialog.local.tag}{more}"


def take_over(phone: Phone, replaces: str, body: bytes | None = None) -> Outgoing:
    """An INVITE of `phone` with this Replaces."""
    invite = phone.invitation("sip:bob@home.example", body)
    invite.headers.add("Replaces", replaces)
    invite.headers.add("Require", "replaces")
    return Outgoing(phone, invite, phone.sip.start(invite, phone.flow))


async def second_phone(v: Village) -> Phone:
    return await v.world.phone(v.a, "alice-2", 6050)


async def test_a_call_that_stands_is_taken_over(autojump_clock: MockClock) -> None:
    """RFC 3891 §1: the phone that is replaced hears a BYE, the other side a re-INVITE."""
    async with village() as v:
        second = await second_phone(v)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.watch()
        v.ladder.watch(second)
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        outgoing = take_over(second, named(alice), sdp(6051, "8 0 101"))
        v.world.nursery.start_soon(hear, alice, "BYE")
        here = await outgoing.established()
        await trio.sleep(1)
        await hangs_up_both(here, bob)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice-2": [
                "> INVITE sendrecv",
                "< 200 INVITE sendrecv",
                "> ACK",
                "> BYE",
                "< 200 BYE",
            ],
            "bob": ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "< BYE", "> 200 BYE"],
            "alice": ["< BYE", "> 200 BYE"],
        }
        assert v.open_legs() == 0
        assert not v.a.server.log.current()


async def test_without_an_offer_the_other_side_is_asked_last(autojump_clock: MockClock) -> None:
    async with village() as v:
        second = await second_phone(v)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        outgoing = take_over(second, named(alice), b"")
        v.world.nursery.start_soon(hear, alice, "BYE")
        here = await outgoing.established(body=sdp(6051, "0 101"))
        await trio.sleep(1)
        assert b"m=audio" in outgoing.answer
        await hangs_up_both(bob, here)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_a_call_between_two_phones_of_one_node_is_taken_over_from_either(autojump_clock: MockClock) -> None:
    async with village() as v:
        second = await second_phone(v)
        alice, there = await talk(v.alice, second, "sip:alice-2@home.example")
        third = await v.world.phone(v.a, "alice", 6060)
        v.world.nursery.start_soon(hear, alice, "INVITE", 200, answer_of(v.alice))
        outgoing = take_over(third, named(there))
        v.world.nursery.start_soon(hear, there, "BYE")
        here = await outgoing.established()
        await trio.sleep(1)
        await hangs_up_both(alice, here)
        await trio.sleep(1)
        assert v.open_legs() == 0


@pytest.mark.parametrize(("more", "status"), [("", 200), (";early-only", 486), ("x", 481), (";to-tag=again", 400)])
async def test_which_calls_may_be_named(autojump_clock: MockClock, more: str, status: int) -> None:
    async with village() as v:
        second = await second_phone(v)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        outgoing = take_over(second, named(alice, more))
        v.world.nursery.start_soon(hear, alice, "BYE")
        await outgoing.response(status)


async def test_a_call_that_rings_for_its_caller_is_not_replaced(autojump_clock: MockClock) -> None:
    """RFC 3891 §3: an early dialog that the recipient did not begin."""
    async with village() as v:
        second = await second_phone(v)
        outgoing = dial(v.alice, "sip:bob@home.example")
        v.bob.ring(await v.bob.invited())
        ringing = await outgoing.response(180)
        named_early = f"{ringing.call_id};to-tag={ringing.to.tag};from-tag={ringing.from_.tag}"
        await take_over(second, named_early).response(481)


async def test_nobody_takes_a_call_of_somebody_else(autojump_clock: MockClock) -> None:
    """carol's node knows no call of alice; bob's phones may not take carol's end of a call at one node."""
    async with village() as v:
        alice, _bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        invite = v.carol.invitation("sip:alice@home.example")
        invite.headers.add("Replaces", named(alice))
        assert (await v.carol.ask(invite)).status == 481
        over_the_overlay = v.carol.invitation("sip:alice@home.example")
        over_the_overlay.headers.add("Replaces", named(alice))
        response = await v.c.sip.start(over_the_overlay, v.c.sip.overlay_flow(v.a.sip.node_id)).final_response()
        assert response.status == 481


async def test_a_phone_of_another_person_at_the_same_node_is_refused(autojump_clock: MockClock) -> None:
    async with village() as v:
        node = await v.world.node("dave", "1004", ("guest", "guest@home.example", "MD5"), trust_registered_flows=True)
        dave, guest = await v.world.phone(node, "dave", 6400), await v.world.phone(node, "guest", 6450)
        here, bob = await talk(dave, v.bob, "sip:bob@home.example")
        await take_over(guest, named(here)).response(403)
        await hangs_up_both(here, bob)


async def test_a_takeover_that_the_other_side_refuses_changes_nothing(autojump_clock: MockClock) -> None:
    async with village() as v:
        second = await second_phone(v)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")

        async def refuse() -> None:
            await hear(bob, "INVITE", 488)

        outgoing = take_over(second, named(alice), sdp(6051, "8 101"))
        await both(partial(outgoing.response, 488), refuse)
        await hangs_up_both(alice, bob)
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_a_takeover_that_is_never_acknowledged_gives_the_call_back(autojump_clock: MockClock) -> None:
    async with village() as v:
        second = await second_phone(v)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")

        async def change_twice() -> None:
            await hear(bob, "INVITE", 200, answer_of(v.bob))
            await hear(bob, "INVITE", 200, answer_of(v.bob))

        v.world.nursery.start_soon(change_twice)
        outgoing = take_over(second, named(alice), sdp(6051, "8 0 101"))
        await outgoing.response(200)
        await trio.sleep(40)
        await hangs_up_both(alice, bob)
        await trio.sleep(40)
        assert v.open_legs() == 0
