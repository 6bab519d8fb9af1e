"""REFER outside of calls: a program of a person rings their phones and connects them, and nobody else's."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.sip.dialog import Dialog
from p2psip.sip.message import Request
from tests.calls.transferring import Village, answer_of, answered, hangs_up_both, hear, village
from tests.calls.world import Established, Phone

CAROL = "<sip:carol@home.example>"


def click(program: Phone, target: str = CAROL, uri: str = "sip:alice@home.example") -> Request:
    headers = [("Contact", program.contact), ("Refer-To", target)]
    return program.request("REFER", uri, headers=headers)


async def clicked(v: Village, target: str = CAROL) -> Established:
    """A program of alice has asked for a call to carol; the dialog of its reports."""
    program = await v.world.phone(v.a, "alice-2", 6050, registered=False)
    request = click(program, target)
    exchange = program.sip.start(request, program.flow)
    challenge = await exchange.final_response()
    assert challenge.status == 401
    again = program.authorised(request, challenge)
    program.name = "alice-2"
    requests = program.sip.open_dialog(
        (again.call_id, again.from_.tag or "", "")
    )  # a NOTIFY may come with the response
    response = await program.sip.start(again, program.flow).final_response()
    assert response.status == 202
    return Established(program, Dialog.of_client(again, response, program.contact), requests)


async def test_a_click_rings_the_persons_phone_and_then_the_target(autojump_clock: MockClock) -> None:
    async with village() as v:
        reports = await clicked(v)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 100 Trying"
        invite = await v.alice.invited()
        assert invite.request.body == b""
        v.alice.ring(invite)
        alice = await v.alice.answer(invite, body=answer_of(v.alice))
        arriving = await v.carol.invited()
        v.carol.ring(arriving)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 180 Ringing"
        v.world.nursery.start_soon(hear, alice, "INVITE", 200, answer_of(v.alice))
        carol = await v.carol.answer(arriving)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 200 OK"
        await hangs_up_both(alice, carol)
        await trio.sleep(40)
        assert v.open_legs() == 0
        assert not v.a.server.log.current()


async def test_nobody_answers_the_own_phone(autojump_clock: MockClock) -> None:
    async with village() as v:
        reports = await clicked(v)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 100 Trying"
        v.alice.refuse(await v.alice.invited(), 486)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 486 Busy Here"
        await trio.sleep(40)
        assert v.open_legs() == 0


async def test_the_target_is_busy_so_the_own_phone_hears_a_bye(autojump_clock: MockClock) -> None:
    async with village() as v:
        reports = await clicked(v)
        await hear(reports, "NOTIFY")
        alice = await answered(v.alice)
        v.carol.refuse(await v.carol.invited(), 486)
        assert await hear(reports, "NOTIFY") == "SIP/2.0 486 Busy Here"
        bye = await alice.expect("BYE")
        assert "cause=486" in (bye.headers.get("Reason") or "")
        await trio.sleep(40)
        assert v.open_legs() == 0


async def test_who_was_rung_hangs_up_before_the_target_answers(autojump_clock: MockClock) -> None:
    async with village() as v:
        reports = await clicked(v)
        await hear(reports, "NOTIFY")
        alice = await answered(v.alice)
        invite = await v.carol.invited()
        assert (await alice.ask("BYE")).status == 200
        await invite.cancelled.wait()
        v.carol.refuse(invite, 487)
        assert (await hear(reports, "NOTIFY")).startswith("SIP/2.0 487")
        await trio.sleep(40)
        assert v.open_legs() == 0


@pytest.mark.parametrize(
    ("uri", "target", "status"),
    [
        ("sip:carol@home.example", CAROL, 403),
        ("sip:alice@elsewhere.example", CAROL, 403),
        ("sip:alice@home.example", "<sip:carol@home.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>", 403),
        ("sip:alice@home.example", "<http://home.example>", 416),
    ],
)
async def test_what_a_click_may_not_do(autojump_clock: MockClock, uri: str, target: str, status: int) -> None:
    async with village() as v:
        response = await v.alice.sip.start(click(v.alice, target, uri), v.alice.flow).final_response()
        assert response.status == status


async def test_a_node_may_not_make_our_phones_call(autojump_clock: MockClock) -> None:
    async with village() as v:
        request = click(v.bob, uri="sip:alice@home.example")
        response = await v.b.sip.start(request, v.b.sip.overlay_flow(v.a.sip.node_id)).final_response()
        assert response.status == 403
