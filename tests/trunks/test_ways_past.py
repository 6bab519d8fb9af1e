"""No call reaches a provider past the dial plan, the guards and the caps of its trunk."""

from ipaddress import ip_network
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2psip.naming.routing import Hop, Route, Step
from p2psip.sip.uri import SipUri, unescape
from p2psip.trunks.outside import LOOK_UP_SECONDS_MAX
from p2psip.trunks.trunk import Offer
from tests.calls.elsewhere import ask_over_the_overlay
from tests.calls.world import Node, Phone
from tests.trunks.provider import Country, Plan, country, over, static


async def _alice(c: Country, *trunks: Any, plan: Plan | None = None) -> tuple[Node, Phone, Any]:
    node = await c.world.node("alice", "1001")
    phone = await c.world.phone(node, "alice", 6000)
    chosen = plan or Plan({"+4989": over(*(each.name for each in trunks))})
    return node, phone, await c.connect(node, chosen, *trunks)


@pytest.mark.parametrize(
    "dialled",
    [
        "sip:+4989@provider.example.",
        "sip:+4989;x@provider.example",
        "sip:+49%2089@gateway.example",
        "sip:+4989@Gateway.Example;maddr=elsewhere.example",
    ],
)
async def test_a_number_at_any_name_of_a_provider_is_that_number(autojump_clock: MockClock, dialled: str) -> None:
    async with country() as c:
        asked = []

        class Asking(Plan):
            def routes(self, target: str, caller: str) -> Any:
                asked.append(target)
                return super().routes(target, caller)

        trunk = static(server=SipUri.parse("sip:gateway.example"))
        _node, _phone, outside = await _alice(c, trunk, plan=Asking())
        outside.steps(dialled, "alice@home.example")
        outside.steps("sip:+4989@elsewhere.example", "alice@home.example")
        assert [SipUri.parse(each).host for each in asked] == ["home.example", "elsewhere.example"]
        assert unescape(SipUri.parse(asked[0]).user or "").replace(" ", "") == "+4989"


@pytest.mark.parametrize(
    ("address", "host", "changes"),
    [
        ("192.0.2.9", "somewhere.example", {}),
        ("::ffff:192.0.2.9", "somewhere.example", {}),
        ("64:ff9b::192.0.2.9", "somewhere.example", {}),
        ("192.0.2.77", "Provider.example.", {}),
        ("198.51.100.7", "somewhere.example", {"sources": (ip_network("198.51.100.0/24"),)}),
    ],
)
async def test_no_call_goes_to_a_provider_past_its_trunk(
    autojump_clock: MockClock, address: str, host: str, changes: dict[str, Any]
) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        route = Route("enum", "sip:carol@somewhere.example", (Hop("udp", (address, 5060), host),))
        plan = Plan({"carol": [Step("enum", "", "", (route,))]})
        _node, phone, _outside = await _alice(c, static(health_seconds=0, **changes), plan=plan)
        response = await (await phone.call("sip:carol@somewhere.example")).response(403)
        assert "leads to the provider of trunk static" in response.warning
        assert provider.count("INVITE") == 0


async def test_a_trunk_whose_name_cannot_be_looked_up_holds_no_other_call_up_for_long(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country() as c:
        friend = await c.provider("friend.example")
        friend.asks = False
        route = Route("domain", "sip:carol@friend.example", (Hop("udp", friend.address, "friend.example"),))
        plan = Plan({"carol": [Step("domain", "", "", (route,))]})
        _node, phone, outside = await _alice(c, static(), plan=plan)
        monkeypatch.setattr(outside.lines["static"].servers, "hops", trio.sleep_forever)
        started = trio.current_time()
        await (await phone.call("sip:carol@friend.example")).established()
        assert trio.current_time() - started < LOOK_UP_SECONDS_MAX + 1


@pytest.mark.parametrize(
    ("contact", "followed"),
    [
        ("<sip:+4989@gw2.example;maddr=evil.example>", False),
        ("<sip:+4989@gw2.example;maddr>", False),
        ("<sip:+4989@gw2.example;transport=udp;lr;ttl=9;x=y>", True),
    ],
)
async def test_of_a_redirection_the_name_of_its_host_counts_and_no_parameter(
    autojump_clock: MockClock, contact: str, followed: bool
) -> None:
    async with country() as c:
        first, second = await c.provider(), await c.provider("gw2.example", 10)
        second.asks = False
        first.refuse = lambda request: (302, [("Contact", contact)]) if request.method == "INVITE" else None
        _node, phone, _outside = await _alice(c, static(redirects_to=("gw2.example",)))
        outgoing = await phone.call("sip:+4989@home.example")
        await (outgoing.established() if followed else outgoing.response(503))
        assert [str(each.uri) for each in second.seen] == ["sip:+4989@gw2.example"] * followed


@pytest.mark.parametrize(
    ("from_", "status"), [("<sip:mallory@elsewhere.example>", 404), ("<sip:alice@home.example>", 200)]
)
async def test_a_stranger_whom_a_node_leads_on_uses_no_trunk_that_is_offered_to_that_node(
    autojump_clock: MockClock, from_: str, status: int
) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        a, b = await c.world.node("alice", "1001"), await c.world.node("bob", "1002")
        offer = Offer(frozenset({"alice@home.example"}))
        outside = await c.connect(b, Plan({"+4989": over("static")}), static(offer=offer))
        answer = await ask_over_the_overlay(c.world, a, b, from_, user="+4989")
        assert answer.status == status, answer.warning
        assert provider.count("INVITE") == (status == 200)
        assert outside.status()[0]["calls"] == (status == 200)
