"""Calls that stand: changes, digits, and every way to end."""

import gc
import weakref
from functools import partial

import trio
from trio.testing import MockClock

from p2psip.sip.sdp import SessionDescription
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Established, sdp, world


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
                partial(here.ask, "INVITE", body=body, content_type="application/sdp"),
                partial(there.expect, "INVITE", body=sdp(6101, "0 101", answered)),
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
        w.nursery.start_soon(lambda: here.ask("INVITE", body=sdp(6001, "0 101"), content_type="application/sdp"))
        waiting = await there.requests.receive()
        assert waiting.request.method == "INVITE"
        response = await there.ask("INVITE", body=sdp(6101), content_type="application/sdp")
        assert response.status == 491


async def test_a_second_change_by_the_same_side_is_refused_with_500(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        w.nursery.start_soon(lambda: here.ask("INVITE", body=sdp(6001, "0 101"), content_type="application/sdp"))
        await there.requests.receive()
        response = await here.ask("INVITE", body=sdp(6003), content_type="application/sdp")
        assert (response.status, response.headers.get("Retry-After")) == (500, "5")


async def test_info_is_passed_and_unknown_methods_are_not_served(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        seen: list[bytes] = []

        async def expect_info() -> None:
            seen.append((await there.expect("INFO")).body)

        response = await both(
            lambda: here.ask("INFO", body=b"<xml/>", content_type="application/media_control+xml"), expect_info
        )
        assert response.status == 200
        assert seen == [b"<xml/>"]
        refused = await here.ask("NONSENSE")
        assert refused.status == 405
        assert "INVITE" in (refused.headers.get("Allow") or "")
        assert (await here.ask("OPTIONS")).status == 200


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


async def test_who_is_hung_up_on_is_not_told_the_account_of_the_phone(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        seen: list[str | None] = []

        async def expect_bye() -> None:
            seen.append((await there.expect("BYE")).headers.get("Reason"))

        await both(lambda: here.ask("BYE"), expect_bye)
        assert len(seen) == 1
        assert "alice" not in (seen[0] or "")


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


async def test_a_call_that_is_never_acknowledged_is_ended(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example")
        there = await bob.answer(await bob.invited())
        response = await outgoing.response(200)
        assert response.to.tag
        bye = await there.expect("BYE")
        assert "acknowledged" in (bye.headers.get("Reason") or "")


async def test_both_hang_up_at_once_and_nothing_waits_for_the_other(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        answers: list[int] = []

        async def hang_up(side: Established) -> None:
            answers.append((await side.ask("BYE")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up, here)
            nursery.start_soon(hang_up, there)
        assert answers == [200, 200]
        await trio.sleep(0.1)
        assert a.sip.statistics()["dialogs"] == b.sip.statistics()["dialogs"] == 0


async def test_what_is_open_when_the_call_ends_is_answered(autojump_clock: MockClock) -> None:
    """RFC 3261 §15.1.2."""
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        answers: dict[str, int] = {}

        async def ask(method: str, body: bytes, content_type: str) -> None:
            answers[method] = (await here.ask(method, body=body, content_type=content_type)).status

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "INFO", b"x", "text/plain")
            nursery.start_soon(ask, "INVITE", sdp(6001, "0"), "application/sdp")
            await trio.sleep(0.1)
            assert (await there.ask("BYE")).status == 200
        assert answers == {"INFO": 487, "INVITE": 487}


async def test_a_call_that_is_over_is_freed_without_a_collection_of_garbage(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(1)
        gc.collect()
        gc.disable()
        try:
            standing = [weakref.ref(each) for each in (*a.server.standing, next(iter(a.server.standing)).talk)]
            await both(partial(here.ask, "BYE"), partial(there.expect, "BYE"))
            await trio.sleep(100)
            assert [each() for each in standing] == [None, None]
        finally:
            gc.enable()
