"""Places that answer for more forks than a call may have."""

import trio
from trio.testing import MockClock

from p2psip.calls.forking import EARLY_DIALOGS_MAX
from tests.calls.early_steps import EarlyCallee
from tests.calls.steps import both
from tests.calls.world import sdp, world

FLOOD = 2 * EARLY_DIALOGS_MAX


async def test_so_many_forks_are_told_that_the_call_is_over_and_no_more(autojump_clock: MockClock) -> None:
    """Else each answer with a tag that was never seen would cost a dialog and a BYE."""
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, phone = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await phone.invited()
        one, *others = (EarlyCallee(phone, invite, f"fork{number}") for number in range(1 + FLOOD))
        one.say(180)
        body = sdp(6101, "0 101")
        w.nursery.start_soon(one.answer, body)
        here = await outgoing.established()
        for other in others:
            phone.sip.send_again(other.response(200, body).to_bytes(), phone.flow)
            await trio.sleep(0.01)
        await trio.sleep(0.1)
        told = [bool(other.dialog.requests.statistics().current_buffer_used) for other in others]
        assert told == [number < EARLY_DIALOGS_MAX - 1 for number in range(FLOOD)]
        await both(lambda: here.ask("BYE"), lambda: one.dialog.expect("BYE"))
