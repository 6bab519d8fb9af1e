"""Calls over trunks on virtual time: both ways, from server to server and trunk to trunk, for members and nobody else."""

import ipaddress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2psip.base.errors import RemoteError
from p2psip.calls.searching import OUTSIDE_TARGETS_MAX
from p2psip.naming.routing import Hop, Route, Step
from p2psip.sip.build import make_request, make_response
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.sdp import SessionDescription
from p2psip.sip.uri import SipUri
from p2psip.trunks.trunk import Offer
from tests.calls.steps import both
from tests.calls.world import Established, Node, Phone, sdp
from tests.trunks.provider import Country, Plan, Provider, country, over, static
from tests.trunks.values import NUMBER, trunk

GERMANY = "sip:+4989@home.example"


async def _alice(c: Country, *trunks: Any, plan: Plan | None = None) -> tuple[Node, Phone, Any]:
    node = await c.world.node("alice", "1001")
    phone = await c.world.phone(node, "alice", 6000)
    chosen = plan or Plan({"+4989": over(*(each.name for each in trunks))})
    return node, phone, await c.connect(node, chosen, *trunks)


def _invites(provider: Provider) -> list[Request]:
    return [request for request in provider.seen if request.method == "INVITE"]


async def _calls_in(provider: Provider, number: str = NUMBER, *headers: tuple[str, str]) -> Any:
    """An INVITE of the provider to the socket of the trunk."""
    target = SipUri.parse("sip:4930123@127.0.1.1:5090")
    request = make_request(
        "INVITE",
        target,
        from_=NameAddr("Bob", SipUri.parse("sip:+4989@provider.example")).with_tag("p"),
        to=NameAddr(None, SipUri.parse(f"sip:{number}@provider.example")),
        call_id=f"to-{number}-at-{trio.current_time()}",
        cseq=1,
        headers=[("Contact", f"<sip:gw@{provider.address[0]}>"), *headers],
        body=sdp(7000, "8 101"),
        content_type="application/sdp",
    )
    flow = Flow("udp", provider.address, ("127.0.1.1", 5090))
    return provider.sip.start(request, flow)


async def test_a_phone_calls_through_a_trunk_and_hangs_up(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        mine = trunk(caller_id=NUMBER, codecs=("PCMA",))
        node, phone, outside = await _alice(c, mine)
        there = await (await phone.call(GERMANY)).established()
        first, second = _invites(provider)
        assert str(second.uri) == "sip:+4989@provider.example;user=phone"
        assert str(second.from_.uri) == f"sip:{NUMBER}@provider.example"
        assert second.headers.get("Contact") == "<sip:4930123@127.0.1.1:5090>"
        assert (second.call_id, second.cseq.number) == (first.call_id, 2)
        assert SessionDescription.parse(second.body).media[0].formats == ("8", "101")
        assert outside.status()[0]["calls"] == 1
        assert (await there.ask("BYE")).status == 200
        await trio.sleep(1)
        assert provider.seen[-1].method == "BYE"
        assert outside.status()[0]["calls"] == 0
        assert not node.media.open_legs()


async def test_a_bye_that_is_challenged_is_sent_again(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        _node, phone, _outside = await _alice(c, trunk())
        there = await (await phone.call(GERMANY)).established()
        await trio.sleep(400)  # the nonce is stale by then
        assert (await there.ask("BYE")).status == 200
        await trio.sleep(1)
        byes = [request for request in provider.seen if request.method == "BYE"]
        assert len(byes) == 2
        assert byes[1].cseq.number == byes[0].cseq.number + 1


async def test_the_provider_calls_the_owner_of_a_number(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        _node, phone, outside = await _alice(c, trunk())
        exchange = await _calls_in(provider)
        invite = await phone.invited()
        assert str(invite.request.from_.uri) == "sip:+4989@provider.example"
        there: list[Established] = []

        async def answer() -> None:
            there.append(await phone.answer(invite, body=sdp(6001, "8 101")))

        response = await both(exchange.final_response, answer)
        assert response.status == 200
        assert response.headers.get("Contact") == "<sip:4930123@127.0.1.1:5090>"
        assert outside.status()[0]["calls"] == 1


async def test_a_number_that_is_nobodys_gets_404_and_one_call_too_many_503(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        _node, _phone, outside = await _alice(c, trunk(calls_max=1))
        response = await (await _calls_in(provider, "+4930999")).final_response()
        assert response.status == 404
        assert "nobody's here" in response.warning
        assert outside.status()[0]["calls"] == 0
        outside.lines["provider"].arrivals.begin(0.0)
        await trio.sleep(1)
        assert (await (await _calls_in(provider)).final_response()).status == 503


async def test_calls_that_come_in_leave_room_for_those_that_go_out(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        _node, phone, outside = await _alice(c, static(calls_max=1))
        outside.lines["static"].arrivals.begin(0.0)
        await (await phone.call(GERMANY)).established()
        assert outside.status()[0]["calls"] == 2


async def test_nobody_but_the_provider_is_heard_at_the_socket_of_a_trunk(autojump_clock: MockClock) -> None:
    async with country() as c:
        await c.provider()
        _node, _phone, _outside = await _alice(c, trunk())
        stranger = await c.provider("elsewhere.example", 66)
        for request in ((await _calls_in(stranger)), stranger.sip.start(_register(), _flow(stranger))):
            assert (await request.final_response()).status == 403


def _register() -> Request:
    us = NameAddr(None, SipUri.parse("sip:alice@home.example"))
    return make_request("REGISTER", us.uri, from_=us.with_tag("x"), to=us, call_id="scan", cseq=1)


def _flow(provider: Provider) -> Flow:
    return Flow("udp", provider.address, ("127.0.1.1", 5090))


async def test_a_provider_may_call_and_nothing_else(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        _node, _phone, _outside = await _alice(c, trunk())
        us = NameAddr(None, SipUri.parse("sip:+4989@home.example"))
        message = make_request("MESSAGE", us.uri, from_=us.with_tag("x"), to=us, call_id="m", cseq=1)
        assert (await provider.sip.start(message, _flow(provider)).final_response()).status == 403


async def test_no_provider_comes_to_the_registrar_by_any_door(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        node, _phone, _outside = await _alice(c, static(sources=(ipaddress.ip_network("192.0.2.9/32"),)))
        for door in (_flow(provider), Flow("udp", provider.address, node.sip.address)):
            request = _register()
            request.headers.set("Call-ID", f"scan-{door.remote[1]}")
            response = await provider.sip.start(request, door).final_response()
            assert (response.status, response.warning) == (403, "nodes and providers do not register here")


async def test_a_static_provider_is_known_by_its_address(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        await c.provider("elsewhere.example", 66)
        mine = static(sources=(ipaddress.ip_network("192.0.2.66/32"),))
        _node, phone, _outside = await _alice(c, mine)
        provider.asks = False
        there = await (await phone.call(GERMANY)).established()
        assert (await there.ask("BYE")).status == 200
        other = Provider(c.world.network, ("192.0.2.66", 5061))
        c.world.nursery.start_soon(other.run)
        await trio.sleep(0.1)
        exchange = await _calls_in(other)
        phone.refuse(await phone.invited(), 486)
        assert (await exchange.final_response()).status == 486


# From server to server, from trunk to trunk


async def test_a_dead_server_is_followed_by_the_next(autojump_clock: MockClock) -> None:
    async with country() as c:
        dead, second = await c.provider(number=8), await c.provider(number=9)
        _node, phone, _outside = await _alice(c, static(health_seconds=0))
        c.world.network.dead.add(dead.sip)
        second.asks = False
        started = trio.current_time()
        await (await phone.call(GERMANY)).established()
        assert trio.current_time() - started < 6
        assert len(_invites(second)) == 1


@pytest.mark.parametrize("status", [503, 403, 500, 401, 407])
async def test_a_trunk_that_cannot_help_is_followed_by_the_next(autojump_clock: MockClock, status: int) -> None:
    async with country() as c:
        first, second = await c.provider("a.example", 8), await c.provider("b.example", 9)
        first.refuse = lambda request: (status, []) if request.method == "INVITE" else None
        second.asks = False
        a = static("a", server=SipUri.parse("sip:a.example"), calls_max=1)
        b = static("b", server=SipUri.parse("sip:b.example"))
        _node, phone, outside = await _alice(c, a, b)
        await (await phone.call(GERMANY)).established()
        assert [each["calls"] for each in outside.status()] == [0, 1]
        assert str(status) in outside.status()[0]["last_error"]


@pytest.mark.parametrize("status", [401, 407])
async def test_a_server_that_asks_for_a_password_is_followed_by_the_next_way(
    autojump_clock: MockClock, status: int
) -> None:
    async with country() as c:
        somebody, provider = await c.provider("somewhere.example", 8), await c.provider(number=9)
        somebody.refuse = lambda _request: (status, [])
        provider.asks = False
        direct = Route("enum", "sip:carol@somewhere.example", (Hop("udp", somebody.address, "somewhere.example"),))
        plan = Plan({"+4989": [Step("enum", "", "", (direct,)), *over("static")]})
        _node, phone, _outside = await _alice(c, static(), plan=plan)
        await (await phone.call(GERMANY)).established()
        assert len(_invites(somebody)) == len(_invites(provider)) == 1


async def test_a_server_that_wants_to_be_left_alone_is(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.refuse = lambda request: (503, [("Retry-After", "60")]) if request.method == "INVITE" else None
        _node, phone, _outside = await _alice(c, static())
        await (await phone.call(GERMANY)).response(503)
        response = await (await phone.call(GERMANY)).response(503)
        assert response.warning == "trunk static: its servers want no calls for 60 s"
        assert len(_invites(provider)) == 1
        provider.refuse = lambda _request: None
        provider.asks = False
        await trio.sleep(60)
        await (await phone.call(GERMANY)).established()


@pytest.mark.parametrize(("status", "told"), [(486, 486), (404, 404), (603, 603)])
async def test_a_definite_no_is_passed_on_and_asked_nowhere_else(
    autojump_clock: MockClock, status: int, told: int
) -> None:
    async with country() as c:
        first, second = await c.provider("a.example", 8), await c.provider("b.example", 9)
        first.refuse = lambda request: (status, []) if request.method == "INVITE" else None
        a, b = static("a", server=SipUri.parse("sip:a.example")), static("b", server=SipUri.parse("sip:b.example"))
        _node, phone, outside = await _alice(c, a, b)
        response = await (await phone.call(GERMANY)).response(told)
        assert response.warning.startswith(f"trunk a says {status}")
        assert not _invites(second)
        assert outside.status()[0]["calls"] == 0


async def test_a_refused_password_is_told_as_503_and_not_as_a_question(autojump_clock: MockClock) -> None:
    async with country() as c:
        await c.provider()
        _node, phone, outside = await _alice(c, trunk(registers=False, password="wrong"))
        response = await (await phone.call(GERMANY)).response(503)
        assert "the password of user '4930123' is refused" in response.warning
        assert "407" in outside.status()[0]["last_error"]


async def test_a_trunk_that_is_down_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        _node, phone, outside = await _alice(c, static())
        c.world.network.dead.add(provider.sip)
        await trio.sleep(120)
        started = trio.current_time()
        response = await (await phone.call(GERMANY)).response(503)
        assert response.warning.startswith("trunk static is down")
        assert trio.current_time() - started < 1
        assert not outside.lines["static"].is_usable


# Caps, redirections, plans


async def test_one_call_more_than_the_cap_is_refused_and_noted(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        node, phone, _outside = await _alice(c, static(calls_max=1))
        there = await (await phone.call(GERMANY)).established()
        response = await (await phone.call(GERMANY)).response(503)
        assert "carries 1 calls already" in response.warning
        assert node.server.incidents.counts["cap of a trunk"] == 1
        await there.ask("BYE")
        await trio.sleep(1)
        await (await phone.call(GERMANY)).established()


async def test_an_emergency_passes_the_caps(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        route = Route("trunk", "sip:112@home.example;user=phone", trunk="static", is_emergency=True)
        _node, phone, outside = await _alice(
            c, static(calls_max=1), plan=Plan({"112": [Step("trunk", "", "", (route,))]})
        )
        outside.lines["static"].caps.begin(0.0)
        await (await phone.call("sip:112@home.example")).established()


@pytest.mark.parametrize(
    ("contact", "followed"),
    [
        ("<sip:+4989@gw2.example>", True),
        ("<sip:+4989@evil.example>", False),
        ("<sip:+1900@gw2.example>", False),
        ("<tel:+4989>", False),
    ],
)
async def test_a_redirection_is_followed_to_named_servers_only(
    autojump_clock: MockClock, contact: str, followed: bool
) -> None:
    async with country() as c:
        first, second = await c.provider(), await c.provider("gw2.example", 10)
        await c.provider("evil.example", 66)
        second.asks = False
        first.refuse = lambda request: (302, [("Contact", contact)]) if request.method == "INVITE" else None
        _node, phone, outside = await _alice(c, static(redirects_to=("gw2.example",)))
        outgoing = await phone.call(GERMANY)
        if followed:
            await outgoing.established()
            assert len(_invites(second)) == 1
        else:
            assert "redirects the call to where it may not go" in (await outgoing.response(503)).warning
            assert not _invites(second)
        await trio.sleep(1)
        assert outside.status()[0]["calls"] == int(followed)


async def test_what_the_plan_refuses_is_told_with_its_reason(autojump_clock: MockClock) -> None:
    async with country() as c:
        await c.provider()
        plan = Plan({"+4989": [Step("refused", "+4989", "premium numbers need a rule", status=403)]})
        node, phone, _outside = await _alice(c, static(), plan=plan)
        response = await (await phone.call(GERMANY)).response(403)
        assert response.warning == "premium numbers need a rule"
        (incident,) = node.server.status()["refused"]["recent"]
        assert (incident["kind"], incident["words"]) == ("forbidden number", response.warning)
        assert incident["who"] == "phone alice of alice@home.example"


async def test_people_of_the_overlay_are_called_without_the_trunk(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        node, phone, _outside = await _alice(c, static(), plan=Plan({"1001": over("static")}))
        second = await c.world.phone(node, "alice-2", 6100)
        outgoing = await phone.call("sip:1001@home.example")
        second.refuse(await second.invited(), 486)
        await outgoing.response(486)
        assert not _invites(provider)


async def test_a_number_that_called_is_called_back(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        _node, phone, _outside = await _alice(c, static())
        await (await phone.call("sip:+4989@Provider.example")).established()
        assert str(_invites(provider)[0].uri) == "sip:+4989@provider.example;user=phone"


async def test_a_server_that_is_no_trunk_is_called_from_a_socket_of_its_own(autojump_clock: MockClock) -> None:
    async with country() as c:
        somebody = await c.provider("somewhere.example")
        somebody.asks = False
        hops = (Hop("udp", ("192.0.2.77", 5060), ""), Hop("udp", somebody.address, "somewhere.example"))
        route = Route("domain", "sip:carol@somewhere.example", hops)
        plan = Plan({"carol": [Step("domain", "", "", (route,))]})
        _node, phone, _outside = await _alice(c, plan=plan)
        there = await (await phone.call("sip:carol@somewhere.example")).established()
        (invite,) = _invites(somebody)
        assert str(invite.uri) == "sip:carol@somewhere.example"
        assert invite.headers.get("Contact") == "<sip:alice@127.0.1.1:5090>"
        assert (await there.ask("BYE")).status == 200
        scan = somebody.sip.start(_register(), _flow(somebody))
        assert (await scan.final_response()).status == 403


async def test_a_node_without_an_overlay_still_has_its_trunk(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        node, phone, _outside = await _alice(c, static())
        node.directory.error = RemoteError("the overlay cannot be asked", status=503)
        await (await phone.call(GERMANY)).established()
        assert "cannot be asked" in (await (await phone.call("sip:bob@home.example")).response(503)).warning


async def test_a_call_asks_so_many_servers_and_no_more(autojump_clock: MockClock) -> None:
    async with country() as c:
        providers = [await c.provider(f"p{number}.example", number + 1) for number in range(OUTSIDE_TARGETS_MAX + 1)]
        for each in providers:
            each.refuse = lambda _request: (503, [])
        hops = tuple(Hop("udp", each.address, "") for each in providers)
        steps = [
            Step("domain", "", "", (Route("domain", "sip:carol@p.example", hops[part : part + 7]),)) for part in (0, 7)
        ]
        _node, phone, _outside = await _alice(c, plan=Plan({"carol": steps}))
        await (await phone.call("sip:carol@p.example")).response(503)
        assert sum(len(_invites(each)) for each in providers) == OUTSIDE_TARGETS_MAX


async def test_a_trunk_that_a_call_no_longer_asks_is_free_again(autojump_clock: MockClock) -> None:
    async with country() as c:
        dead = [await c.provider(f"p{number}.example", number + 10) for number in range(OUTSIDE_TARGETS_MAX)]
        for each in dead:
            each.refuse = lambda _request: (503, [])
        await c.provider()
        hops = tuple(Hop("udp", each.address, "") for each in dead)
        domain = Step("domain", "", "", (Route("domain", "sip:carol@p.example", hops),))
        _node, phone, outside = await _alice(c, static(), plan=Plan({"+4989": [domain, *over("static")]}))
        await (await phone.call(GERMANY)).response(503)
        await trio.sleep(1.0)
        assert outside.status()[0]["calls"] == 0


async def test_a_call_that_is_given_up_is_cancelled_at_the_provider(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.refuse = lambda request: (0, []) if request.method == "INVITE" else None

        async def ring() -> None:
            exchange = await provider.sip.incoming.receive()
            exchange.respond(make_response(exchange.request, 180, to_tag="p"))

        _node, phone, outside = await _alice(c, static(answer_seconds=30.0))
        outgoing = await phone.call(GERMANY)
        await trio.sleep(1)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        await trio.sleep(40)
        assert outside.status()[0]["calls"] == 0


# Over another member's trunk


async def _two(c: Country, offer: Offer) -> tuple[Provider, Phone, Node, Any]:
    """bob has the trunk; alice calls over it."""
    provider = await c.provider()
    provider.asks = False
    a, b = await c.world.node("alice", "1001"), await c.world.node("bob", "1002")
    alice, bob = await c.world.phone(a, "alice", 6000), await c.world.phone(b, "bob", 6100)
    assert bob
    via = Step("trunk", "bob", "", (Route("trunk", GERMANY, via="bob@home.example"),))
    await c.connect(a, Plan({"+4989": [via]}))
    outside = await c.connect(b, Plan({"+4989": over("static")}), static(offer=offer, caller_id=NUMBER))
    return provider, alice, b, outside


async def test_a_member_calls_over_the_trunk_that_is_offered_to_her(autojump_clock: MockClock) -> None:
    async with country() as c:
        offer = Offer(frozenset({"alice@home.example"}), 1, 10, 1)
        provider, alice, _b, outside = await _two(c, offer)
        there = await (await alice.call(GERMANY)).established()
        (invite,) = _invites(provider)
        assert str(invite.from_.uri) == f"sip:{NUMBER}@provider.example"
        assert "alice" not in invite.to_bytes().decode()
        assert "carries 1 calls already" in (await (await alice.call(GERMANY)).response(503)).warning
        await there.expect("BYE")  # after the one minute that alice has each day
        await trio.sleep(1)
        assert outside.status()[0]["calls"] == 0
        assert "1 minutes of today" in (await (await alice.call(GERMANY)).response(503)).warning


async def test_a_node_that_offers_a_trunk_is_found_without_phones(autojump_clock: MockClock) -> None:
    async with country() as c:
        await c.provider()
        node = await c.world.node("bob", "1002")
        await c.connect(node, Plan(), static())
        assert "bob@home.example" not in c.world.shared
        await c.connect(node, Plan(), static(offer=Offer(frozenset({"alice@home.example"}))))
        assert c.world.shared["bob@home.example"] == [node.sip.node_id]


async def test_a_trunk_is_offered_to_nobody_else(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider, alice, b, _outside = await _two(c, Offer(frozenset({"carol@home.example"})))
        response = await (await alice.call(GERMANY)).response(403)
        assert "no trunk of this node is offered to alice@home.example" in response.warning
        assert not _invites(provider)
        assert b.server.incidents.counts["toll fraud"] == 1


async def test_a_provider_calls_a_member_elsewhere_in_the_name_of_the_node(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        a, b = await c.world.node("alice", "1001"), await c.world.node("bob", "1002")
        await c.world.phone(a, "alice", 6000)
        bob = await c.world.phone(b, "bob", 6100)
        await c.connect(a, Plan(), trunk(numbers={NUMBER: "bob@home.example"}))
        exchange = await _calls_in(provider)
        invite = await bob.invited()
        assert str(invite.request.from_.uri) == "sip:alice@home.example"
        assert invite.request.from_.display == "Bob (+4989) by telephone"
        bob.refuse(invite, 486)
        assert (await exchange.final_response()).status == 486


# What is said within a call


T38 = b"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=image 7010 udptl t38\r\n"


async def test_an_offer_of_fax_goes_on_to_the_phone_and_its_refusal_back(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        _node, phone, outside = await _alice(c, static())
        there = await (await phone.call(GERMANY)).established()
        await wait_all_tasks_blocked()
        _exchange, dialog = provider.calls[0]
        request = dialog.request("INVITE", body=T38, content_type="application/sdp")
        exchange = provider.sip.start(request, _flow(provider))
        response = await both(exchange.final_response, lambda: there.expect("INVITE", 488))
        assert response.status == 488
        assert outside.status()[0]["calls"] == 1
        assert (await there.ask("BYE")).status == 200


async def test_digits_are_agreed_on_with_the_codec(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        _node, phone, _outside = await _alice(c, static(codecs=("PCMA",)))
        outgoing = await phone.call(GERMANY)
        await outgoing.established()
        assert SessionDescription.parse(_invites(provider)[0].body).media[0].formats == ("8", "101")
        assert SessionDescription.parse(outgoing.answer).media[0].formats == ("8", "101")


async def test_early_media_of_a_provider_is_heard(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.early = sdp(7002, "8")
        provider.asks = False
        node, phone, _outside = await _alice(c, static())
        outgoing = await phone.call(GERMANY)
        response = await outgoing.response(183)
        assert SessionDescription.parse(response.body).media[0].formats == ("8",)
        assert node.media.legs[1].remotes[-1] == ("127.0.0.1", 7002)
        await outgoing.established()
