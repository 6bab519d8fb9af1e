"""Callers from outside whom a phone here leads on, by 302 or REFER: strangers to people only, a provider's also over trunks."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2psip.naming.routing import Hop, Route, Step
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from tests.calls.elsewhere import DOMAIN, Stranger, open_door, stranger
from tests.calls.steps import both
from tests.calls.transferring import dial, hear, refer, replaces
from tests.calls.world import Established, Node, Phone
from tests.trunks.provider import Country, Plan, Provider, country, over, static
from tests.trunks.values import invite

ELSEWHERE = Route("domain", "sip:x@friend.example", (Hop("udp", ("192.0.2.8", 5060), "friend.example"),))


class Place:
    """alice and bob at a node with a trunk, and mallory before its public door."""

    def __init__(
        self, node: Node, alice: Phone, bob: Phone, mallory: Stranger, provider: Provider, outside: Any
    ) -> None:
        self.node = node
        self.alice = alice
        self.bob = bob
        self.mallory = mallory
        self.provider = provider
        self.outside = outside

    def call(self) -> Any:
        """mallory calls alice."""
        return self.mallory.sip.start(self.mallory.invitation(f"sip:alice@{DOMAIN}"), self.mallory.flow)


async def _place(c: Country) -> Place:
    provider = await c.provider()
    provider.asks = False
    friend = await c.provider("friend.example", 8)
    friend.asks = False
    node = await c.world.node("alice", "1001", trust_registered_flows=True, redirects=("+*", "bob", "x"))
    alice = await c.world.phone(node, "alice", 6000)
    bob = await c.world.phone(await c.world.node("bob", "1002"), "bob", 6100)
    plan = Plan({"+4989": over("static"), "x": [Step("domain", "x", "", (ELSEWHERE,))]})
    outside = await c.connect(node, plan, static())
    open_door(c.world, node)
    return Place(node, alice, bob, await stranger(c.world, node), provider, outside)


def _redirect(exchange: ServerExchange, uri: str) -> None:
    exchange.respond(make_response(exchange.request, 302, to_tag="r", headers=[("Contact", f"<{uri}>")]))


@pytest.mark.parametrize("uri", ["sip:+4989@home.example", "sip:x@home.example"])
async def test_a_stranger_is_forwarded_to_nobody_outside(autojump_clock: MockClock, uri: str) -> None:
    async with country() as c:
        p = await _place(c)
        exchange = p.call()
        _redirect(await p.alice.invited(), uri)
        assert (await exchange.final_response()).status == 480
        assert p.provider.count("INVITE") == 0
        assert p.outside.status()[0]["calls"] == 0
        assert p.node.server.incidents.counts["forbidden number"] == 1
        assert "led on to people of this overlay only" in p.node.server.status()["refused"]["recent"][0]["words"]


async def test_a_stranger_is_forwarded_to_people(autojump_clock: MockClock) -> None:
    async with country() as c:
        p = await _place(c)
        exchange = p.call()
        _redirect(await p.alice.invited(), "sip:bob@home.example")
        ringing = await p.bob.invited()
        from_ = ringing.request.from_
        assert from_.display == "not verified: Mallory mallory@elsewhere.example via alice (mallory@elsewhere.example)"
        assert from_.sip_uri().address == "mallory@elsewhere.example"
        assert "History-Info" in ringing.request.headers, "who forwards is told as ever"
        p.bob.refuse(ringing, 486)
        assert (await exchange.final_response()).status in (480, 486)


async def _talking(p: Place) -> Established:
    """alice, in talk with mallory."""
    exchange = p.call()
    there: list[Established] = []

    async def answer() -> None:
        there.append(await p.alice.answer(await p.alice.invited()))

    response = await both(exchange.final_response, answer)
    assert response.status == 200
    return there[0]


async def test_a_stranger_is_transferred_to_nobody_outside(autojump_clock: MockClock) -> None:
    async with country() as c:
        p = await _place(c)
        alice = await _talking(p)
        assert (await refer(alice, "<sip:+4989@home.example>")).status == 202
        assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
        assert await hear(alice, "NOTIFY") == "SIP/2.0 403 Forbidden"
        assert p.provider.count("INVITE") == 0


async def test_a_stranger_is_transferred_to_people_as_a_stranger(autojump_clock: MockClock) -> None:
    async with country() as c:
        p = await _place(c)
        alice = await _talking(p)
        assert (await refer(alice, "<sip:bob@home.example>")).status == 202
        from_ = (await p.bob.invited()).request.from_
        assert (from_.display or "").startswith("not verified: ")
        assert from_.sip_uri().address == "mallory@elsewhere.example"


@pytest.mark.parametrize("is_asked_of_stranger", [True, False])
async def test_a_stranger_is_joined_with_nobody_outside(autojump_clock: MockClock, is_asked_of_stranger: bool) -> None:
    async with country() as c:
        p = await _place(c)
        alice = await _talking(p)
        outgoing = dial(p.alice, "sip:+4989@home.example")
        number = await outgoing.established()
        leaves, other = (alice, number) if is_asked_of_stranger else (number, alice)
        target = f"<sip:x@home.example?Replaces={replaces(other)}>"
        assert (await refer(leaves, target)).status == 202
        assert await hear(leaves, "NOTIFY") == "SIP/2.0 100 Trying"
        assert await hear(leaves, "NOTIFY") == "SIP/2.0 403 Forbidden"


async def test_a_caller_over_a_trunk_is_forwarded_over_it_where_the_setting_names_the_number(
    autojump_clock: MockClock,
) -> None:
    async with country() as c:
        p = await _place(c)
        flow = Flow("udp", p.provider.address, ("127.0.1.1", 5090))
        p.provider.sip.start(invite(), flow)
        _redirect(await p.alice.invited(), "sip:+4989@home.example")
        await trio.sleep(1)
        assert p.provider.count("INVITE") == 1
