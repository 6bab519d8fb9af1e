"""Transfers and redirections to telephone numbers: by the rules and caps that count for a call of the phone."""

from typing import Any

import trio
from trio.testing import MockClock

from p2psip.naming.routing import Step
from p2psip.sip.build import make_response
from tests.calls.transferring import hear, refer, talk
from tests.calls.world import Phone, sdp
from tests.trunks.provider import Country, Plan, Provider, country, over, static

PREMIUM = Step("refused", "+1900", "premium numbers need a rule", status=403)


class People:
    """alice with a trunk, and bob, who has called nobody yet."""

    def __init__(self, provider: Provider, outside: Any, alice: Phone, bob: Phone, node: Any) -> None:
        self.provider = provider
        self.outside = outside
        self.alice = alice
        self.bob = bob
        self.node = node


async def people(c: Country, **changes: Any) -> People:
    provider = await c.provider()
    provider.asks = False
    node = await c.world.node("alice", "1001", trust_registered_flows=True, redirects=("+*",))
    alice = await c.world.phone(node, "alice", 6000)
    plan = Plan({"+4989": over("static"), "+1900": [PREMIUM]})
    outside = await c.connect(node, plan, static(**changes))
    bob = await c.world.phone(await c.world.node("bob", "1002"), "bob", 6100)
    return People(provider, outside, alice, bob, node)


async def test_a_caller_is_transferred_to_a_number_which_counts_as_a_call_until_the_end(
    autojump_clock: MockClock,
) -> None:
    async with country() as c:
        p = await people(c)
        alice, bob = await talk(p.alice, p.bob, "sip:bob@home.example")
        assert (await refer(alice, "<sip:+4989@home.example>")).status == 202
        assert await hear(alice, "NOTIFY") == "SIP/2.0 100 Trying"
        for _question_and_offer in range(2):  # the provider takes PCMA only, and bob had answered PCMU
            await hear(bob, "INVITE", 200, sdp(6101, "8 0 101"))
        assert await hear(alice, "NOTIFY") == "SIP/2.0 200 OK"
        assert (await alice.ask("BYE")).status == 200
        await trio.sleep(100)
        assert p.outside.status()[0]["calls"] == 1
        assert (await bob.ask("BYE")).status == 200
        await trio.sleep(1)
        assert p.provider.seen[-1].method == "BYE"
        assert p.outside.status()[0]["calls"] == 0
        assert not p.node.media.open_legs()


async def test_toll_fraud_by_transfer_is_refused_and_noted(autojump_clock: MockClock) -> None:
    async with country() as c:
        p = await people(c)
        alice, _bob = await talk(p.alice, p.bob, "sip:bob@home.example")
        assert (await refer(alice, "<sip:+1900@home.example>")).status == 202
        await hear(alice, "NOTIFY")
        assert await hear(alice, "NOTIFY") == "SIP/2.0 403 Forbidden"
        assert p.provider.count("INVITE") == 0
        assert p.node.server.incidents.counts["forbidden number"] == 1


async def test_a_phone_forwards_to_a_number_by_its_own_rights(autojump_clock: MockClock) -> None:
    async with country() as c:
        p = await people(c)
        for number, status in (("+1900", 403), ("+4989", 200)):
            outgoing = await p.bob.call("sip:alice@home.example")
            invite = await p.alice.invited()
            contact = [("Contact", f"<sip:{number}@home.example>")]
            invite.respond(make_response(invite.request, 302, to_tag="r", headers=contact))
            await outgoing.response(status)
        await trio.sleep(1)
        (call,) = [each for each in p.provider.seen if each.method == "INVITE"]
        assert call.headers.get("Diversion") is None, "a provider need not learn who forwards"
        assert p.outside.status()[0]["calls"] == 1
