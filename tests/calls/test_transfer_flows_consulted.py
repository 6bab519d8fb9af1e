"""More flows of RFC 5589 as ladders: the other ways to begin a transfer (§6), and transfers after a consultation (§7, §10).

`docs/flows.md` says where each section is shown. REFER and Replaces end at the node of the phone that sends them, so what the RFC
has the transferee and the target do is done by that node, and both hear a re-INVITE.
"""

import trio
from trio.testing import MockClock

from p2psip.sip.build import make_request
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri
from tests.calls.steps import both
from tests.calls.transferring import (
    Ladder,
    Village,
    answer_of,
    answered,
    hangs_up_both,
    hear,
    refer,
    replaces,
    talk,
    village,
)
from tests.calls.world import Established, Phone, sdp, world

REPORTED = ["< NOTIFY SIP/2.0 100 Trying", "> 200 NOTIFY", "< NOTIFY SIP/2.0 200 OK", "> 200 NOTIFY"]
CHANGED = ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK"]
HELD = ["< INVITE sendonly", "> 200 INVITE recvonly", "< ACK"]


async def test_6_1_a_refer_in_a_dialog_of_its_own_is_sent_again_in_the_calls_as_in_6_2(
    autojump_clock: MockClock,
) -> None:
    """The RFC's REFER names the call in Target-Dialog. This node does not list `tdialog` (RFC 4538), so no phone need try that;
    one that insists is told so, and falls back to §6.2.
    """
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.watch()
        call_id, (here, there) = alice.dialog.call_id, (alice.dialog.local.tag, alice.dialog.remote.tag)
        outside = make_request(
            "REFER",
            SipUri.parse("sip:bob@home.example"),
            from_=NameAddr(None, SipUri.parse("sip:alice@home.example")).with_tag("apart"),
            to=NameAddr(None, SipUri.parse("sip:bob@home.example")),
            call_id="apart",
            cseq=1,
            headers=[
                ("Refer-To", "<sip:carol@home.example>"),
                ("Contact", v.alice.contact),
                ("Require", "tdialog"),
                ("Target-Dialog", f"{call_id};local-tag={here};remote-tag={there}"),
            ],
        )
        refused = await v.alice.sip.start(outside, v.alice.flow).final_response()
        assert refused.headers.get("Unsupported") == "tdialog"
        assert (await refer(alice, "<sip:carol@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        await hear(alice, "NOTIFY")
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": ["> REFER", "< 420 REFER"],
            "alice 2": ["> REFER", "< 202 REFER", *REPORTED, "> BYE", "< 200 BYE"],
            "carol": ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "< BYE", "> 200 BYE"],
            "bob": [*CHANGED, "> BYE", "< 200 BYE"],
        }
        assert v.open_legs() == 0


async def hold(v: Village, side: Established, other: Established) -> None:
    """alice's phone holds bob."""
    answer = sdp(v.bob.port + 1, "0 101", "recvonly")
    change = sdp(v.alice.port + 1, direction="sendonly")
    response = await both(
        lambda: side.ask("INVITE", body=change, content_type="application/sdp"),
        lambda: other.expect("INVITE", body=answer),
    )
    assert response.status == 200


async def test_7_1_the_target_is_told_and_the_transfer_is_a_basic_one(autojump_clock: MockClock) -> None:
    """Consultation, then a transfer without Replaces: alice hangs up carol before she asks, so carol's phone rings twice."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.watch()
        await hold(v, alice, bob)
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        await hangs_up_both(consulting, carol)
        assert (await refer(alice, "<sip:carol@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        await hear(alice, "NOTIFY")
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        rung = ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "< BYE", "> 200 BYE"]
        assert v.ladder.columns["bob"] == [*HELD, *CHANGED, "> BYE", "< 200 BYE"]
        assert (v.ladder.columns["carol"], v.ladder.columns["carol 2"]) == (rung, rung)
        assert v.ladder.columns["alice"][3:] == ["> REFER", "< 202 REFER", *REPORTED, "> BYE", "< 200 BYE"]
        assert v.open_legs() == 0


async def test_7_2_the_target_is_asked_to_call_so_that_its_address_stays_hidden(autojump_clock: MockClock) -> None:
    """The roles are changed about: alice refers carol to bob's call. Either hears a re-INVITE, and neither learns an address."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        v.watch()
        assert (await refer(consulting, f"<sip:bob@home.example?Replaces={replaces(alice)}>")).status == 202
        await hear(consulting, "NOTIFY")
        await hear(bob, "INVITE", 200, answer_of(v.bob))
        v.world.nursery.start_soon(hear, alice, "BYE")
        await hear(carol, "INVITE", 200, answer_of(v.carol))
        await hear(consulting, "NOTIFY")
        assert (await consulting.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": ["> REFER", "< 202 REFER", *REPORTED, "> BYE", "< 200 BYE"],
            "alice 2": ["< BYE", "> 200 BYE"],
            "bob": [*CHANGED, "> BYE", "< 200 BYE"],
            "carol": [*CHANGED, "< BYE", "> 200 BYE"],
        }
        assert v.open_legs() == 0


async def test_7_5_the_targets_contact_leads_to_several_phones(autojump_clock: MockClock) -> None:
    """The RFC tries the address of record when the Contact does not lead to the phone, and all but one of its phones say 481.

    Here the dialog that Replaces names is at the node itself, so the address only has to be one of carol's: her other phone
    hears nothing.
    """
    async with village() as v:
        other = await v.world.phone(v.c, "carol-2", 6250)
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        invite = await other.invited()  # both rang, and this one was cancelled
        await invite.cancelled.wait()
        other.refuse(invite, 487)
        await trio.sleep(1)
        v.watch()
        v.ladder.watch(other)
        assert (await refer(alice, f"<sip:1003@home.example?Replaces={replaces(consulting)}>")).status == 202
        await hear(alice, "NOTIFY")
        await hear(carol, "INVITE", 200, answer_of(v.carol))
        v.world.nursery.start_soon(hear, consulting, "BYE")
        await hear(bob, "INVITE", 200, answer_of(v.bob))
        await hear(alice, "NOTIFY")
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.ladder.columns["carol"] == [*CHANGED, "< BYE", "> 200 BYE"]
        assert "carol-2" not in v.ladder.columns
        assert v.open_legs() == 0


async def test_7_7_a_basic_transfer_when_the_call_to_replace_is_gone(autojump_clock: MockClock) -> None:
    """The report of the attended transfer is a refusal; the phone asks again without Replaces."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        v.watch()
        await hangs_up_both(carol, consulting)
        assert (await refer(alice, f"<sip:carol@home.example?Replaces={replaces(consulting)}>")).status == 202
        await hear(alice, "NOTIFY")
        await hear(alice, "NOTIFY")
        assert (await refer(alice, "<sip:carol@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await answered(v.carol)
        await hear(alice, "NOTIFY")
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        refused = [*REPORTED[:2], "< NOTIFY SIP/2.0 481 Call/Transaction Does Not Exist", "> 200 NOTIFY"]
        column = next(each for name, each in v.ladder.columns.items() if name.startswith("alice") and "> REFER" in each)
        assert column == [
            *("> REFER", "< 202 REFER", *refused),
            *("> REFER", "< 202 REFER", *REPORTED, "> BYE", "< 200 BYE"),
        ]
        assert v.ladder.columns["bob"] == [*CHANGED, "> BYE", "< 200 BYE"]
        assert v.open_legs() == 0


async def test_10_transfer_with_multiple_parties(autojump_clock: MockClock) -> None:
    """An originator calls a facilitator, who reaches the recipient by way of a screener; two transfers, one upon the other.

    The screener's is a basic one (its node calls the recipient), the facilitator's an attended one: of the call to the screener,
    which leads to the recipient by then. Phones whose audio stays as it was hear nothing of a transfer.
    """
    async with world() as w:
        names = ("originator", "facilitator", "screener", "recipient")
        phones: list[Phone] = []
        for number, name in enumerate(names, 1):
            node = await w.node(name, f"100{number}", trust_registered_flows=True)
            phones.append(await w.phone(node, name, 6000 + 100 * number))
        first, second, third, fourth = phones
        originator, at_facilitator = await talk(first, second, "sip:facilitator@home.example")
        consulting, screener = await talk(second, third, "sip:screener@home.example")
        ladder = Ladder()
        for phone in phones:
            ladder.watch(phone)
        assert (await refer(screener, "<sip:recipient@home.example>")).status == 202
        await hear(screener, "NOTIFY")
        recipient = await answered(fourth)
        await hear(screener, "NOTIFY")
        assert (await screener.ask("BYE")).status == 200
        target = f"<sip:screener@home.example?Replaces={replaces(consulting)}>"
        assert (await refer(at_facilitator, target)).status == 202
        await hear(at_facilitator, "NOTIFY")
        w.nursery.start_soon(hear, consulting, "BYE")
        await hear(at_facilitator, "NOTIFY")
        assert (await at_facilitator.ask("BYE")).status == 200
        await hangs_up_both(originator, recipient)
        await trio.sleep(1)
        assert ladder.columns["originator"] == ["> BYE", "< 200 BYE"]
        assert ladder.columns["screener"] == ["> REFER", "< 202 REFER", *REPORTED, "> BYE", "< 200 BYE"]
        assert ladder.columns["recipient"] == [*CHANGED, "< BYE", "> 200 BYE"]
