"""The flows of RFC 5589 as ladders: what each phone says and hears, compared as a whole.

Between the phones is a B2BUA at each node, so who is transferred hears a re-INVITE where the RFC shows a new INVITE.
`docs/flows.md` says where each section is shown.
"""

import trio
from trio.testing import MockClock

from p2psip.sip.exchange import ServerExchange
from tests.calls.transferring import (
    Village,
    answer_of,
    hangs_up_both,
    hear,
    hear_in_any_order,
    refer,
    replaces,
    talk,
    village,
)
from tests.calls.world import Established


async def test_blind_transfer(autojump_clock: MockClock) -> None:
    """RFC 5589 §6.1 in the dialog of the call, as §6.2 shows: the transferor waits for the outcome."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        v.watch()
        assert (await refer(alice, "<sip:carol@home.example>")).status == 202
        assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
        invite = await v.carol.invited()
        v.carol.ring(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 180 Ringing"
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await v.carol.answer(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": [
                "> REFER",
                "< 202 REFER",
                "< NOTIFY SIP/2.0 100 Trying",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 180 Ringing",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 200 OK",
                "> 200 NOTIFY",
                "> BYE",
                "< 200 BYE",
            ],
            "carol": ["< INVITE sendrecv", "> 180 INVITE", "> 200 INVITE sendrecv", "< ACK", "< BYE", "> 200 BYE"],
            "bob": ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "> BYE", "< 200 BYE"],
        }
        assert v.open_legs() == 0


async def asked(v: Village, target: str = "<sip:carol@home.example>") -> tuple[Established, Established]:
    """alice and bob talk, and alice has asked that bob be transferred to carol; the ladder begins here."""
    alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
    v.watch()
    assert (await refer(alice, target)).status == 202
    assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
    return alice, bob


async def test_blind_transfer_by_somebody_who_hangs_up_at_once(autojump_clock: MockClock) -> None:
    """RFC 5589 §6.1: the transferor need not wait."""
    async with village() as v:
        alice, bob = await asked(v)
        assert (await alice.ask("BYE")).status == 200
        invite = await v.carol.invited()
        v.carol.ring(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 180 Ringing"
        v.world.nursery.start_soon(hear, bob, "INVITE", 200, answer_of(v.bob))
        carol = await v.carol.answer(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        await hangs_up_both(carol, bob)
        await trio.sleep(1)
        assert v.ladder.columns["alice"] == [
            "> REFER",
            "< 202 REFER",
            "< NOTIFY SIP/2.0 100 Trying",
            "> 200 NOTIFY",
            "> BYE",
            "< 200 BYE",
            "< NOTIFY SIP/2.0 180 Ringing",
            "> 200 NOTIFY",
            "< NOTIFY SIP/2.0 200 OK",
            "> 200 NOTIFY",
        ]
        assert v.open_legs() == 0


async def test_the_target_is_busy(autojump_clock: MockClock) -> None:
    """RFC 5589 §6.3.1: the call stays as it was."""
    async with village() as v:
        alice, bob = await asked(v)
        v.carol.refuse(await v.carol.invited(), 486)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 486 Busy Here"
        await hangs_up_both(alice, bob)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": [
                "> REFER",
                "< 202 REFER",
                "< NOTIFY SIP/2.0 100 Trying",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 486 Busy Here",
                "> 200 NOTIFY",
                "> BYE",
                "< 200 BYE",
            ],
            "carol": ["< INVITE sendrecv", "> 486 INVITE", "< ACK"],
            "bob": ["< BYE", "> 200 BYE"],
        }
        assert v.open_legs() == 0


async def test_the_target_does_not_answer(autojump_clock: MockClock) -> None:
    """RFC 5589 §6.3.2: the transferor has the call again, and it is reported."""
    async with village() as v:
        alice, bob = await asked(v)
        invite = await v.carol.invited()
        v.carol.ring(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 180 Ringing"
        v.world.nursery.start_soon(given_up, v, invite)
        assert (await hear(alice, "NOTIFY")).startswith("SIP/2.0 408")
        await hangs_up_both(bob, alice)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": [
                "> REFER",
                "< 202 REFER",
                "< NOTIFY SIP/2.0 100 Trying",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 180 Ringing",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 408 Request Timeout",
                "> 200 NOTIFY",
                "< BYE",
                "> 200 BYE",
            ],
            "carol": ["< INVITE sendrecv", "> 180 INVITE", "< CANCEL", "> 200 CANCEL", "> 487 INVITE", "< ACK"],
            "bob": ["> BYE", "< 200 BYE"],
        }
        assert v.open_legs() == 0


async def given_up(v: Village, invite: ServerExchange) -> None:
    await invite.cancelled.wait()
    v.carol.refuse(invite, 487)


async def test_the_target_is_busy_and_the_transferor_gone(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await asked(v)
        assert (await alice.ask("BYE")).status == 200
        v.carol.refuse(await v.carol.invited(), 486)
        v.world.nursery.start_soon(hear, alice, "NOTIFY")
        bye = await bob.expect("BYE")
        assert "cause=486" in (bye.headers.get("Reason") or "")
        await trio.sleep(1)
        assert v.open_legs() == 0


async def test_who_is_transferred_hangs_up_while_the_target_rings(autojump_clock: MockClock) -> None:
    async with village() as v:
        alice, bob = await asked(v)
        invite = await v.carol.invited()
        v.carol.ring(invite)
        assert await hear(alice, "NOTIFY") == "SIP/2.0 180 Ringing"
        heard: set[str] = set()
        v.world.nursery.start_soon(hear_in_any_order, alice, heard)
        assert (await bob.ask("BYE")).status == 200
        await invite.cancelled.wait()
        v.carol.refuse(invite, 487)
        await trio.sleep(1)
        assert heard == {"BYE", "NOTIFY"}
        assert "< 200 BYE" in v.ladder.columns["bob"]
        assert v.open_legs() == 0


async def test_attended_transfer(autojump_clock: MockClock) -> None:
    """RFC 5589 §7.3: the transferor has talked to the target, and gives the call that it has to who waits."""
    async with village() as v:
        alice, bob = await talk(v.alice, v.bob, "sip:bob@home.example")
        consulting, carol = await talk(v.alice, v.carol, "sip:carol@home.example")
        v.watch()
        assert (await refer(alice, f"<{consulting.dialog.target}?Replaces={replaces(consulting)}>")).status == 202
        assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
        await hear(carol, "INVITE", 200, answer_of(v.carol))
        v.world.nursery.start_soon(hear, consulting, "BYE")
        await hear(bob, "INVITE", 200, answer_of(v.bob))
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await hangs_up_both(bob, carol)
        await trio.sleep(1)
        assert v.ladder.columns == {
            "alice": [
                "> REFER",
                "< 202 REFER",
                "< NOTIFY SIP/2.0 100 Trying",
                "> 200 NOTIFY",
                "< NOTIFY SIP/2.0 200 OK",
                "> 200 NOTIFY",
                "> BYE",
                "< 200 BYE",
            ],
            "alice 2": ["< BYE", "> 200 BYE"],
            "bob": ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "> BYE", "< 200 BYE"],
            "carol": ["< INVITE sendrecv", "> 200 INVITE sendrecv", "< ACK", "< BYE", "> 200 BYE"],
        }
        assert v.open_legs() == 0
