"""An emergency call over the trunk that is named for it, which fails: announced, also after what the provider let hear."""

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from media.announcement import announcement
from media.rtp import RtpPacket
from media.tones import tone
from p2psip.naming.routing import Route, Step
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from tests.calls.world import sdp
from tests.trunks.provider import Plan, Provider, country, static

HELP = "sip:112@home.example"
WORDS = "112 could not be reached: the trunk named for emergencies failed. Use another telephone"
ROUTE = Route("trunk", "sip:112@home.example;user=phone", trunk="static", is_emergency=True)
PLAN = [
    Step("trunk", "static", "", (ROUTE,), is_emergency=True),
    Step("refused", "112", WORDS, status=503, is_emergency=True),
]


class Failing(Provider):
    """Lets callers hear something first, if `early` is set, and fails with `status` then."""

    status = 503

    async def _accept(self, exchange: ServerExchange) -> None:
        if self.early:
            exchange.respond(
                make_response(exchange.request, 183, to_tag="p", body=self.early, content_type="application/sdp")
            )
        exchange.respond(make_response(exchange.request, self.status, to_tag="p"))


@pytest.mark.parametrize("status", [486, 503])
@pytest.mark.parametrize("early", [b"", sdp(7000, "8 101"), sdp(7000, "18 8")])
async def test_a_trunk_that_fails_is_announced(autojump_clock: MockClock, early: bytes, status: int) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.__class__ = Failing
        provider.early, provider.asks, provider.status = early, False, status  # type: ignore[attr-defined]
        node = await c.world.node("alice", "1001", announcement=announcement(tone(300.0, 1.0)))
        alice = await c.world.phone(node, "alice", 6000)
        outside = await c.connect(node, Plan({"112": PLAN}), static())
        outgoing = await alice.call(HELP, sdp(6001, "8 18 0 101"))
        await outgoing.response(183)
        await wait_all_tasks_blocked()
        assert outside.status()[0]["calls"] == 0, "the line is free while the caller listens"
        assert provider.count("INVITE") == 1
        await outgoing.response(status)
        assert {RtpPacket.parse(packet).payload_type for packet in node.media.legs[0].packets} == {8}
        assert provider.count("INVITE") == 1
        assert provider.count("CANCEL") == 0


async def test_what_the_caller_cannot_hear_within_what_was_described_is_refused_at_once(
    autojump_clock: MockClock,
) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.__class__ = Failing
        provider.early, provider.asks = sdp(7000, "18"), False
        node = await c.world.node("alice", "1001", announcement=announcement(tone(300.0, 1.0)))
        alice = await c.world.phone(node, "alice", 6000)
        await c.connect(node, Plan({"112": PLAN}), static())
        outgoing = await alice.call(HELP, sdp(6001, "18 0"))
        assert "trunk static says 503" in (await outgoing.response(503)).warning
        assert not node.media.legs[0].packets
