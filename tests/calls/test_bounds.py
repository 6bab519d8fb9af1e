"""Bounds of one call: requests that are passed at once, bodies, refreshes that collide, places that ring."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls import forking
from p2psip.calls.negotiation import GLARE_SECONDS, Negotiation, glare_pause
from p2psip.calls.refreshing import GLARES_MAX, Refreshing
from p2psip.calls.relaying import BODY_BYTES_MAX, RELAYED_AT_ONCE_MAX
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import world


async def test_so_many_requests_are_passed_at_once_and_no_more(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        for _ in range(RELAYED_AT_ONCE_MAX):
            w.nursery.start_soon(partial(here.ask, "INFO", body=b"x", content_type="text/plain"))
        await trio.sleep(0.1)
        refused = await here.ask("INFO", body=b"x", content_type="text/plain")
        assert refused.status == 503
        for _ in range(RELAYED_AT_ONCE_MAX):
            await there.expect("INFO")
        await trio.sleep(0.1)
        info = partial(here.ask, "INFO", body=b"x" * BODY_BYTES_MAX, content_type="text/plain")
        assert (await both(info, partial(there.expect, "INFO"))).status == 200
        long = await here.ask("INFO", body=b"x" * (BODY_BYTES_MAX + 1), content_type="text/plain")
        assert long.status == 413


async def test_a_refresh_that_collides_is_tried_so_often_and_no_more(autojump_clock: MockClock) -> None:
    class Side:
        owns_call_id = False
        name = "phone bob"
        tries = 0

        def allows(self, method: str) -> bool:
            return True

        async def offer(self, body: bytes, *, method: str) -> None:
            self.tries += 1
            raise RemoteError("Request Pending", status=491)

    side = Side()
    with pytest.raises(RemoteError) as caught:
        await Refreshing(side, Negotiation(), Chance.seeded(1)).refresh()  # type: ignore[arg-type]
    assert (caught.value.status, side.tries) == (491, GLARES_MAX)
    assert trio.current_time() <= GLARES_MAX * GLARE_SECONDS[False][1]


def test_the_pauses_after_a_collision_do_not_overlap() -> None:
    """RFC 3261 §14.1: 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other, in steps of 10 ms."""
    chance = Chance.seeded(5)
    for owns, (low, high) in {True: (2.1, 4.0), False: (0.0, 2.0)}.items():
        pauses = [glare_pause(chance, owns_call_id=owns) for _ in range(200)]
        assert low <= min(pauses) < low + 0.2
        assert high - 0.2 < max(pauses) <= high
        assert all(round(pause * 100, 6) == round(pause * 100) for pause in pauses)


async def test_so_many_places_ring_and_no_more(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "BRANCHES_MAX", 2)
    async with world() as w:
        node = await w.node("alice", "1001")
        caller = await w.phone(node, "alice", 6000)
        phones = [await w.phone(node, "alice-2", 6100 + 100 * number) for number in range(3)]
        await caller.call("sip:1001@home.example")
        await trio.sleep(1)
        assert [phone.sip.incoming.statistics().current_buffer_used for phone in phones] == [1, 1, 0]
        assert len(node.media.open_legs()) == 3
