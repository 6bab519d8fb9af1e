"""Session timers (RFC 4028) of either leg, on trio's virtual clock."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls.session_timer import RAISES_MAX, SessionTimer
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from tests.calls.early_steps import calls
from tests.calls.steps import both
from tests.calls.world import Established, Phone, World, sdp, world
from tests.sip.playbook import request_text

TIMER = ("Supported", "timer")


def request(*lines: str) -> Request:
    message = parse_message(request_text(headers="".join(f"{line}\r\n" for line in lines)))
    assert isinstance(message, Request)
    return message


def ok(*headers: tuple[str, str], status: int = 200) -> Response:
    return make_response(request(), status, to_tag="b", headers=headers)


@pytest.mark.parametrize(
    ("asked", "said", "we_refresh"),
    [
        ((), None, True),
        (("Supported: timer",), "1800;refresher=uas", True),
        (("Supported: timer", "Session-Expires: 600"), "600;refresher=uas", True),
        (("Supported: timer", "Session-Expires: 600;refresher=uac"), "600;refresher=uac", False),
        (("Supported: timer", "x: 600;refresher=uas"), "600;refresher=uas", True),
        (("Supported: timer", "Session-Expires: 7200;refresher=uac"), "1800;refresher=uac", False),
        (("Supported: timer", "Session-Expires: 7200;refresher=uac", "Min-SE: 3600"), "3600;refresher=uac", False),
        (("Session-Expires: 40",), None, True),
    ],
)
def test_the_refresher_is_chosen_by_table_2(asked: tuple[str, ...], said: str | None, we_refresh: bool) -> None:
    timer = SessionTimer()
    headers = dict(timer.answer(request(*asked)))
    assert (headers.get("Session-Expires"), timer.we_refresh) == (said, we_refresh)
    assert ("Require" in headers) == (said is not None)
    assert timer.interval is not None
    assert timer.interval >= 90


def test_who_knows_the_extension_and_asks_for_too_little_is_told_so() -> None:
    timer = SessionTimer()
    with pytest.raises(RemoteError) as caught:
        timer.check(request("Supported: timer", "Session-Expires: 89"))
    assert caught.value.status == 422
    timer.check(request("Session-Expires: 89"))
    timer.check(request("Supported: timer", "Session-Expires: 90"))
    with pytest.raises(RemoteError) as caught:
        timer.check(request("Supported: timer", "Session-Expires: soon"))
    assert caught.value.status == 400


def test_switched_off_it_asks_for_nothing_and_serves_who_asks() -> None:
    timer = SessionTimer(0)
    assert (timer.asking(), timer.answer(request("Supported: timer"))) == ([], [])
    timer.note_answer(ok())
    assert timer.interval is None
    assert dict(timer.answer(request("Supported: timer", "Session-Expires: 300")))["Session-Expires"].startswith("300")
    assert timer.asking() == [("Session-Expires", "300;refresher=uac")]


def test_later_requests_keep_the_roles() -> None:
    timer = SessionTimer()
    assert timer.asking() == [("Session-Expires", "1800")]
    timer.note_answer(ok(("Session-Expires", "600;refresher=uas")))
    assert timer.asking() == [("Session-Expires", "600;refresher=uas")]
    timer.note_answer(ok(("Session-Expires", "600;refresher=uac")))
    assert timer.asking() == [("Session-Expires", "600;refresher=uac")]


def test_the_interval_is_raised_so_often_and_no_more() -> None:
    timer = SessionTimer(100)
    for least in range(200, 200 + RAISES_MAX):
        assert timer.raise_interval(ok(("Min-SE", str(least)), status=422))
        assert timer.asking() == [("Session-Expires", str(least)), ("Min-SE", str(least))]
        assert not timer.raise_interval(ok(("Min-SE", str(least)), status=422))
    assert not timer.raise_interval(ok(("Min-SE", "900"), status=422))
    assert not timer.raise_interval(ok(status=422))


async def when_over(timer: SessionTimer, results: list[RemoteError | None]) -> tuple[float, str, list[float]]:
    """Run a timer: when it ended, why, and when it refreshed; each refresh ends as `results` say, the last one again and again."""
    times: list[float] = []

    async def refresh() -> None:
        times.append(trio.current_time())
        result = results[min(len(times), len(results)) - 1]
        if result is not None:
            raise result
        timer.note_answer(ok(("Session-Expires", "90;refresher=uac")))

    words = await timer.run(refresh)
    return trio.current_time(), words, times


async def test_we_refresh_at_half_time_and_end_when_the_peer_is_gone(autojump_clock: MockClock) -> None:
    timer = SessionTimer()
    timer.note_answer(ok(("Session-Expires", "90;refresher=uac")))
    gone = RemoteError("Request Timeout", status=408)
    time, words, times = await when_over(timer, [None, None, gone])
    assert times == [45, 90, 135]
    assert time == 135
    assert "Request Timeout" in words


async def test_a_refusal_is_tried_again_until_the_session_expires(autojump_clock: MockClock) -> None:
    timer = SessionTimer()
    timer.note_answer(ok(("Session-Expires", "90;refresher=uac")))
    time, words, times = await when_over(timer, [RemoteError("busy", status=500)])
    assert times == [45, 55]
    assert (time, "busy" in words) == (60, True)


@pytest.mark.parametrize(("interval", "end"), [(90, 60), (1800, 1768)])
async def test_a_peer_that_does_not_refresh_is_given_up_a_little_before_the_end(
    autojump_clock: MockClock, interval: int, end: int
) -> None:
    timer = SessionTimer()
    timer.note_answer(ok(("Session-Expires", f"{interval};refresher=uas")))
    time, _words, times = await when_over(timer, [None])
    assert (time, times) == (end, [])


# Through a node


async def stand(
    w: World, *headers: tuple[str, str], session_seconds: int = 180
) -> tuple[Phone, Phone, Established, Established, Response, ServerExchange]:
    node = await w.node("alice", "1001", session_seconds=session_seconds)
    caller, callee = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
    outgoing = await calls(caller, "sip:1001@home.example", *headers)
    invite = await callee.invited()
    there: list[Established] = []

    async def answer() -> None:
        there.append(await callee.answer(invite))

    w.nursery.start_soon(answer)
    response = await outgoing.response(200)
    here = Established(caller, Dialog.of_client(outgoing.request, response, caller.contact))
    outgoing.exchange.acknowledge(response, here.dialog.acknowledge(outgoing.request.cseq.number))
    await trio.sleep(0.1)
    return caller, callee, here, there[0], response, invite


async def test_both_legs_agree_for_themselves(autojump_clock: MockClock) -> None:
    async with world() as w:
        ours = ("Session-Expires", "150;refresher=uac")
        _caller, _callee, here, there, response, invite = await stand(w, TIMER, ours)
        assert response.headers.get("Session-Expires") == "150;refresher=uac"
        assert response.headers.get("Require") == "timer"
        assert invite.request.headers.get("Session-Expires") == "180"
        refresh = await there.expect("INVITE", body=sdp(6101, "0 101"))
        assert trio.current_time() == pytest.approx(90, abs=1)
        assert refresh.body, "a phone that names no UPDATE in Allow is refreshed by re-INVITE"
        answered = await here.ask("UPDATE", headers=[TIMER, ours])
        assert answered.headers.get("Session-Expires") == "150;refresher=uac"
        await there.expect("INVITE", body=sdp(6101, "0 101"))
        bye = await both(partial(here.expect, "BYE"), partial(there.expect, "BYE"))
        assert trio.current_time() == pytest.approx(90 + 150 - 32, abs=1)
        assert "the other side is gone" in (bye.headers.get("Reason") or "")


async def test_a_phone_that_vanished_over_udp_is_noticed(autojump_clock: MockClock) -> None:
    async with world() as w:
        _caller, callee, here, _there, _response, _invite = await stand(w)
        w.network.dead.add(callee.sip)
        started = trio.current_time()
        w.nursery.start_soon(partial(here.expect, "INVITE", body=sdp(6001, "0 101")))
        await trio.sleep(1)
        bye = await here.expect("BYE")
        assert trio.current_time() - started < 180
        assert "the other side is gone" in (bye.headers.get("Reason") or "")


async def test_update_is_used_where_it_is_known_and_left_where_it_turns_out_not_to_be(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        _caller, _callee, here, there, _response, _invite = await stand(
            w, TIMER, ("Allow", "INVITE, ACK, BYE, UPDATE"), ("Session-Expires", "120;refresher=uas")
        )
        w.nursery.start_soon(partial(there.expect, "INVITE", body=sdp(6101, "0 101")))
        update = await here.expect("UPDATE")
        assert (update.body, update.headers.get("Session-Expires")) == (b"", "120;refresher=uac")
        assert update.headers.get("Contact")
        await here.expect("UPDATE", 501)
        assert (await here.expect("INVITE", body=sdp(6001, "0 101"))).body
        assert (await here.ask("OPTIONS")).status == 200


async def test_422_from_the_phone_makes_the_interval_longer(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001", session_seconds=120)
        caller, callee = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        outgoing = await caller.call("sip:1001@home.example")
        first = await callee.invited()
        brief = make_response(first.request, 422, to_tag="x", headers=[("Min-SE", "300")])
        first.respond(brief)
        again = await callee.invited()
        assert (again.request.headers.get("Session-Expires"), again.request.headers.get("Min-SE")) == ("300", "300")
        assert again.request.call_id == first.request.call_id
        assert again.request.cseq.number == first.request.cseq.number + 1
        await both(outgoing.established, partial(callee.answer, again))


async def test_a_session_that_is_too_short_is_refused_with_the_least(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        caller = await w.phone(node, "alice", 6000)
        outgoing = await calls(caller, "sip:1001@home.example", TIMER, ("Session-Expires", "30"))
        refusal = await outgoing.response(422)
        assert refusal.headers.get("Min-SE") == "90"


async def test_a_refresh_of_the_phone_reaches_nobody_else(autojump_clock: MockClock) -> None:
    async with world() as w:
        _caller, callee, here, _there, _response, _invite = await stand(w, TIMER)
        before = len(callee.sip.sent)
        headers = [TIMER, ("Session-Expires", "180;refresher=uac")]
        response = await here.ask("INVITE", headers=headers, body=sdp(6001), content_type="application/sdp")
        assert (response.status, response.headers.get("Session-Expires")) == (200, "180;refresher=uac")
        assert response.body
        short = await here.ask("UPDATE", headers=[TIMER, ("Session-Expires", "10")])
        assert (short.status, short.headers.get("Min-SE")) == (422, "90")
        assert len(callee.sip.sent) == before
