"""Calls as a whole: phones and nodes in memory, on trio's virtual clock."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls import server as server_module
from p2psip.sip.build import make_response
from p2psip.sip.headers import NameAddr
from p2psip.sip.sdp import SessionDescription
from p2psip.sip.uri import SipUri
from tests.calls.world import OVERLAY_NAME, Established, Node, Outgoing, Phone, World, sdp, world

T = TypeVar("T")


async def both(first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[object]]) -> T:
    """Run two things at once; the result of the first."""
    results: list[T] = []

    async def run_first() -> None:
        results.append(await first())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        nursery.start_soon(second)
    return results[0]


async def connect(caller: Phone, callee: Phone, uri: str) -> tuple[Established, Established]:
    """A call that stands: (the caller's side, the callee's)."""
    outgoing = await caller.call(uri)
    invite = await callee.invited()
    there: list[Established] = []

    async def answer() -> None:
        there.append(await callee.answer(invite))

    here = await both(outgoing.established, answer)
    return here, there[0]


async def two_nodes(w: World) -> tuple[Node, Node, Phone, Phone]:
    """alice and bob, each with a node and a phone."""
    a, b = await w.node("alice", "1001"), await w.node("bob", "1002")
    return a, b, await w.phone(a, "alice", 6000), await w.phone(b, "bob", 6100)


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


async def test_media_of_both_legs_is_bridged(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await connect(await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100), "sip:1001@home.example")
        first, second = node.media.legs[0], node.media.legs[1]
        assert first.sink is not None
        assert second.sink is not None
        first.sink(b"said")
        second.sink(b"heard")
        assert second.packets == [b"said"]
        assert first.packets == [b"heard"]
        assert first.remotes == [("127.0.0.1", 6001)]
        assert second.remotes == [("127.0.0.1", 6101)]


async def test_hold_and_resume_keep_the_port(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        for offered, answered, version in (("sendonly", "recvonly", 2), ("sendrecv", "sendrecv", 3)):
            body = sdp(6001, "0 101", offered)
            response = await both(
                lambda body=body: here.ask("INVITE", body=body, content_type="application/sdp"),
                lambda answered=answered: there.expect("INVITE", body=sdp(6101, "0 101", answered)),
            )
            description = SessionDescription.parse(response.body)
            assert description.direction(description.media[0]) == answered
            assert description.version == version
            assert description.media[0].port == a.media.legs[0].local[1]


async def test_the_callee_may_hold_too_and_a_refused_change_leaves_the_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        body = sdp(6101, "0", "inactive")
        response = await both(
            lambda: there.ask("INVITE", body=body, content_type="application/sdp"), lambda: here.expect("INVITE", 488)
        )
        assert response.status == 488
        await both(lambda: there.ask("BYE"), lambda: here.expect("BYE"))


async def test_a_reinvite_without_a_description_is_passed_as_a_question(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        seen: list[bytes] = []

        async def question() -> None:
            request = here.dialog.request("INVITE")
            exchange = alice.sip.start(request, alice.flow)
            response = await exchange.final_response()
            seen.append(response.body)
            answer = sdp(6001, "0 101")
            ack = here.dialog.acknowledge(request.cseq.number, body=answer, content_type="application/sdp")
            exchange.acknowledge(response, ack)

        request = await both(lambda: there.expect("INVITE", body=sdp(6101, "0 101")), question)
        assert request.body == b""
        assert b"m=audio" in seen[0]
        await trio.sleep(1)
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))


async def test_changes_at_the_same_time_are_refused_with_491(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        w.nursery.start_soon(lambda: here.ask("INVITE", body=sdp(6001), content_type="application/sdp"))
        waiting = await there.requests.receive()
        assert waiting.request.method == "INVITE"
        response = await there.ask("INVITE", body=sdp(6101), content_type="application/sdp")
        assert response.status == 491


async def test_info_with_digits_is_passed_and_update_is_not_served(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        seen: list[bytes] = []

        async def expect_info() -> None:
            seen.append((await there.expect("INFO")).body)

        response = await both(
            lambda: here.ask("INFO", body=b"Signal=5", content_type="application/dtmf-relay"), expect_info
        )
        assert response.status == 200
        assert seen == [b"Signal=5"]
        refused = await here.ask("UPDATE")
        assert refused.status == 405
        assert "INVITE" in (refused.headers.get("Allow") or "")
        assert (await here.ask("OPTIONS")).status == 200


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


@pytest.mark.parametrize(("said", "heard"), [(486, 486), (603, 603), (302, 480), (401, 480), (488, 488), (503, 503)])
async def test_what_the_phone_says_is_what_the_caller_hears(autojump_clock: MockClock, said: int, heard: int) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        bob.refuse(await bob.invited(), said)
        await outgoing.response(heard)


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


async def test_a_vanished_peer_ends_the_call_with_a_reason(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, _there = await connect(alice, bob, "sip:bob@home.example")
        w.network.dead.add(b.sip)
        a.media.legs[1].lost.set()
        bye = await here.expect("BYE")
        assert "the media path to node" in (bye.headers.get("Reason") or "")
        assert a.media.open_legs() == []
        assert not a.server.log.current()


async def test_hanging_up_passes_the_reason(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        reason = 'Q.850;cause=16;text="bored"'
        seen: list[str | None] = []

        async def expect_bye() -> None:
            seen.append((await there.expect("BYE")).headers.get("Reason"))

        await both(lambda: here.ask("BYE", headers=[("Reason", reason)]), expect_bye)
        assert seen == [reason]


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
        progress = await outgoing.response(183)
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


async def test_requests_in_a_call_of_somebody_else_are_refused(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        await connect(alice, bob, "sip:bob@home.example")
        mallory = await w.node("mallory", "1009")
        forged = next(d for d, f in b.sip.sent if f.transport == "overlay" and d.startswith(b"SIP/2.0 200"))
        lines = dict(line.split(b": ", 1) for line in forged.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
        request = alice.request("BYE", "sip:bob@home.example", call_id=lines[b"Call-ID"].decode(), cseq=9)
        request.headers.set("From", lines[b"From"].decode())
        request.headers.set("To", lines[b"To"].decode())
        response = await mallory.sip.start(request, mallory.sip.overlay_flow(b.sip.node_id)).final_response()
        assert response.status == 403
        assert b.server.log.current()


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


async def test_echo_answers_by_itself(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        alice = await w.phone(node, "alice", 6000)
        outgoing = await alice.call("sip:echo@home.example")
        here = await outgoing.established()
        leg = node.media.legs[0]
        assert leg.sink is not None
        packet = b"\x80\x00" + bytes(170)
        leg.sink(packet)
        assert leg.packets == [packet]
        held = await here.ask("INVITE", body=sdp(6001, "0", "sendonly"), content_type="application/sdp")
        assert b"a=recvonly" in held.body
        assert (await here.ask("BYE")).status == 200


async def test_the_tone_is_played_and_needs_g711(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        alice = await w.phone(node, "alice", 6000)
        here = await (await alice.call("sip:tone@home.example")).established()
        await trio.sleep(1)
        assert len(node.media.legs[0].packets) >= 45
        assert (await here.ask("BYE")).status == 200
        await (await alice.call("sip:tone@home.example", sdp(6001, "3 101"))).response(488)


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


async def test_stopping_ends_calls_and_withdraws(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        second = await alice.call("sip:bob@home.example")
        bob.ring(await bob.invited())
        await second.response(180)

        async def told() -> None:
            assert "going down" in ((await here.expect("BYE")).headers.get("Reason") or "")
            await there.expect("BYE")
            await second.response(503)

        await both(a.server.stop, told)
        assert a.directory.history == ["publish", "withdraw"]
        assert not a.server.log.current()


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


async def test_a_call_that_is_never_acknowledged_is_ended(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        there = await bob.answer(await bob.invited())
        response = await outgoing.response(200)
        assert response.to.tag
        bye = await there.expect("BYE")
        assert "acknowledged" in (bye.headers.get("Reason") or "")
