"""Steps of transfers: a person at each of three nodes, REFER and its reports, and a ladder of what phones say and hear."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2psip.sip.build import make_response
from p2psip.sip.flow import Flow
from p2psip.sip.message import Message, Response
from p2psip.sip.parser import parse_message
from tests.calls.steps import both
from tests.calls.world import Established, Node, Outgoing, Phone, World, sdp, world

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass
class Ladder:
    """All messages between phones and their nodes: a list for each dialog of each phone, as "alice" and "alice 2".

    Tasks of trio run in no certain order, so what is compared is each dialog as a whole, and not how two of them interleave.
    """

    columns: dict[str, list[str]] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def watch(self, phone: Phone) -> None:
        """Log what `phone` says and hears from now on."""
        transmit, receive = phone.sip._transmit, phone.sip._receive

        def said(data: bytes, flow: Flow) -> None:
            self._log(phone.name, ">", data)
            transmit(data, flow)

        def heard(data: bytes, flow: Flow) -> None:
            self._log(phone.name, "<", data)
            receive(data, flow)

        phone.sip._transmit = said  # type: ignore[method-assign]
        phone.sip._receive = heard  # type: ignore[method-assign]

    def _log(self, name: str, arrow: str, data: bytes) -> None:
        message = parse_message(data)
        key = (name, message.call_id)
        if key not in self._names:
            number = 1 + sum(each == name for each, _call_id in self._names)
            self._names[key] = name if number == 1 else f"{name} {number}"
        self.columns.setdefault(self._names[key], []).append(f"{arrow} {_summary(message)}")


def _summary(message: Message) -> str:
    body = message.body.decode()
    if message.content_type == "application/sdp":
        body = next((line[2:] for line in body.splitlines() if line[2:] in _DIRECTIONS), "sendrecv")
    first = f"{message.status} " if isinstance(message, Response) else ""
    return f"{first}{message.cseq.method} {body.strip()}".strip()


@dataclass
class Village:
    """alice, bob and carol, each with a node and a phone. alice's node asks registered phones for no password."""

    world: World
    a: Node
    b: Node
    c: Node
    alice: Phone
    bob: Phone
    carol: Phone
    ladder: Ladder

    def watch(self) -> None:
        """Begin the ladder."""
        for phone in (self.alice, self.bob, self.carol):
            self.ladder.watch(phone)

    def open_legs(self) -> int:
        """How many media legs all nodes have."""
        return sum(len(node.media.open_legs()) for node in (self.a, self.b, self.c))


@asynccontextmanager
async def village() -> AsyncIterator[Village]:
    """Three people, until the block ends."""
    async with world() as w:
        a = await w.node("alice", "1001", trust_registered_flows=True)
        b, c = await w.node("bob", "1002"), await w.node("carol", "1003")
        alice, bob = await w.phone(a, "alice", 6000), await w.phone(b, "bob", 6100)
        yield Village(w, a, b, c, alice, bob, await w.phone(c, "carol", 6200), Ladder())


def dial(caller: Phone, uri: str, **more: object) -> Outgoing:
    """An INVITE of a phone that is asked for no password."""
    invite = caller.invitation(uri, **more)  # type: ignore[arg-type]
    return Outgoing(caller, invite, caller.sip.start(invite, caller.flow))


async def answered(callee: Phone) -> Established:
    """The next call that comes to `callee`, answered."""
    return await callee.answer(await callee.invited())


async def talk(caller: Phone, callee: Phone, uri: str) -> tuple[Established, Established]:
    """A call that stands: (the caller's side, the callee's)."""
    outgoing, there = dial(caller, uri), list[Established]()

    async def answer() -> None:
        there.append(await answered(callee))

    return await both(outgoing.established, answer), there[0]


async def refer(side: Established, target: str, *more: tuple[str, str]) -> Response:
    """REFER to `target`, and the answer."""
    return await side.ask("REFER", headers=[("Refer-To", target), *more])


async def hear(side: Established, method: str, status: int = 200, body: bytes = b"") -> str:
    """The next request of a side, answered; its body."""
    return (await side.expect(method, status, body)).body.decode().strip()


async def hear_in_any_order(side: Established, heard: set[str]) -> None:
    """All further requests of a side, answered; their methods."""
    async for exchange in side.requests:
        heard.add(exchange.request.method)
        exchange.respond(make_response(exchange.request, 200))


def replaces(side: Established) -> str:
    """The Replaces, escaped for a Refer-To, that names the call of `side` as its phone has it (RFC 5589 §7)."""
    dialog = side.dialog
    return f"{dialog.call_id}%3Bto-tag%3D{dialog.remote.tag}%3Bfrom-tag%3D{dialog.local.tag}"


async def hangs_up_both(here: Established, there: Established) -> None:
    """`here` says BYE and `there` hears it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, there, "BYE")
        assert (await here.ask("BYE")).status == 200


def answer_of(phone: Phone) -> bytes:
    """What `phone` answers to a re-INVITE."""
    return sdp(phone.port + 1, "0 101")
