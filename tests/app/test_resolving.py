"""The resolver: stages one after the other, what ENUM may lead to, and where strangers' DNS may not send us."""

import itertools
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from p2psip.app.explaining import as_uri, explain
from p2psip.app.resolving import PORTED_MAX, Resolver
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.naming.countries import COUNTRIES
from p2psip.naming.dial_plan import DialPlan
from p2psip.naming.dial_rules import Pattern, Rule
from p2psip.naming.enum import enum_name
from p2psip.naming.questions import Inquiry, T, run_inquiry
from p2psip.naming.routing import Hop, Step
from p2psip.sip.uri import SipUri
from tests.naming.zone import Zone

ALICE, NUMBER = "alice@home.example", "+493012345"
ALL = "!^.*$!{}!"
PLAN = DialPlan(
    "home.example",
    is_configured=True,
    country=COUNTRIES["DE"],
    enum_roots=("e164.arpa",),
    trunks=("gold", "silver"),
    allowed=frozenset({"DE"}),
    domains=("*",),
)


class ZoneDns:
    """Fulfils what a resolver needs of a DNS client."""

    def __init__(self) -> None:
        self.zone = Zone()

    async def run(self, inquiry: Inquiry[T]) -> T:
        """Answers from the zone."""
        return run_inquiry(inquiry, self.zone.ask)


def resolver(dns: ZoneDns, plan: DialPlan = PLAN, *, private_hosts: bool = False) -> Resolver:
    found: Any = dns
    return Resolver(
        plan,
        addresses=Addresses("home.example", (ALICE,)),
        dns=found,
        chance=Chance.seeded(1),
        trunks=("gold",),
        private_hosts=private_hosts,
        own_domain="public.example",
    )


async def steps(dns: ZoneDns, target: str, plan: DialPlan = PLAN, *, private_hosts: bool = False) -> list[Step]:
    return [step async for step in resolver(dns, plan, private_hosts=private_hosts).routes(target, ALICE)]


def enum(dns: ZoneDns, number: str, *uris: str) -> None:
    services = ["E2U+sip" if uri.startswith("sip") else "E2U+pstn:tel" for uri in uris]
    rules = [(1, place, "u", services[place], ALL.format(uri), "") for place, uri in enumerate(uris)]
    dns.zone.naptr(enum_name(number, "e164.arpa"), *rules)


def brief(found: list[Step]) -> list[tuple[str, int]]:
    return [(step.stage, len(step.found)) for step in found]


async def test_the_stages_of_a_number_in_order_and_only_when_asked_for() -> None:
    dns = ZoneDns()
    enum(dns, NUMBER, "sip:a@peer.example", "sip:b@other.example")
    dns.zone.address("peer.example", "198.18.0.1", "8.8.8.8")
    seen = []
    async with aclosing(resolver(dns).routes("sip:03012345@home.example", ALICE)) as routes:
        async for step in routes:
            seen.append(step)
            if step.found and step.stage == "enum":
                break
    assert brief(seen) == [("local", 1), ("local", 1), ("overlay", 1), ("overlay", 1), ("enum", 1)]
    assert seen[-1].found[0].uri == "sip:a@peer.example"
    assert seen[-1].found[0].hops == (Hop("udp", ("8.8.8.8", 5060), "peer.example"),)  # 198.18/15 is nobody's
    assert not any("other.example" in question.name for question in dns.zone.asked)
    rest = await steps(dns, "sip:03012345@home.example")
    assert brief(rest)[5:] == [("enum", 0), ("trunk", 1), ("trunk", 0)]
    assert rest[5].status == 404
    route = rest[6].found[0]
    assert (route.trunk, route.uri) == ("gold", "sip:+493012345@home.example;user=phone")
    assert "no trunk of this name" in rest[7].reason


async def test_a_refusal_comes_last_and_says_why() -> None:
    found = await steps(ZoneDns(), "tel:+49-900-123456")
    assert (found[-1].stage, found[-1].status) == ("refused", 403)
    assert "premium" in found[-1].reason


async def test_emergency_calls_go_to_their_trunk_alone() -> None:
    plan = replace(PLAN, emergency_trunk="gold")
    for target in ("sip:112@home.example", "urn:service:sos.police", "tel:112"):
        step, after = await steps(ZoneDns(), target, plan)
        assert after.stage == "refused"
        assert step.is_emergency
        assert after.is_emergency
        assert (step.stage, step.found[0].trunk, step.found[0].is_emergency) == ("trunk", "gold", True)
    (refused,) = await steps(ZoneDns(), "sip:112@192.0.2.1")
    assert (refused.stage, refused.status, refused.is_emergency) == ("refused", 503, True)
    assert not any(step.is_emergency for step in await steps(ZoneDns(), "tel:+49-900-123456"))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
        "0.0.0.0",
    ],
)
async def test_dns_of_strangers_does_not_lead_into_our_own_network(address: str) -> None:
    dns = ZoneDns()
    dns.zone.address("peer.example", address)
    (step,) = await steps(dns, "sip:a@peer.example")
    assert (step.stage, step.found, step.status) == ("domain", (), 403)
    allowed = await steps(dns, "sip:a@peer.example", private_hosts=True)
    assert bool(allowed[0].found) is (address != "0.0.0.0")


async def test_addresses_that_stand_for_ways_of_the_overlay_are_never_dialled() -> None:
    dns = ZoneDns()
    dns.zone.address("peer.example", "100::1")
    assert not (await steps(dns, "sip:a@peer.example", private_hosts=True))[0].found
    with pytest.raises(RemoteError):
        await resolver(dns).locate(SipUri.parse("sip:peer.example"))


async def test_the_owners_own_targets_may_be_private() -> None:
    plan = replace(PLAN, rules=(Rule("pbx", Pattern.parse("7XX"), target="sip:{dialled}@10.0.0.5"),))
    (step,) = await steps(ZoneDns(), "sip:712@home.example", plan)
    assert step.found[0].hops == (Hop("udp", ("10.0.0.5", 5060), "10.0.0.5"),)
    found = await resolver(ZoneDns()).locate(SipUri.parse("sip:10.0.0.5:5070;transport=tcp"))
    assert found == (Hop("tcp", ("10.0.0.5", 5070), "10.0.0.5"),)


async def test_why_a_domain_cannot_be_reached() -> None:
    dns = ZoneDns()
    for outcome, status in (("bogus", 502), ("timeout", 504), ("refused", 503), ("no such name", 404)):
        dns.zone.fail("peer.example", "A", outcome)  # type: ignore[arg-type]
        dns.zone.fail("peer.example", "AAAA", outcome)  # type: ignore[arg-type]
        (step,) = await steps(dns, "sip:a@peer.example:5060")
        assert (step.found, step.status) == ((), status)
        assert outcome in step.reason
        with pytest.raises(RemoteError) as error:
            await resolver(dns).locate(SipUri.parse("sip:peer.example:5060"))
        assert error.value.status == status
    (closed,) = await steps(dns, "sip:a@peer.example", replace(PLAN, domains=()))
    assert (closed.stage, closed.status) == ("refused", 404)


async def test_enum_may_name_somebody_of_this_overlay() -> None:
    dns = ZoneDns()
    enum(dns, NUMBER, "sip:Bob@HOME.example")
    found = await steps(dns, f"tel:{NUMBER}")
    assert ("overlay", "sip:bob@home.example") in [(step.stage, step.found[0].uri) for step in found if step.found]


async def test_the_domain_that_leads_here_is_the_overlay() -> None:
    dns = ZoneDns()
    found = await steps(dns, "sip:Bob@public.example")
    assert [step.found[0].uri for step in found] == ["sip:bob@home.example"] * 2
    enum(dns, NUMBER, "sip:bob@public.example")
    assert ("overlay", 1) in brief((await steps(dns, f"tel:{NUMBER}"))[2:])


async def test_maddr_is_no_way_around_the_list_of_domains() -> None:
    plan = replace(PLAN, domains=("peer.example",))
    (refused,) = await steps(ZoneDns(), "sip:a@peer.example;maddr=8.8.8.8", plan)
    assert refused.stage == "refused"
    assert (await steps(ZoneDns(), "sip:a@peer.example;maddr=8.8.8.8"))[0].found[0].hops[0].address == ("8.8.8.8", 5060)


async def test_a_ported_number_is_the_telephone_networks() -> None:
    dns = ZoneDns()
    enum(dns, NUMBER, f"tel:{NUMBER};npdi;rn=+493099")
    found = await steps(dns, f"tel:{NUMBER}")
    assert "ported to +493099" in found[2].reason
    assert found[3].stage == "trunk"
    looked_up = resolver(dns)
    skipped = [step async for step in looked_up.routes(f"tel:{NUMBER};npdi", ALICE)]
    assert "npdi" in skipped[2].reason


async def test_a_number_may_stand_for_another_one_within_the_guards() -> None:
    dns = ZoneDns()
    enum(dns, NUMBER, "tel:+493099999", "tel:+49900123456", "tel:+18765551234")
    enum(dns, "+493099999", f"tel:{NUMBER}", "sip:x@peer.example")
    dns.zone.address("peer.example", "8.8.8.8")
    found = await steps(dns, f"tel:{NUMBER}")
    assert "sip:x@peer.example" in [route.uri for step in found for route in step.found]
    assert any("loop" in step.reason for step in found)
    assert [step.status for step in found if step.stage == "refused"] == [403, 403]
    dialled = {route.uri for step in found for route in step.found if route.stage == "trunk"}
    assert dialled == {"sip:+493099999@home.example;user=phone", f"sip:{NUMBER}@home.example;user=phone"}


async def test_a_chain_of_numbers_has_an_end() -> None:
    dns = ZoneDns()
    numbers = [f"+49301234{place}" for place in range(PORTED_MAX + 2)]
    for here, there in itertools.pairwise(numbers):
        enum(dns, here, f"tel:{there}")
    found = await steps(dns, f"tel:{numbers[0]}")
    assert any(f"{PORTED_MAX} numbers have led to others already" in step.reason for step in found)


@pytest.mark.parametrize("target", ["mailto:a@b", "sip:[x", "tel:alice"])
async def test_what_is_no_target(target: str) -> None:
    (step,) = await steps(ZoneDns(), target)
    assert step.stage == "refused"


class Somebody:
    """Fulfils `p2psip.app.explaining.People`."""

    def __init__(self, running: bool, *addresses: str) -> None:
        self.running = running
        self.addresses = addresses

    async def is_running(self) -> bool:
        """As it was made."""
        return self.running

    async def local(self, _address: str) -> list[str]:
        """Nobody."""
        return []

    async def overlay(self, address: str) -> list[str]:
        """A device of each address."""
        return ["device 12345678"] if address in self.addresses else []

    async def trunk(self, name: str) -> tuple[bool, str]:
        """Gold is there when somebody is."""
        return bool(self.addresses), f"{name} is as it is"


async def test_an_explanation_names_the_step_that_is_taken() -> None:
    dns = ZoneDns()
    here = await explain(resolver(dns), Somebody(True, "bob@home.example"), "sip:bob@home.example", ALICE)
    assert (here["taken"], here["node_running"]) == (2, True)
    assert "device 12345678" in here["steps"][1]["reason"]
    nobody = await explain(resolver(dns), Somebody(True), "sip:bob@home.example", ALICE)
    assert nobody["taken"] is None
    assert "nobody is registered" in nobody["steps"][0]["reason"]
    alone = await explain(resolver(dns), Somebody(False), "sip:03012345@home.example", ALICE)
    assert (alone["number"], alone["country"], alone["node_running"]) == (NUMBER, "DE", False)
    assert alone["steps"][alone["taken"] - 1]["routes"][0]["trunk"] == "gold"
    assert "not asked" in alone["steps"][0]["reason"]
    for addresses in ((), ("carol@home.example",)):
        trunk = await explain(resolver(dns), Somebody(True, *addresses), "sip:03012345@home.example", ALICE)
        assert (trunk["taken"] is not None) is bool(addresses)
        assert "gold is as it is" in trunk["steps"][5]["reason"]
    wrong = await explain(resolver(dns), Somebody(False), "mailto:a@b", ALICE)
    assert (wrong["number"], wrong["taken"]) == (None, None)


@pytest.mark.parametrize(
    ("typed", "uri"),
    [
        ("bob", "sip:bob@home.example"),
        (" 030 123 ", "sip:030123@home.example"),
        ("+44 20 7946-0018", "sip:+442079460018@home.example"),
        ("*747", "sip:*747@home.example"),
        ("bob@elsewhere.example", "sip:bob@elsewhere.example"),
        ("sip:bob", "sip:bob@home.example"),
        ("SIP:bob@x", "SIP:bob@x"),
        ("tel:+49", "tel:+49"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_what_a_person_types(typed: str, uri: str) -> None:
    assert as_uri(typed, "home.example") == uri
