"""Storms: phones that do anything at any time, right or wrong. Whatever they do, every request is answered, the node makes no
mistake of its own, and after the last BYE nothing is left behind.
"""

from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request, Response
from tests.calls.early_steps import EarlyCallee, calls
from tests.calls.steps import two_nodes
from tests.calls.world import Established, Node, Outgoing, Phone, World, sdp, world

STORM_SECONDS = 120.0
ACTIONS = 25
SDP_TYPE = "application/sdp"
METHODS = ("INVITE", "UPDATE", "UPDATE", "INFO", "PRACK", "OPTIONS", "MESSAGE", "NONSENSE", "REFER")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
BODIES = ("0 101", "8 101", "0 8 101", "3")


class Storm:
    """Two phones, each at its node, that act by chance within one call."""

    def __init__(self, world: World, chance: Chance) -> None:
        self.world = world
        self.chance = chance
        self.unanswered = 0

    def body(self, port: int) -> bytes:
        """A description, or something that is none."""
        if self.chance.uniform(0, 1) < 0.05:
            return b"rubbish"
        return sdp(port, self.chance.choice(BODIES), self.chance.choice(DIRECTIONS))

    async def serve(self, side: Established) -> None:
        """Answer what comes in the dialog, late and not always well."""
        async for exchange in side.requests:
            self.world.nursery.start_soon(self._serve_one, exchange, side)

    async def _serve_one(self, exchange: ServerExchange, side: Established) -> None:
        await trio.sleep(self.chance.uniform(0, 0.5))
        request, port = exchange.request, side.phone.port
        status = 200 if self.chance.uniform(0, 1) < 0.8 else int(self.chance.uniform(486, 492))
        if request.method == "BYE":
            status = 200
        body = self.body(port) if request.method in ("INVITE", "UPDATE") and status == 200 else b""
        content_type = SDP_TYPE if body else None
        headers = [("Contact", side.phone.contact), ("Allow", "INVITE, ACK, BYE, UPDATE")]
        response = make_response(request, status, headers=headers, body=body, content_type=content_type)
        if request.method == "INVITE" and status == 200:
            with suppress(RemoteError):  # whoever asked without an offer may never answer
                await exchange.accept(response)
        else:
            exchange.respond(response)

    async def act(self, side: Established) -> None:
        """Ask for this and that."""
        for _ in range(ACTIONS):
            await trio.sleep(self.chance.uniform(0, 4))
            self.world.nursery.start_soon(self._ask, side, self.chance.choice(METHODS))

    async def _ask(self, side: Established, method: str) -> None:
        body = self.body(side.phone.port) if method in ("INVITE", "UPDATE") and self.chance.uniform(0, 1) < 0.8 else b""
        headers = [("RAck", "1 1 INVITE")] if method == "PRACK" else []
        headers += [("Session-Expires", "100")] if self.chance.uniform(0, 1) < 0.3 else []
        request = side.dialog.request(method, headers=headers, body=body, content_type=SDP_TYPE if body else None)
        self.unanswered += 1
        exchange = side.phone.sip.start(request, side.phone.flow)
        if method == "INVITE" and self.chance.uniform(0, 1) < 0.2:
            await trio.sleep(0.1)
            exchange.cancel()
        response = await exchange.final_response()
        self.unanswered -= 1
        if method == "INVITE" and response.status == 200 and self.chance.uniform(0, 1) < 0.97:
            answer = b"" if body else self.body(side.phone.port)
            content_type = SDP_TYPE if answer else None
            ack = side.dialog.acknowledge(request.cseq.number, body=answer, content_type=content_type)
            exchange.acknowledge(response, ack)


async def answer_somehow(phone: Phone, chance: Chance, there: list[Established]) -> None:
    """Ring with responses of every kind, then answer, or not."""
    invite = await phone.invited()
    callee = EarlyCallee(phone, invite)
    for _ in range(int(chance.uniform(0, 5))):
        await trio.sleep(chance.uniform(0, 1))
        body = sdp(phone.port, "0 101") if invite.request.body and chance.uniform(0, 1) < 0.5 else b""
        number = int(chance.uniform(1, 4)) if chance.uniform(0, 1) < 0.5 else None
        invite.respond(callee.response(chance.choice((180, 183, 182, 199)), body, rseq=number))
    there.append(callee.dialog)
    if chance.uniform(0, 1) < 0.9:
        with suppress(RemoteError):
            callee.dialog.ack = await invite.accept(callee.response(200, sdp(phone.port, "0 101")))
    else:
        invite.respond(callee.response(486))


async def take_somehow(outgoing: Outgoing, chance: Chance) -> tuple[Established | None, Response]:
    """Acknowledge what is reliable (mostly), and what is answered; the early dialog, if there was one, and the last response."""
    side: Established | None = None
    while True:
        response = await outgoing.exchange.next_response()
        if side is None and response.to.tag and response.contacts:
            side = Established(outgoing.phone, Dialog.of_client(outgoing.request, response, outgoing.phone.contact))
        if response.status >= 200:
            return side, response
        if side is not None and "RSeq" in response.headers and chance.uniform(0, 1) < 0.9:
            rack = f"{response.headers.get('RSeq')} {outgoing.request.cseq.number} INVITE"
            body = sdp(6001, "0 101") if not outgoing.request.body and response.body else b""
            request = side.dialog.request("PRACK", headers=[("RAck", rack)], body=body, content_type=SDP_TYPE)
            outgoing.phone.sip.start(request, outgoing.phone.flow)


async def stage(w: World, *, same_node: bool) -> tuple[list[Node], Phone, Phone, str]:
    """Nodes, caller, callee, and whom to call."""
    if not same_node:
        a, b, alice, bob = await two_nodes(w)
        return [a, b], alice, bob, "sip:bob@home.example"
    node = await w.node("alice", "1001")
    return [node], await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100), "sip:1001@home.example"


async def storm(seed: int) -> None:
    chance = Chance.seeded(seed)
    async with world() as w:
        nodes, alice, bob, uri = await stage(w, same_node=seed % 2 == 1)
        s = Storm(w, chance)
        option = chance.choice((("Require", "100rel"), ("Supported", "100rel, timer"), ("Privacy", "id")))
        body = None if chance.uniform(0, 1) < 0.8 else b""
        outgoing = await calls(alice, uri, option, body=body)
        there: list[Established] = []
        w.nursery.start_soon(answer_somehow, bob, chance, there)
        if chance.uniform(0, 1) < 0.1:
            w.nursery.start_soon(partial(_cancel_later, outgoing, chance.uniform(0, 3)))
        here, response = await take_somehow(outgoing, chance)
        if here is not None and response.status == 200:
            answer = sdp(6001, "0 101") if body == b"" else b""
            number = outgoing.request.cseq.number
            ack = here.dialog.acknowledge(number, body=answer, content_type=SDP_TYPE if answer else None)
            outgoing.exchange.acknowledge(response, ack)
            for side in (here, *there):
                w.nursery.start_soon(s.serve, side)
                w.nursery.start_soon(s.act, side)
            await trio.sleep(STORM_SECONDS)
            bye: Request = here.dialog.request("BYE")
            assert (await alice.sip.start(bye, alice.flow).final_response()).status in (200, 481)
        await trio.sleep(250)
        assert s.unanswered == 0
        for node in nodes:
            assert node.server.failures == 0
            assert node.server.log.current() == []
            assert node.media.open_legs() == []
            assert node.sip.statistics()["dialogs"] == 0


async def _cancel_later(outgoing: Outgoing, seconds: float) -> None:
    await trio.sleep(seconds)
    outgoing.exchange.cancel()


@pytest.mark.parametrize("seed", range(8))
async def test_a_storm(autojump_clock: MockClock, seed: int) -> None:
    await storm(seed)
