"""A node that vanishes while a phone rings: the media path, which is set up meanwhile, says so."""

from trio.testing import MockClock

from tests.calls.steps import two_nodes
from tests.calls.world import world


async def test_the_caller_is_told_when_the_callees_node_vanishes(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        bob.ring(await bob.invited())
        await outgoing.response(180)
        a.media.legs[1].lost.set()
        refusal = await outgoing.response(503)
        assert "media path" in (refusal.headers.get("Warning") or "")


async def test_the_phone_stops_ringing_when_the_callers_node_vanishes(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        ringing = await bob.invited()
        bob.ring(ringing)
        await outgoing.response(180)
        b.media.legs[0].lost.set()
        await ringing.cancelled.wait()
