"""SUBSCRIBE, NOTIFY and PUBLISH as phones see them, on one node and between two; virtual time."""

from dataclasses import replace
from typing import Literal

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls.equipment import Party
from p2psip.presence import server as server_module
from p2psip.presence.device import ANSWER_SECONDS_MAX
from p2psip.presence.message_summary import SUMMARY_TYPE, Waiting
from p2psip.presence.pidf import PIDF_TYPE, Presence, Service, parse_pidf
from p2psip.presence.ports import Permissions
from p2psip.presence.subscription import SECONDS_MIN
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from tests.calls.fakes import OVERLAY_NAME
from tests.calls.steps import connect
from tests.presence.world import Home, KeptMessages, Streets, publication, streets, subscribe, subscription

ALICE, BOB = f"sip:alice@{OVERLAY_NAME}", f"sip:bob@{OVERLAY_NAME}"
WATCH_SECONDS = Permissions().watch_seconds


def is_open(notify: Request) -> bool:
    return parse_pidf(notify.body).is_open


async def two_homes(s: Streets, permissions: Permissions | None = None) -> tuple[Home, Home]:
    return await s.home("alice", "1001"), await s.home("bob", "1002", permissions=permissions)


async def test_a_phone_sees_its_own_person_and_the_subscription_runs_out(autojump_clock: MockClock) -> None:
    async with streets() as s:
        phone = await s.phone(await s.home("alice", "1001"), "alice", 6000)
        watching = await subscribe(phone, ALICE, "presence", 60)
        assert watching.response.headers.get("Expires") == "60"
        first = await watching.notified()
        assert is_open(first)
        assert first.headers.get("Subscription-State") == "active;expires=60"
        assert first.headers.get("Event") == "presence"
        await trio.sleep(40)
        assert (await watching.refresh(60)).status == 200
        assert is_open(await watching.notified())
        last = await watching.notified()
        assert last.headers.get("Subscription-State") == "terminated;reason=timeout"
        assert trio.current_time() == pytest.approx(100, abs=1)
        assert (await watching.refresh(60)).status == 481


async def test_unsubscribe_and_fetch(autojump_clock: MockClock) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        phone = await s.phone(home, "alice", 6000)
        watching = await subscribe(phone, ALICE, "presence")
        await watching.notified()
        assert (await watching.refresh(0)).status == 200
        assert "terminated" in ((await watching.notified()).headers.get("Subscription-State") or "")
        fetching = await subscribe(phone, ALICE, "presence", 0)
        only = await fetching.notified()
        assert is_open(only)
        assert only.headers.get("Subscription-State") == "terminated;reason=timeout"
        await trio.sleep(1)
        assert home.presence.status() == {"watchers": 0, "watched": 0, "publications": 0}


async def test_refusals_of_subscribe(autojump_clock: MockClock) -> None:
    async with streets() as s:
        phone = await s.phone(await s.home("alice", "1001"), "alice", 6000)
        unknown = await phone.ask(subscription(phone, ALICE, "weather"))
        assert (unknown.status, unknown.headers.get("Allow-Events")) == (489, "presence, dialog, message-summary")
        brief = await phone.ask(subscription(phone, ALICE, "presence", SECONDS_MIN - 1))
        assert (brief.status, brief.headers.get("Min-Expires")) == (423, str(SECONDS_MIN))
        assert (await phone.ask(subscription(phone, "sip:bob@elsewhere.example", "presence"))).status == 404
        assert (await phone.ask(subscription(phone, BOB, "message-summary"))).status == 403
        assert (await phone.ask(subscription(phone, ALICE, "presence", Accept="text/plain"))).status == 406
        bare = phone.request("SUBSCRIBE", ALICE, headers=[("Event", "presence")])
        assert (await phone.ask(bare)).status == 400
        assert (await phone.ask(phone.request("SUBSCRIBE", ALICE, headers=[("Contact", phone.contact)]))).status == 489
        assert (await phone.ask(subscription(phone, ALICE, "presence"), password="wrong")).status == 401


async def test_a_phone_that_answers_481_is_told_no_more(autojump_clock: MockClock) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        watching = await subscribe(await s.phone(home, "alice", 6000), ALICE, "presence")
        await watching.notified(481)
        await trio.sleep(1)
        assert home.presence.status()["watchers"] == 0


async def test_a_phone_that_is_gone_is_told_no_more(autojump_clock: MockClock) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        phone = await s.phone(home, "alice", 6000)
        await subscribe(phone, ALICE, "presence")
        s.world.network.dead.add(phone.sip)
        await trio.sleep(40)
        assert home.presence.status()["watchers"] == 0


async def test_bounds(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "WATCHERS_PER_PHONE_MAX", 2)
    monkeypatch.setattr(server_module, "WATCHERS_MAX", 3)
    async with streets() as s:
        home = await s.home("alice", "1001")
        first, second = await s.phone(home, "alice", 6000), await s.phone(home, "alice-2", 6010, registered=False)
        for _ in range(2):
            await subscribe(first, ALICE, "presence")
        assert (await first.ask(subscription(first, ALICE, "presence"))).status == 503
        await subscribe(second, ALICE, "presence")
        assert (await second.ask(subscription(second, ALICE, "presence"))).status == 503
        monkeypatch.setattr(server_module, "WATCHERS_MAX", 10)
        monkeypatch.setattr(server_module, "PEOPLE_MAX", 1)
        assert (await second.ask(subscription(second, BOB, "presence"))).status == 503


# PUBLISH


async def test_a_life_of_a_publication(autojump_clock: MockClock) -> None:
    busy = Presence((Service("desk", False),), ("meeting",)).write("alice@home.example")
    async with streets() as s:
        phone = await s.phone(await s.home("alice", "1001"), "alice", 6000)
        watching = await subscribe(phone, ALICE, "presence")
        assert is_open(await watching.notified())
        first = await phone.ask(publication(phone, "presence", busy, PIDF_TYPE))
        assert (first.status, first.headers.get("Expires")) == (200, "600")
        told = parse_pidf((await watching.notified()).body)
        assert (told.is_open, told.activities) == (False, ("meeting",))
        tag = first.headers.get("SIP-ETag")
        refreshed = await phone.ask(publication(phone, "presence", b"", PIDF_TYPE, if_match=tag, seconds=60))
        assert refreshed.status == 200
        stale = await phone.ask(publication(phone, "presence", b"", PIDF_TYPE, if_match=tag))
        assert stale.status == 412
        await trio.sleep(59)
        await watching.quiet(0.5)
        assert is_open(await watching.notified())  # it has run out


async def test_refusals_of_publish(autojump_clock: MockClock) -> None:
    body = Presence((Service("desk", True),)).write("alice@home.example")
    async with streets() as s:
        phone = await s.phone(await s.home("alice", "1001"), "alice", 6000)
        wrong = await phone.ask(publication(phone, "presence", body, "text/plain"))
        assert (wrong.status, wrong.headers.get("Accept")) == (415, PIDF_TYPE)
        assert (await phone.ask(publication(phone, "dialog", body, PIDF_TYPE))).status == 489
        assert (await phone.ask(publication(phone, "weather", body, PIDF_TYPE))).headers.get("Allow-Events")
        brief = await phone.ask(publication(phone, "presence", body, PIDF_TYPE, seconds=1))
        assert (brief.status, brief.headers.get("Min-Expires")) == (423, "30")
        other = phone.request("PUBLISH", BOB, headers=[("Event", "presence")], body=body, content_type=PIDF_TYPE)
        assert (await phone.ask(other)).status == 403


async def test_messages_that_wait(autojump_clock: MockClock) -> None:
    mailbox = KeptMessages()
    async with streets() as s:
        phone = await s.phone(await s.home("alice", "1001", mailbox=mailbox), "alice", 6000)
        watching = await subscribe(phone, ALICE, "message-summary")
        assert b"Messages-Waiting: no" in (await watching.notified()).body
        mailbox.put(Waiting(2, 1))
        assert b"Voice-Message: 2/1 (0/0)" in (await watching.notified()).body
        await phone.ask(publication(phone, "message-summary", Waiting(3).write("alice@home.example"), SUMMARY_TYPE))
        assert b"Voice-Message: 5/1 (0/0)" in (await watching.notified()).body


# Across the overlay


async def test_a_node_that_wants_longer_subscriptions_gets_them(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2psip.presence.watcher.NODE_SECONDS_MIN", WATCH_SECONDS + 1)
    async with streets() as s:
        a, b = await two_homes(s)
        await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        while not is_open(await watching.notified()):
            pass
        await watching.quiet(3 * WATCH_SECONDS)
        assert b.presence.status()["watchers"] == 1


async def test_somebody_else_comes_and_goes(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        assert not is_open(await watching.notified())
        assert trio.current_time() < 0.1
        await trio.sleep(20)
        bob = await s.phone(b, "bob", 6100)
        assert is_open(await watching.notified())
        assert trio.current_time() < 23
        await bob.ask(bob.registration(bob.contact, expires=0))
        assert not is_open(await watching.notified())
        await bob.register()
        assert is_open(await watching.notified())


async def test_a_registration_that_runs_out_is_seen_closed_when_it_does(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        await watching.notified()
        bob = await s.phone(b, "bob", 6100, registered=False)
        began = trio.current_time()
        await bob.ask(bob.registration(bob.contact, expires=90))
        assert is_open(await watching.notified())
        assert not is_open(await watching.notified())
        assert 90 <= trio.current_time() - began < 92


async def test_a_phone_whose_connection_ends_is_seen_closed(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        await watching.notified()
        bob = await s.world.phone(b.node, "bob", 6100, transport="tcp")
        assert is_open(await watching.notified())
        b.node.sip.close_flow(Flow("tcp", b.node.sip.address, bob.sip.address, 6100))
        assert not is_open(await watching.notified())


async def test_a_node_that_starts_anew_before_anybody_missed_it_is_asked_again(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        while not is_open(await watching.notified()):
            pass
        await trio.sleep(20)
        s.world.network.dead.add(b.node.sip)
        s.world.shared[BOB.removeprefix("sip:")].clear()
        again = await s.home("bob", "1002", node_id=b.node.sip.node_id)
        began = trio.current_time()
        phone = await s.phone(again, "bob", 6200)
        told = await watching.notified()
        while not is_open(told):
            told = await watching.notified()
        assert trio.current_time() - began < 10
        assert again.presence.status()["watchers"] == 1
        await phone.ask(phone.registration(phone.contact, expires=0))
        assert not is_open(await watching.notified())


async def test_one_subscription_at_the_other_node_serves_all_our_watchers(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        await s.phone(b, "bob", 6100)
        first, second = await s.phone(a, "alice", 6000), await s.phone(a, "alice-2", 6010)
        watching = [await subscribe(phone, BOB, "presence", 120) for phone in (first, second)]
        for each in watching:
            while not is_open(await each.notified()):
                pass
        assert (a.presence.status()["watched"], b.presence.status()["watchers"]) == (1, 1)
        for each in watching:
            await each.refresh(0)
            await each.notified()
        await trio.sleep(1)
        assert (a.presence.status(), b.presence.status()["watchers"]) == (
            {"watchers": 0, "watched": 0, "publications": 0},
            0,
        )
        assert s.hooks["bob@home.example"] == []


async def test_a_node_that_dies_is_seen_closed_within_the_bound_and_open_again_when_it_is_back(
    autojump_clock: MockClock,
) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        while not is_open(await watching.notified()):
            pass
        died = trio.current_time()
        s.world.network.dead.add(b.node.sip)
        assert not is_open(await watching.notified())
        assert trio.current_time() - died <= WATCH_SECONDS / 2 + ANSWER_SECONDS_MAX + 1
        await trio.sleep(100)
        s.world.network.dead.clear()
        back = trio.current_time()
        b.directory._tell()
        assert is_open(await watching.notified())
        assert trio.current_time() - back < 3


async def test_without_word_from_the_overlay_a_node_that_is_back_is_found_at_the_next_look(
    autojump_clock: MockClock,
) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        b.directory.is_silent = True
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        assert not is_open(await watching.notified())
        await trio.sleep(5)
        began = trio.current_time()
        await s.phone(b, "bob", 6100)
        with trio.fail_after(310):
            exchange = await watching.requests.receive()
        assert is_open(exchange.request)
        assert trio.current_time() - began <= 302
        assert a.directory.lookups == 2


async def test_a_node_that_stops_says_so(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        while not is_open(await watching.notified()):
            pass
        began = trio.current_time()
        await b.presence.stop()
        s.world.network.dead.add(b.node.sip)
        assert not is_open(await watching.notified())
        assert trio.current_time() - began < 2


async def test_several_devices_of_one_person(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        c = await s.home("bob", "1002", node_id="c" * 40)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        await watching.notified()
        first, second = await s.phone(b, "bob", 6100), await s.phone(c, "bob-2", 6200)
        told = await watching.notified()
        while len(parse_pidf(told.body).services) < 2:
            told = await watching.notified()
        await first.ask(first.registration(first.contact, expires=0))
        told = await watching.notified()
        assert is_open(told)
        await second.ask(second.registration(second.contact, expires=0))
        assert not is_open(await watching.notified())
        own = await subscribe(await s.phone(b, "bob", 6110), BOB, "presence")
        assert is_open(await own.notified())


async def test_who_may_not_see_is_told_so(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s, Permissions(visible_to=frozenset({"carol@home.example"})))
        await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence", 3_600)
        told = await watching.notified()
        while "terminated" not in (told.headers.get("Subscription-State") or ""):
            assert not is_open(told)
            told = await watching.notified()
        assert told.headers.get("Subscription-State") == "terminated;reason=rejected"
        assert told.body == b""


async def test_a_node_watches_for_its_own_people_only(autojump_clock: MockClock) -> None:
    async with streets() as s:
        _a, b = await two_homes(s)
        mallory = await s.home("mallory", "1003")
        flow = mallory.node.sip.overlay_flow(b.node.sip.node_id)
        phone = await s.phone(mallory, "alice", 6300, registered=False)
        pretending = subscription(phone, BOB, "presence")
        exchange = mallory.node.sip.start(pretending, flow)
        assert (await exchange.final_response()).status == 403
        published = publication(phone, "presence", b"x", PIDF_TYPE)
        assert (await mallory.node.sip.start(published, flow).final_response()).status == 403


@pytest.mark.parametrize("kind", ["trunk", "stranger"])
async def test_who_is_no_member_watches_nobody(kind: Literal["trunk", "stranger"], autojump_clock: MockClock) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        phone = await s.phone(home, "alice", 6000)

        async def prove(exchange: ServerExchange) -> Party | None:
            party = await home.node.server.sender(exchange)
            return None if party is None else replace(party, kind=kind)

        home.presence._prove = prove
        for event in ("presence", "dialog", "message-summary"):
            assert (await phone.ask(subscription(phone, ALICE, event))).status == 403


async def test_own_phones_have_room_however_many_nodes_watch(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "WATCHERS_OF_NODES_MAX", 0)
    async with streets() as s:
        a, b = await two_homes(s)
        phone = await s.phone(b, "bob", 6100)
        watching = await subscribe(await s.phone(a, "alice", 6000), BOB, "presence")
        assert not is_open(await watching.notified())
        await watching.quiet(10)
        assert is_open(await (await subscribe(phone, BOB, "presence")).notified())
        monkeypatch.setattr(server_module, "WATCHERS_OF_NODES_MAX", 9)
        monkeypatch.setattr(server_module, "WATCHERS_PER_NODE_MAX", 0)
        await watching.quiet(100)
        monkeypatch.setattr(server_module, "WATCHERS_PER_NODE_MAX", 1)
        b.directory._tell()
        assert is_open(await watching.notified())


async def test_a_single_look(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streets() as s:
        a, b = await two_homes(s, Permissions(visible_to=frozenset({"alice@home.example"})))
        assert not (await a.presence.look("bob@home.example")).is_open
        await s.phone(b, "bob", 6100)
        assert (await a.presence.look("bob@home.example")).is_open
        assert (await b.presence.look("bob@home.example")).is_open
        assert not (await a.presence.look("alice@home.example")).is_open
        carol = await s.home("carol", "1003")
        with pytest.raises(RemoteError, match="does not let you"):
            await carol.presence.look("bob@home.example")
        await trio.sleep(1)
        assert [home.presence.status()["watchers"] for home in (a, b, carol)] == [0, 0, 0]
        monkeypatch.setattr(server_module, "PEOPLE_MAX", 0)
        with pytest.raises(RemoteError, match="as many people"):
            await a.presence.look("bob@home.example")


# Busy lamps


async def test_own_lamps_tell_with_whom(autojump_clock: MockClock) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        alice, desk, bob = (
            await s.phone(a, "alice", 6000),
            await s.phone(a, "alice-2", 6010),
            await s.phone(b, "bob", 6100),
        )
        lamp = await subscribe(desk, ALICE, "dialog")
        first = await lamp.notified()
        assert b'version="0" state="full"' in first.body
        assert b"<dialog " not in first.body
        here, _there = await connect(alice, bob, BOB)
        bodies = b""
        while b"confirmed" not in bodies:
            bodies = (await lamp.notified()).body
        assert b'state="partial"' in bodies
        assert b"sip:bob@home.example" in bodies
        await here.ask("BYE")
        assert b"terminated" in (await lamp.notified()).body
        assert [f'version="{n}"'.encode() in each.body for n, each in enumerate(lamp.heard)] == [True] * len(lamp.heard)


async def test_lamps_of_others_are_dark_unless_they_allow_them_and_never_tell_with_whom(
    autojump_clock: MockClock,
) -> None:
    async with streets() as s:
        a, b = await two_homes(s)
        carol = await s.home("carol", "1003", permissions=Permissions(busy_to=frozenset({"bob@home.example"})))
        alice, bob, phone = (
            await s.phone(a, "alice", 6000),
            await s.phone(b, "bob", 6100),
            await s.phone(carol, "carol", 6200),
        )
        denied = await subscribe(alice, "sip:carol@home.example", "dialog", 3_600)
        lamp = await subscribe(bob, "sip:carol@home.example", "dialog", 3_600)
        seen = await subscribe(bob, "sip:carol@home.example", "presence", 3_600)
        told = await denied.notified()
        while "rejected" not in (told.headers.get("Subscription-State") or ""):
            told = await denied.notified()
        await lamp.notified()
        here, _there = await connect(phone, alice, ALICE)
        began = trio.current_time()
        told = await lamp.notified()
        while b"confirmed" not in told.body:
            told = await lamp.notified()
        assert trio.current_time() - began < 3
        assert b"alice" not in told.body
        while (
            "on-the-phone" not in parse_pidf(told.body).activities if told.headers.get("Event") == "presence" else True
        ):
            told = await seen.notified()
        await here.ask("BYE")
        assert b"terminated" in (await lamp.notified()).body
