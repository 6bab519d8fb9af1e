"""What servers send back over connections that we dialled: answers, requests in calls, and of providers calls."""

import trio
from trio.testing import MockClock

from p2psip.naming.routing import Hop, Route, Step
from p2psip.sip.build import make_request
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from tests.calls.world import Node, sdp
from tests.trunks.provider import DIALLED, Plan, country
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
