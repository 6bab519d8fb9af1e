"""Callers who do not want to be shown (RFC 3323, RFC 3325)."""

import pytest
from trio.testing import MockClock

from p2psip.calls.privacy import VALUES_MAX, wants_privacy
from p2psip.sip.message import Request
from p2psip.sip.parser import parse_message
from tests.calls.early_steps import calls
from tests.calls.steps import two_nodes
from tests.calls.world import world
from tests.sip.playbook import request_text


def request(headers: str, from_: str = "<sip:alice@example.com>;tag=a") -> Request:
    message = parse_message(request_text(headers=headers, from_=from_))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ("", False),
        ("Privacy: id\r\n", True),
        ("Privacy: header;ID;critical\r\n", True),
        ("Privacy: user\r\n", True),
        ("Privacy: none\r\n", False),
        ("Privacy: id\r\nPrivacy: none\r\n", False),
        ("Privacy: critical\r\n", False),
        ("Privacy: " + "x;" * VALUES_MAX + "id\r\n", True),
        ("Privacy: " + "x;" * (VALUES_MAX + 1) + "id\r\n", False),
    ],
)
def test_the_wish(headers: str, wanted: bool) -> None:
    assert wants_privacy(request(headers)) == wanted


def test_an_anonymous_from_is_a_wish_too() -> None:
    assert wants_privacy(request("", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'))
    assert not wants_privacy(request("Privacy: none\r\n", "<sip:anonymous@anonymous.invalid>;tag=1"))
    assert not wants_privacy(request("", "<tel:+4930;phone-context=x>;tag=1"))


async def test_nodes_hear_who_calls_and_phones_do_not(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        await calls(alice, "sip:bob@home.example", ("Privacy", "id"))
        shown = (await bob.invited()).request
        assert shown.from_.display == "Anonymous"
        assert str(shown.from_.uri) == "sip:anonymous@anonymous.invalid"
        assert b"alice" not in shown.to_bytes()
        assert next(iter(b.server.log)).caller == "alice@home.example"
        between = next(data for data, flow in a.sip.sent if flow.transport == "overlay")
        assert b"From: <sip:alice@home.example>" in between
        assert b"Privacy: id" in between


async def test_who_asks_for_nothing_is_shown(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        await calls(alice, "sip:bob@home.example")
        assert str((await bob.invited()).request.from_.uri) == "sip:alice@home.example"
