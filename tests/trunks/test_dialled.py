"""What servers send back over connections that we dialled: answers, requests in calls, and of providers calls."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.naming.routing import Hop, Route, Step
from p2psip.sip import ways as ways_module
from p2psip.sip.build import make_request
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from tests.calls.world import Node, Phone, sdp
from tests.trunks.provider import DIALLED, Country, Plan, country, over, static
from tests.trunks.values import NUMBER, trunk

ALICE = NameAddr(None, SipUri.parse("sip:alice@home.example"))


def _request(method: str, to: NameAddr = ALICE) -> Request:
    return make_request(
        method,
        ALICE.uri,
        from_=ALICE.with_tag("x"),
        to=to,
        call_id=f"{method}-back-at-{trio.current_time()}",
        cseq=1,
        headers=[("Contact", "<sip:gw@192.0.2.9>")],
        body=sdp(7000, "8 101"),
        content_type="application/sdp",
    )


async def test_a_server_that_we_have_called_is_no_phone(autojump_clock: MockClock) -> None:
    async with country() as c:
        somebody = await c.provider("somewhere.example")
        somebody.asks = False
        route = Route("domain", "sip:carol@somewhere.example", (Hop("tcp", somebody.address, "somewhere.example"),))
        node: Node = await c.world.node("alice", "1001")
        phone = await c.world.phone(node, "alice", 6000)
        await c.connect(node, Plan({"carol": [Step("domain", "", "", (route,))]}))
        there = await (await phone.call("sip:carol@somewhere.example")).established()
        back = Flow("tcp", somebody.address, node.sip.address, DIALLED)
        for method in ("REGISTER", "OPTIONS", "INVITE", "MESSAGE"):
            response = await somebody.sip.start(_request(method), back).final_response()
            assert (method, response.status) == (method, 403)
        _invite, dialog = somebody.calls[0]
        bye = dialog.request("BYE")
        exchange = somebody.sip.start(bye, back)
        await there.expect("BYE")
        assert (await exchange.final_response()).status == 200


async def test_a_provider_calls_over_the_connection_to_it(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        node: Node = await c.world.node("alice", "1001")
        phone = await c.world.phone(node, "alice", 6000)
        c.locator.transport = "tcp"
        await c.connect(node, Plan(), trunk())
        back = Flow("tcp", provider.address, node.sip.address, DIALLED)
        to = NameAddr(None, SipUri.parse(f"sip:{NUMBER}@provider.example"))
        provider.sip.start(_request("INVITE", to), back)
        assert (await phone.invited()).request.from_.sip_uri().user == "alice"


async def _dialled(c: Country, **settings: bool) -> tuple[Node, Phone, Flow]:
    """alice's phone, registered over UDP, was sent a message over TCP that was too large for a datagram."""
    node: Node = await c.world.node("alice", "1001", **settings)
    alice, second = await c.world.phone(node, "alice", 6000), await c.world.phone(node, "alice-2", 6100)
    await c.connect(node, Plan())
    words = second.request("MESSAGE", "sip:alice@home.example", body=b"much " * 240, content_type="text/plain")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.ask, words)
        message = await alice.invited()
        assert message.flow.transport == "tcp"
        alice.refuse(message, 200)
    return node, alice, Flow("tcp", alice.sip.address, node.sip.address, DIALLED)


async def test_a_phone_that_the_node_has_dialled_may_begin_requests_there_with_its_password(
    autojump_clock: MockClock,
) -> None:
    async with country() as c:
        node, alice, back = await _dialled(c, trust_registered_flows=True)
        for request in (alice.invitation("sip:alice-2@home.example"), alice.registration(alice.contact)):
            refused = await alice.sip.start(request.copy(), back).final_response()
            assert refused.status == 401, "the flow is not the one that was registered, so nothing is trusted there"
            wrong = await alice.sip.start(alice.authorised(request, refused, "wrong"), back).final_response()
            assert wrong.status == 401
        alice.flow = back
        await alice.register()  # from now on its binding is that connection
        assert [str(each.flow.transport) for each in node.server.bindings if each.account == "alice"] == ["tcp"]
        assert (await alice.ask(alice.registration())).status == 200
        assert (await alice.ask(alice.registration("*", expires=0))).status == 200
        assert (await alice.ask(alice.registration())).status == 403, "no phone is known there any more"


async def test_a_connection_to_a_provider_stays_the_providers(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways_module, "DATAGRAM_BYTES_MAX", 300)  # so that the call goes over TCP
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        node: Node = await c.world.node("alice", "1001")
        alice = await c.world.phone(node, "alice", 6000)
        await c.connect(node, Plan({"+4989": over("static")}), static())
        await (await alice.call("sip:+4989@home.example")).established()
        assert node.sip.instead_of(Flow("tcp", node.sip.address, provider.address, DIALLED)) is not None
        back = Flow("tcp", provider.address, node.sip.address, DIALLED)
        for method in ("REGISTER", "OPTIONS", "MESSAGE"):
            assert (await provider.sip.start(_request(method), back).final_response()).status == 403
