"""The media path between two nodes is made anew within a call: nobody but the two nodes notices."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls.negotiation import Negotiation
from p2psip.calls.restarts import REFUSALS_MAX
from p2psip.sip.build import make_response
from p2psip.sip.sdp import SessionDescription
from tests.calls.fakes import FakeLeg
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import MemorySip, Node, sdp, world


def between(a: Node, b: Node) -> tuple[FakeLeg, FakeLeg]:
    """The legs of the path between caller's and callee's node."""
    return a.media.legs[1], b.media.legs[0]


def reinvites(sip: MemorySip) -> list[bytes]:
    """The INVITEs that a node sent to another one within a dialog."""
    sent = [data for data, flow in sip.sent if flow.transport == "overlay" and data.startswith(b"INVITE ")]
    return [data for data in sent if b";tag=" in data.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0]]


def ufrag(remote: object) -> str:
    return str(getattr(remote, "ufrag", ""))


@pytest.mark.parametrize("mover", [0, 1])
async def test_new_transports_are_exchanged_and_no_phone_notices(autojump_clock: MockClock, mover: int) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        await trio.sleep(1)
        phones_before = [len(phone.sip.sent) for phone in (alice, bob)]
        legs[mover].want_restart()
        await trio.sleep(1)
        assert [leg.restarts for leg in legs] == [1, 1]
        for leg, other in (legs, legs[::-1]):
            assert ufrag(leg.remotes[-1]) == other.description.ufrag
            assert len(leg.remotes) == 2
        assert [len(phone.sip.sent) for phone in (alice, bob)] == phones_before
        assert len(reinvites((a, b)[mover].sip)) == 1
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))


async def test_a_path_may_be_made_anew_again_and_again_and_hold_still_passes(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        for count in range(1, 4):
            legs[count % 2].want_restart()
            await trio.sleep(1)
            assert [leg.restarts for leg in legs] == [count, count]
        held = sdp(6001, "0 101", "sendonly")
        answered = sdp(6101, "0 101", "recvonly")
        response = await both(
            lambda: here.ask("INVITE", body=held, content_type="application/sdp"),
            lambda: there.expect("INVITE", body=answered),
        )
        assert b"a=recvonly" in response.body
        legs[1].want_restart()
        await trio.sleep(1)
        assert [leg.restarts for leg in legs] == [4, 4]
        offer = SessionDescription.parse(reinvites(b.sip)[-1].partition(b"\r\n\r\n")[2])
        assert offer.direction(offer.media[0]) == "recvonly"


async def test_both_at_once_is_glare_and_one_of_them_goes_first_then(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        await trio.sleep(1)
        for leg in legs:
            leg.want_restart()
        await trio.sleep(2.05)
        assert ufrag(legs[0].remotes[-1]) == legs[1].description.ufrag
        assert ufrag(legs[1].remotes[-1]) == legs[0].description.ufrag
        await trio.sleep(10)
        assert (len(reinvites(a.sip)), len(reinvites(b.sip))) == (1, 2), "the callee's side waits less (§14.1)"
        assert a.server.log.current()


async def test_a_node_that_does_not_answer_is_asked_again_and_the_call_lives(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        await trio.sleep(1)
        w.network.dead.add(b.sip)
        legs[0].want_restart()
        await trio.sleep(40)
        assert a.server.log.current()
        w.network.dead.discard(b.sip)
        await trio.sleep(10)
        assert ufrag(legs[0].remotes[-1]) == legs[1].description.ufrag != "u0"
        assert a.server.log.current()


async def test_a_dead_path_ends_the_call_when_no_restart_came_to_help(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, _there = await connect(alice, bob, "sip:bob@home.example")
        leg = between(a, b)[0]
        w.network.dead.add(b.sip)
        leg.want_restart()
        await trio.sleep(5)
        assert a.server.log.current()
        leg.lost.set()
        bye = await here.expect("BYE")
        assert "the media path to node" in (bye.headers.get("Reason") or "")


async def test_the_other_node_does_not_know_the_call_any_more(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, _there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        for dialog_id in list(b.sip._dialogs):
            b.sip.close_dialog(dialog_id)
        between(a, b)[0].want_restart()
        await here.expect("BYE")
        assert not a.server.log.current()


async def test_a_node_that_cannot_restart_is_left_alone_after_a_few_tries(autojump_clock: MockClock) -> None:
    async with world() as w:
        a = await w.node("alice", "1001")
        old = MemorySip(w.network, ("127.0.1.9", 5060), "f" * 40)
        w.network.nodes["f" * 40] = old
        w.known["f" * 40] = ("bob@home.example",)
        w.shared["bob@home.example"] = ["f" * 40]
        await w.nursery.start(old.run)
        alice = await w.phone(a, "alice", 6000)
        outgoing = await alice.call("sip:bob@home.example")
        exchange = await old.incoming.receive()
        answer = exchange.request.body.replace(b"actpass", b"active").replace(b"ice-ufrag:u", b"ice-ufrag:v")
        response = make_response(
            exchange.request,
            200,
            to_tag="old",
            headers=[("Contact", "<sip:bob@home.example>")],
            body=answer,
            content_type="application/sdp",
        )
        to = response.to
        requests = old.open_dialog((exchange.request.call_id, to.tag or "", exchange.request.from_.tag or ""))
        w.nursery.start_soon(exchange.accept, response)
        await outgoing.established()
        a.media.legs[1].want_restart()
        asked = 0

        async def refuse() -> None:
            nonlocal asked
            async for again in requests:
                asked += 1
                again.respond(make_response(again.request, 488))

        w.nursery.start_soon(refuse)
        await trio.sleep(60)
        assert asked == REFUSALS_MAX
        assert a.server.log.current()


async def test_the_phone_may_not_change_the_call_meanwhile(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, _there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        w.network.dead.add(b.sip)
        between(a, b)[0].want_restart()
        await trio.sleep(1)
        response = await here.ask("INVITE", body=sdp(6001), content_type="application/sdp")
        assert response.status == 491


def test_one_change_at_a_time() -> None:
    negotiation, one, other = Negotiation(), object(), object()
    negotiation.begin(one)
    for who, status in ((one, 500), (other, 491)):
        with pytest.raises(RemoteError) as caught:
            negotiation.begin(who)
        assert caught.value.status == status
    negotiation.end()
    negotiation.begin(other)


async def test_an_offer_leaves_the_dtls_role_open_and_an_answer_names_the_one_that_stands(
    autojump_clock: MockClock,
) -> None:
    """RFC 5763 §5, RFC 8842 §5: `actpass` in every offer, never in an answer."""
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        between(a, b)[1].want_restart()
        await trio.sleep(1)
        assert b"a=setup:actpass" in reinvites(b.sip)[-1]
        answers = [data for data, flow in a.sip.sent if flow.transport == "overlay" and data.startswith(b"SIP/2.0 200")]
        assert b"a=setup:passive" in answers[-1]


@pytest.mark.parametrize("first", [0, 1])
async def test_a_path_that_both_find_dead_is_made_anew_by_one_of_them(autojump_clock: MockClock, first: int) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        await trio.sleep(1)
        legs[first].want_restart("no way works")
        await trio.sleep(0.3)
        legs[1 - first].want_restart("no way works")
        await trio.sleep(10)
        assert [leg.restarts for leg in legs] == [1, 1]
        assert (len(reinvites(a.sip)), len(reinvites(b.sip))) == (1, 0)


async def test_a_restart_whose_answer_was_lost_is_asked_for_again_and_no_phone_hears_of_it(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        legs = between(a, b)
        await trio.sleep(1)
        before = len(bob.sip.sent)
        legs[0].want_restart()
        w.network.nodes.pop(a.sip.node_id)  # nothing comes back
        await trio.sleep(35)
        w.network.nodes[a.sip.node_id] = a.sip
        await trio.sleep(70)
        assert ufrag(legs[0].remotes[-1]) == legs[1].description.ufrag
        assert ufrag(legs[1].remotes[-1]) == legs[0].description.ufrag
        assert legs[1].restarts > 1
        assert len(bob.sip.sent) == before
        assert a.server.log.current()
