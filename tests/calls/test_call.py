"""Calls as a whole: phones and nodes in memory, on trio's virtual clock."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls import server as server_module
from p2psip.sip.build import make_response
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.sdp import SessionDescription
from p2psip.sip.uri import SipUri
from tests.calls.fakes import OVERLAY_NAME
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Established, Outgoing, sdp, world


async def test_a_phone_calls_another_of_the_same_node(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, callee = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await callee.invited()
        assert invite.request.from_.uri == SipUri.parse("sip:alice@home.example")
        callee.ring(invite)
        await outgoing.response(180)
        w.nursery.start_soon(callee.answer, invite)
        there = await outgoing.established()
        answer = SessionDescription.parse(outgoing.answer)
        assert answer.media[0].formats == ("0", "101")
        assert answer.media[0].port == node.media.legs[0].local[1]
        assert (await there.ask("BYE")).status == 200
        await trio.sleep(1)
        assert node.media.open_legs() == []


async def test_a_phone_of_the_node_is_reached_by_its_account_name(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        first, second = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await second.call("sip:alice@127.0.1.1")
        first.refuse(await first.invited(), 486)
        await outgoing.response(486)


async def test_a_call_through_two_nodes(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        assert str(invite.request.from_.uri) == "sip:alice@home.example"
        bob.ring(invite)
        ringing = await outgoing.response(180)
        assert not ringing.body
        assert a.media.legs[1].remotes, "ICE begins before the answer"
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite))

        here = await both(outgoing.established, answer)
        await both(lambda: here.ask("BYE"), lambda: there[0].expect("BYE"))
        await trio.sleep(1)
        assert a.media.open_legs() == b.media.open_legs() == []
        record = next(iter(a.server.log))
        assert record.status == 200
        assert record.hops == 2
        assert record.post_dial_milliseconds is not None
        assert next(s.summary for s in record.steps if s.target.startswith("node")).startswith("INVITE")


async def test_between_nodes_the_transport_is_told_at_once_and_inactive(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        await alice.call("sip:bob@home.example")
        await bob.invited()
        early = [data for data, flow in b.sip.sent if flow.transport == "overlay" and data.startswith(b"SIP/2.0 183")]
        assert len(early) == 1
        assert b"a=inactive" in early[0]
        assert b"a=fingerprint:" in early[0]


async def test_cancel_reaches_the_phone_that_rings(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        bob.ring(invite)
        await outgoing.response(180)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        await invite.cancelled.wait()
        bob.refuse(invite, 487)
        await trio.sleep(1)
        assert a.media.open_legs() == b.media.open_legs() == []
        assert not a.server.log.current()


async def test_an_answer_that_crosses_a_cancel_is_ended_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller, callee = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example")
        invite = await callee.invited()
        callee.ring(invite)
        await outgoing.response(180)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        there = await callee.answer(invite)
        await there.expect("BYE")


async def test_all_phones_ring_and_the_losers_are_told(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        second = await w.phone(b, "bob-2", 6200)
        other_device = await w.node("bob", "1002")
        third = await w.phone(other_device, "bob", 6300)
        outgoing = await alice.call("sip:1002@home.example")
        invites = [await phone.invited() for phone in (bob, second, third)]
        there: list[Established] = []

        async def answer() -> None:
            there.append(await second.answer(invites[1]))

        here = await both(outgoing.established, answer)
        for phone, invite in ((bob, invites[0]), (third, invites[2])):
            await invite.cancelled.wait()
            phone.refuse(invite, 487)
        assert b'Reason: SIP;cause=200;text="Call completed elsewhere"' in b"".join(d for d, _f in b.sip.sent)
        await both(lambda: here.ask("BYE"), lambda: there[0].expect("BYE"))
        await trio.sleep(1)
        assert a.media.open_legs() == b.media.open_legs() == other_device.media.open_legs() == []


async def test_one_phone_that_is_dead_does_not_stall_the_others_refusal(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        dead = await w.phone(b, "bob-2", 6200)
        w.network.dead.add(dead.sip)
        started = trio.current_time()
        outgoing = await alice.call("sip:bob@home.example")
        bob.refuse(await bob.invited(), 486)
        await outgoing.response(486)
        assert trio.current_time() - started < 10


async def test_a_phone_whose_connection_ended_is_bypassed(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        b.sip.close_flow(next(iter(b.server.bindings)).flow)
        await trio.sleep(0.1)
        assert b.directory.history == ["publish", "withdraw"]
        outgoing = await alice.call("sip:bob@home.example")
        await outgoing.response(480)
        assert bob.sip.incoming.statistics().current_buffer_used == 0
        assert not a.server.log.current()


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sip:nobody@home.example", 404),
        ("sip:112@home.example", 503),
        ("sip:bob@elsewhere.example", 404),
        ("sip:carol@home.example", 480),
        ("sip:alice@home.example", 480),
    ],
)
async def test_why_nobody_answers(autojump_clock: MockClock, uri: str, status: int) -> None:
    async with world() as w:
        _a, _b, alice, _bob = await two_nodes(w)
        await w.node("carol", "1003")
        outgoing = await alice.call(uri)
        response = await outgoing.response(status)
        assert response.headers.get("Warning")


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE"])
async def test_a_scheme_that_nobody_knows_is_416(autojump_clock: MockClock, method: str) -> None:
    async with world() as w:
        _a, _b, alice, _bob = await two_nodes(w)
        request = alice.request(method, "soap.beep://192.0.2.103:3002", to="sip:bob@home.example")
        assert (await alice.sip.start(request, alice.flow).final_response()).status == 416


@pytest.mark.parametrize(("said", "heard"), [(486, 486), (603, 603), (302, 480), (401, 480), (415, 415), (503, 503)])
async def test_what_the_phone_says_is_what_the_caller_hears(autojump_clock: MockClock, said: int, heard: int) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        bob.refuse(await bob.invited(), said)
        await outgoing.response(heard)


async def test_a_phone_that_takes_no_plain_rtp_is_offered_srtp_and_then_dtls(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        asked: list[Request] = []
        for _ in range(3):
            exchange = await bob.invited()
            asked.append(exchange.request)
            bob.refuse(exchange, 488)
        await outgoing.response(488)
        lines = [SessionDescription.parse(each.body).media[0] for each in asked]
        assert [line.protocol for line in lines] == ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"]
        assert [each.cseq.number for each in asked] == [1, 2, 3]


async def test_a_phone_that_rings_for_ever_is_given_up(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        bob.ring(invite)
        await outgoing.response(408)
        await invite.cancelled.wait()


async def test_a_node_that_is_gone_is_408(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, _bob = await two_nodes(w)
        w.network.dead.add(b.sip)
        started = trio.current_time()
        outgoing = await alice.call("sip:bob@home.example")
        await outgoing.response(408)
        assert trio.current_time() - started < 10


async def test_an_overlay_that_cannot_be_asked_is_503(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, _bob = await two_nodes(w)
        a.directory.error = RemoteError("no peer answers", status=503)
        outgoing = await alice.call("sip:bob@home.example")
        response = await outgoing.response(503)
        assert response.headers.get("Retry-After")


@pytest.mark.parametrize("uri", ["sip:1001@home.example", "sip:bob@home.example"])
async def test_an_invite_without_an_offer(autojump_clock: MockClock, uri: str) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        callee = bob if "bob" in uri else await w.phone(a, "alice-2", 6200)
        outgoing = await alice.call(uri, b"")
        invite = await callee.invited()
        assert invite.request.body == b""
        there: list[Established] = []

        async def answer() -> None:
            there.append(await callee.answer(invite, body=sdp(callee.port + 1, "8 0 101")))

        here = await both(lambda: outgoing.established(body=sdp(6001, "8 101")), answer)
        assert SessionDescription.parse(outgoing.answer).media[0].formats == ("8", "0", "101")
        ack = there[0].ack
        assert ack is not None
        assert SessionDescription.parse(ack.body).media[0].formats == ("8", "101")
        await both(lambda: here.ask("BYE"), lambda: there[0].expect("BYE"))


async def test_early_media_of_a_single_phone_is_heard(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        early = make_response(
            invite.request, 180, to_tag="callee6100", headers=[("Contact", bob.contact)], body=sdp(6101, "0"),
            content_type="application/sdp",
        )  # fmt: skip
        invite.respond(early)
        progress = await outgoing.response(180)
        assert SessionDescription.parse(progress.body).media[0].formats == ("0",)
        assert a.media.legs[0].sink is not None


async def test_a_callee_without_a_common_codec_is_let_go(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example", sdp(6001, "8 101"))
        invite = await bob.invited()

        async def answer() -> None:
            there = await bob.answer(invite, body=sdp(6101, "0 101"))
            await there.expect("BYE")

        response = await both(lambda: outgoing.response(488), answer)
        assert "codec" in (response.headers.get("Warning") or "")


async def test_an_offer_that_no_phone_socket_can_serve_is_488(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, _bob = await two_nodes(w)
        body = sdp(6001).replace(b"RTP/AVP", b"RTP/SAVP")
        await (await alice.call("sip:bob@home.example", body)).response(488)
        await (await alice.call("sip:bob@home.example", b"rubbish")).response(488)


async def test_a_node_may_speak_for_its_own_people_only(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        mallory = await w.node("mallory", "1009")
        request = alice.invitation("sip:bob@home.example")
        exchange = mallory.sip.start(request, mallory.sip.overlay_flow(_b.sip.node_id))
        response = await exchange.final_response()
        assert response.status == 403
        assert bob.sip.incoming.statistics().current_buffer_used == 0
        assert a.server.failures == 0


async def test_nodes_do_not_forward_for_one_another(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, _bob = await two_nodes(w)
        carol = await w.node("carol", "1003")
        await w.phone(carol, "carol", 6300)
        request = alice.invitation("sip:carol@home.example")
        response = await a.sip.start(request, a.sip.overlay_flow(b.sip.node_id)).final_response()
        assert response.status == 404


async def test_the_callers_identity_is_the_accounts(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        request = alice.invitation("sip:bob@home.example")
        liar = NameAddr("Alice", SipUri.parse("sip:president@home.example")).with_tag("x")
        request.headers.set("From", str(liar))
        challenge = await alice.sip.start(request.copy(), alice.flow).final_response()
        again = alice.authorised(request, challenge)
        Outgoing(alice, again, alice.sip.start(again, alice.flow))
        invite = await bob.invited()
        assert invite.request.from_.uri == SipUri.parse("sip:alice@home.example")
        assert invite.request.from_.display == "Alice"


async def test_max_forwards_ends_loops(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        response = await alice.ask(alice.invitation("sip:bob@home.example", max_forwards=0))
        assert response.status == 483
        await alice.call("sip:bob@home.example", max_forwards=10)
        assert (await bob.invited()).request.max_forwards == 8


async def test_calls_are_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CALLS_MAX", 1)
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await (await alice.call("sip:bob@home.example")).response(503)
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))
        await trio.sleep(1)
        await alice.call("sip:bob@home.example")
        await bob.invited()


async def test_no_sockets_left_is_503(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, _bob = await two_nodes(w)
        a.media.is_full = True
        await (await alice.call("sip:bob@home.example")).response(503)


async def test_two_callers_at_once_and_the_status_of_the_node(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        await connect(alice, bob, "sip:1002@home.example")
        status = b.server.status()
        assert [call["state"] for call in status["calls"]] == ["talking", "talking"]
        assert status["phones"][0]["address"] == f"bob@{OVERLAY_NAME}"
        assert status["published"]
        assert status["calls"][0]["ladder"]
