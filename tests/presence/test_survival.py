"""A mistake in serving one watcher, or in watching one person, ends neither the node nor the watching of others."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2psip.presence.person import Person
from p2psip.presence.pidf import Presence
from p2psip.presence.server import AGAIN_SECONDS
from p2psip.presence.watcher import Watcher
from p2psip.sip.message import Request
from tests.calls.fakes import OVERLAY_NAME
from tests.presence.world import publication, streets, subscribe

ALICE, BOB = f"sip:alice@{OVERLAY_NAME}", f"sip:bob@{OVERLAY_NAME}"
AWAY = b"""<presence xmlns="urn:ietf:params:xml:ns:pidf"><tuple id="a"><status><basic>closed</basic></status></tuple></presence>"""


def failing(before: Callable[..., Any], *, if_: Callable[..., bool]) -> Callable[..., Any]:
    """The same, with a mistake in it."""

    def run(self: Any, *more: Any) -> Any:
        if if_(self):
            raise ValueError("a mistake of ours")
        return before(self, *more)

    return run


def mistakes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Who could not be served."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


async def test_a_document_that_cannot_be_written_ends_one_subscription(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        phone, desk = await s.phone(home, "alice", 6000), await s.phone(home, "alice-2", 6010)
        watching = await subscribe(desk, ALICE, "presence")
        await watching.notified()
        monkeypatch.setattr(Presence, "write", failing(Presence.write, if_=lambda _state: True))
        await phone.ask(publication(phone, "presence", AWAY, "application/pidf+xml"))
        await trio.sleep(10)
        assert home.presence.failures == 1
        assert home.presence.status()["watchers"] == 0
        assert (await watching.refresh(60)).status == 481
        monkeypatch.undo()
        assert b"closed" in (await (await subscribe(desk, ALICE, "presence")).notified()).body
        assert mistakes(caplog) == ["watching for or of alice-2 has failed"]


async def test_a_watcher_that_cannot_be_told_keeps_nobody_from_being_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with streets() as s:
        home = await s.home("alice", "1001")
        phone, desk = await s.phone(home, "alice", 6000), await s.phone(home, "alice-2", 6010)
        broken, other = await subscribe(phone, ALICE, "presence"), await subscribe(desk, ALICE, "presence")
        await broken.notified()
        await other.notified()
        change = failing(Watcher.note_change, if_=lambda watcher: watcher.phone == "alice")
        monkeypatch.setattr(Watcher, "note_change", change)
        await phone.ask(publication(phone, "presence", AWAY, "application/pidf+xml"))
        told: Request = await other.notified()
        assert b"closed" in told.body
        assert mistakes(caplog) == ["watching for or of alice has failed"]


async def test_somebody_whose_watching_failed_is_watched_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with streets() as s:
        alice, bob = await s.home("alice", "1001"), await s.home("bob", "1002")
        phone = await s.phone(alice, "alice", 6000)
        await s.phone(bob, "bob", 6100)
        until = trio.current_time() + AGAIN_SECONDS
        monkeypatch.setattr(Person, "run", failing(Person.run, if_=lambda _person: trio.current_time() < until))
        watching = await subscribe(phone, BOB, "presence")
        while b">open<" not in (await watching.notified()).body:
            pass
        assert until <= trio.current_time() <= until + AGAIN_SECONDS
        assert mistakes(caplog) == [f"watching for or of bob@{OVERLAY_NAME} has failed"]
