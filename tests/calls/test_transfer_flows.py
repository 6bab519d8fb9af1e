"""The flows of RFC 5589 as ladders: what each phone says and hears, compared as a whole.

Between the phones is a B2BUA at each node, so who is transferred hears a re-INVITE where the RFC shows a new INVITE.
"""

import trio
from trio.testing import MockClock

from tests.calls.transferring import answer_of, hangs_up_both, hear, refer, talk, village


async def test_blind_transfer(autojump_clock: MockClock) -> None:
    """RFC 5589 §6.1: the transferor waits for the outcome."""
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
        assert v.ladder.lines == [
            "alice > REFER",
            "alice < 202 REFER",
            "alice < NOTIFY SIP/2.0 100 Trying",
            "alice > 200 NOTIFY",
            "carol < INVITE sendrecv",
            "carol > 180 INVITE",
            "alice < NOTIFY SIP/2.0 180 Ringing",
            "alice > 200 NOTIFY",
            "carol > 200 INVITE sendrecv",
            "carol < ACK",
            "bob < INVITE sendrecv",
            "bob > 200 INVITE sendrecv",
            "bob < ACK",
            "alice < NOTIFY SIP/2.0 200 OK",
            "alice > 200 NOTIFY",
            "alice > BYE",
            "alice < 200 BYE",
            "bob > BYE",
            "bob < 200 BYE",
            "carol < BYE",
            "carol > 200 BYE",
        ]
        assert v.open_legs() == 0
