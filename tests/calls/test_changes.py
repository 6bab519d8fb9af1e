"""Changes of calls that stand: hold and resume by re-INVITE and UPDATE, collisions, and changes that fail."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.calls.changes import fitting
from p2psip.calls.descriptions import Audio
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.message import Response
from p2psip.sip.sdp import SessionDescription
from tests.calls.early_steps import calls
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Established, Node, Phone, World, sdp, world

SDP_TYPE = "application/sdp"
ALLOW = ("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE")


def direction(body: bytes) -> str:
    description = SessionDescription.parse(body)
    return description.direction(description.media[0])


async def stand(w: World, *headers: tuple[str, str]) -> tuple[Node, Established, Established]:
    """A call between two phones of one node: the caller's side and the callee's."""
    node = await w.node("alice", "1001")
    caller, callee = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
    outgoing = await calls(caller, "sip:1001@home.example", *headers)
    invite = await callee.invited()
    there: list[Established] = []

    async def answer() -> None:
        there.append(await callee.answer(invite))

    here = await both(outgoing.established, answer)
    await trio.sleep(0.1)
    return node, here, there[0]


def change(side: Established, body: bytes, method: str = "INVITE") -> "partial[object]":
    return partial(side.ask, method, headers=[ALLOW], body=body, content_type=SDP_TYPE)


async def reinvite(side: Established, body: bytes) -> ClientExchange:
    """A re-INVITE that is left alone."""
    request = side.dialog.request("INVITE", body=body, content_type=SDP_TYPE)
    return side.phone.sip.start(request, side.phone.flow)


@pytest.mark.parametrize("holder", ["caller", "callee"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(("asked", "answered"), [("sendonly", "recvonly"), ("inactive", "inactive")])
async def test_hold_and_resume_by_either_side(
    autojump_clock: MockClock, holder: str, method: str, asked: str, answered: str
) -> None:
    async with world() as w:
        node, here, there = await stand(w, ALLOW)
        await there.ask("UPDATE", headers=[ALLOW])
        one, other = (here, there) if holder == "caller" else (there, here)
        for offered, said in ((asked, answered), ("sendrecv", "sendrecv")):
            serve = partial(other.expect, method, body=sdp(6555, "0 101", said))
            response = await both(change(one, sdp(6001, "0 101", offered), method), serve)
            assert isinstance(response, Response)
            assert (response.status, direction(response.body)) == (200, said)
        legs = node.media.legs
        for leg, to in ((legs[0], legs[1]), (legs[1], legs[0])):
            assert leg.sink is not None
            leg.sink(b"music")
            assert to.packets == [b"music"], "what a holder plays is heard by who is held"


@pytest.mark.parametrize(
    ("said", "meant", "answered"), [("sendrecv", "sendonly", "recvonly"), ("recvonly", "inactive", "inactive")]
)
async def test_the_old_way_of_holding_is_understood(
    autojump_clock: MockClock, said: str, meant: str, answered: str
) -> None:
    """RFC 2543: c=0.0.0.0. The other phone is told in the words of RFC 3264."""
    async with world() as w:
        node, here, there = await stand(w)
        heard: list[bytes] = []

        async def serve() -> None:
            heard.append((await there.expect("INVITE", body=sdp(6101, "0 101", answered))).body)

        held = sdp(6001, "0 101", said, host="0.0.0.0")
        response = await both(change(here, held), serve)
        assert isinstance(response, Response)
        assert (direction(heard[0]), direction(response.body)) == (meant, answered)
        assert node.media.legs[0].remotes == [("127.0.0.1", 6001)]


async def test_an_answer_without_a_direction_is_made_to_fit_the_offer(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, here, there = await stand(w)
        response = await both(
            change(here, sdp(6001, "0 101", "sendonly")), partial(there.expect, "INVITE", body=sdp(6101, "0 101"))
        )
        assert isinstance(response, Response)
        assert direction(response.body) == "recvonly"


@pytest.mark.parametrize(
    ("answer", "offer", "fits"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendrecv", "recvonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "sendrecv", "recvonly"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_directions_that_fit(answer: str, offer: str, fits: str) -> None:
    assert fitting(Audio(("0",), direction=answer), Audio(("0",), direction=offer)).direction == fits


@pytest.mark.parametrize("status", [488, 500, 603])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
async def test_a_change_that_is_refused_leaves_everything_as_it_was(
    autojump_clock: MockClock, method: str, status: int
) -> None:
    async with world() as w:
        node, here, there = await stand(w)
        await there.ask("UPDATE", headers=[ALLOW])
        moved = sdp(7001, "0 101", "sendonly", host="127.0.0.9")
        response = await both(change(here, moved, method), partial(there.expect, method, status))
        assert isinstance(response, Response)
        assert response.status == status
        assert node.media.legs[0].remotes == [("127.0.0.1", 6001)]
        assert node.server.log.current()
        moved = sdp(7001, "0 101", host="127.0.0.9")
        await both(change(here, moved, method), partial(there.expect, method, body=sdp(6101, "0 101")))
        assert node.media.legs[0].remotes[-1] == ("127.0.0.9", 7001)


@pytest.mark.parametrize("status", [408, 481])
async def test_a_side_that_has_no_such_call_ends_it(autojump_clock: MockClock, status: int) -> None:
    async with world() as w:
        node, here, there = await stand(w)
        held = sdp(6001, "0 101", "sendonly")
        response = await both(change(here, held), partial(there.expect, "INVITE", status))
        assert isinstance(response, Response)
        assert response.status == status
        await both(partial(here.expect, "BYE"), partial(there.expect, "BYE"))
        assert not node.server.log.current()


async def test_a_change_may_be_cancelled(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, here, there = await stand(w)
        exchange = await reinvite(here, sdp(6001, "0 101", "sendonly"))
        waiting = await there.requests.receive()
        waiting.respond(make_response(waiting.request, 180))
        await trio.sleep(0.5)
        exchange.cancel()
        await waiting.cancelled.wait()
        waiting.respond(make_response(waiting.request, 487))
        assert (await exchange.final_response()).status == 487
        assert node.server.log.current()
        held = sdp(6001, "0 101", "sendonly")
        await both(change(here, held), partial(there.expect, "INVITE", body=sdp(6101, "0 101", "recvonly")))


async def test_a_change_that_nobody_acknowledges_ends_the_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, here, there = await stand(w)
        exchange = await reinvite(here, sdp(6001, "0 101", "sendonly"))
        await there.expect("INVITE", body=sdp(6101, "0 101", "recvonly"))
        started = trio.current_time()
        assert (await exchange.final_response()).status == 200
        await both(partial(here.expect, "BYE"), partial(there.expect, "BYE"))
        assert trio.current_time() - started == pytest.approx(32, abs=1)
        assert not node.server.log.current()


async def test_reinvites_that_cross_between_nodes_are_both_refused_and_one_goes_through_later(
    autojump_clock: MockClock,
) -> None:
    """RFC 3261 §14.1: each phone waits for another time and asks again."""
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        w.network.seconds = 0.01
        statuses: dict[str, list[int]] = {"alice": [], "bob": []}

        async def insist(side: Established, name: str, pause: float) -> None:
            while (response := await change(side, sdp(6001, "0 101", "sendonly"))()).status == 491:  # type: ignore[attr-defined]
                statuses[name].append(491)
                await trio.sleep(pause)
            statuses[name].append(response.status)  # type: ignore[attr-defined]

        async def answer(side: Established) -> None:
            async for exchange in side.requests:
                reply = make_response(
                    exchange.request,
                    200,
                    headers=[("Contact", side.phone.contact)],
                    body=sdp(6101, "0 101", "recvonly"),
                    content_type=SDP_TYPE,
                )
                await exchange.accept(reply)

        async with trio.open_nursery() as nursery:
            for side in (here, there):
                nursery.start_soon(answer, side)
            async with trio.open_nursery() as asking:
                asking.start_soon(insist, here, "alice", 2.5)
                asking.start_soon(insist, there, "bob", 0.5)
            nursery.cancel_scope.cancel()
        assert statuses == {"alice": [491, 200], "bob": [491, 200]}


async def test_an_update_goes_as_a_reinvite_to_who_does_not_know_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, here, there = await stand(w, ALLOW)
        held = sdp(6001, "0 101", "sendonly")
        serve = partial(there.expect, "INVITE", body=sdp(6101, "0 101", "recvonly"))
        response = await both(change(here, held, "UPDATE"), serve)
        assert isinstance(response, Response)
        assert (response.status, direction(response.body)) == (200, "recvonly")


async def test_what_a_change_may_not_be(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, here, _there = await stand(w)
        for method in ("INVITE", "UPDATE"):
            assert (await here.ask(method, body=b"hello", content_type="text/plain")).status == 415
            assert (await here.ask(method, body=b"rubbish", content_type=SDP_TYPE)).status == 488
            unknown = await here.ask(method, headers=[("Require", "nonsense")], body=sdp(1), content_type=SDP_TYPE)
            assert (unknown.status, unknown.headers.get("Unsupported")) == (420, "nonsense")
        late = here.dialog.request("UPDATE")
        late.headers.set("CSeq", "1 UPDATE")
        assert (await here.phone.sip.start(late, here.phone.flow).final_response()).status == 500


async def test_a_service_answers_update_and_a_question(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        alice: Phone = await w.phone(node, "alice", 6000)
        here = await (await alice.call("sip:echo@home.example")).established()
        held = await here.ask("UPDATE", body=sdp(6001, "0", "sendonly"), content_type=SDP_TYPE)
        assert (held.status, direction(held.body)) == (200, "recvonly")
        request = here.dialog.request("INVITE")
        exchange = alice.sip.start(request, alice.flow)
        offer = await exchange.final_response()
        assert b"m=audio" in offer.body
        ack = here.dialog.acknowledge(request.cseq.number, body=sdp(6001, "0"), content_type=SDP_TYPE)
        exchange.acknowledge(offer, ack)
        await trio.sleep(1)
        assert (await here.ask("BYE")).status == 200
