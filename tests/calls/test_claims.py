"""Callers whom nobody vouches for, led on by the node of their domain to people at other nodes: claims stay claims."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2psip.calls.claims import NOT_VERIFIED, stranger
from p2psip.calls.strangers import REFUSAL_SECONDS
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri
from tests.calls.elsewhere import DOMAIN, ask_over_the_overlay, open_door
from tests.calls.elsewhere import stranger as somebody
from tests.calls.fakes import OVERLAY_NAME
from tests.calls.steps import both, two_nodes
from tests.calls.world import world

FLOW = Flow("udp", ("192.0.2.1", 5062), ("198.51.100.7", 5060))
BOB = {"bob": f"bob@{OVERLAY_NAME}", "alice": f"alice@{OVERLAY_NAME}"}


def shown(text: str) -> str | None:
    """The display of who writes `text` into From, at the node where the stranger comes in."""
    return stranger(NameAddr.parse(text), FLOW).display


async def test_a_stranger_reaches_who_is_at_another_node_and_is_shown_as_not_verified_there(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        a, b, _, bobs = await two_nodes(w)
        open_door(w, a, people=BOB)
        caller = await somebody(w, a)
        exchange = caller.sip.start(caller.invitation(f"sip:bob@{DOMAIN}"), caller.flow)
        ringing = await bobs.invited()
        from_ = ringing.request.from_
        assert from_.display == f"{NOT_VERIFIED}: Mallory (mallory@elsewhere.example)"
        assert from_.sip_uri().address == "mallory@elsewhere.example"
        assert "P-Asserted-Identity" not in ringing.request.headers
        bobs.ring(ringing)

        async def answer() -> None:
            there = await bobs.answer(ringing)
            assert (await there.ask("BYE")).status == 200

        assert (await both(exchange.final_response, answer)).status == 200
        at_a, at_b = a.server.call_facts(1), b.server.call_facts(1)
        assert at_a is not None
        assert at_b is not None
        assert [(each["caller"], each["verified"]) for each in (at_a, at_b)] == [
            ("mallory@elsewhere.example", False)
        ] * 2
        assert at_a["ladder"][0]["source"] == "stranger 198.51.100.7"
        assert at_b["ladder"][0]["source"] == f"node {a.sip.node_id[:8]} for a stranger"


async def test_somebody_at_two_nodes_is_rung_at_both(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.node("alice", "1001"), await w.node("alice", "1001")
        phones = [await w.phone(a, "alice", 6000), await w.phone(b, "alice", 6100)]
        open_door(w, a)
        caller = await somebody(w, a)
        caller.sip.start(caller.invitation(f"sip:alice@{DOMAIN}"), caller.flow)
        for phone in phones:
            display = (await phone.invited()).request.from_.display
            assert display == f"{NOT_VERIFIED}: Mallory (mallory@elsewhere.example)"


async def test_who_has_no_phone_elsewhere_is_told_from_nobody_by_nothing(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _ = await w.node("alice", "1001"), await w.node("bob", "1002")
        open_door(w, a, people=BOB)
        caller = await somebody(w, a)
        for user in ("bob", "nobody"):
            response = await caller.first(caller.invitation(f"sip:{user}@{DOMAIN}"))
            assert (response.status, "Warning" in response.headers) == (480, False)


@pytest.mark.parametrize(
    ("from_", "status"),
    [
        (f"<sip:bob@{OVERLAY_NAME}>", 403),
        (f"<sip:carol@{OVERLAY_NAME.upper()}.>", 403),
        (f"<sip:carol@{OVERLAY_NAME}>", 403),
        ("<sip:mallory@elsewhere.example>", 480),
    ],
)
async def test_a_node_speaks_for_its_own_and_leads_on_who_is_of_elsewhere(
    autojump_clock: MockClock, from_: str, status: int
) -> None:
    async with world() as w:
        a, b = await w.node("alice", "1001"), await w.node("bob", "1002")
        assert (await ask_over_the_overlay(w, a, b, from_)).status == status


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER"])
async def test_strangers_are_led_on_for_calls_only(autojump_clock: MockClock, method: str) -> None:
    async with world() as w:
        a, b, _, _ = await two_nodes(w)
        response = await ask_over_the_overlay(w, a, b, "<sip:mallory@elsewhere.example>", method)
        assert response.status in (403, 489, 405)


async def test_a_node_puts_the_mark_itself(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, _, bobs = await two_nodes(w)
        w.nursery.start_soon(ask_over_the_overlay, w, a, b, '"The Bank" <sip:bank@bank.example>')
        display = (await bobs.invited()).request.from_.display
        assert display == f"{NOT_VERIFIED}: The Bank (bank@bank.example)"


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ('"Mallory" <sip:m@e.example>', "Mallory (m@e.example)"),
        ("<sip:m@e.example>", "m@e.example"),
        ('"m@e.example" <sip:m@e.example>', "m@e.example"),
        ("<tel:+4930123456>", "tel:+4930123456"),
    ],
)
def test_claims_are_marked(text: str, display: str) -> None:
    assert shown(text) == f"{NOT_VERIFIED}: {display}"


@given(text=st.text(max_size=200))
def test_what_is_marked_is_marked_once(text: str) -> None:
    try:
        party = stranger(NameAddr.parse(text), FLOW)
        said = NameAddr.parse(str(party.name_addr("tag")))
    except SipSyntaxError:
        return
    again = stranger(said, FLOW)
    assert (again.address, again.kind) == (party.address, "stranger")
    assert (again.display or "").count(f"{NOT_VERIFIED}: ") == 1


@given(display=st.text(max_size=100), user=st.from_regex(r"[a-z0-9.]{1,200}", fullmatch=True))
def test_a_second_node_shows_what_the_first_one_showed(display: str, user: str) -> None:
    claimed = NameAddr(display, SipUri.of_address(f"{user}@elsewhere.example"))
    party = stranger(NameAddr.parse(str(claimed)), FLOW)
    assert stranger(NameAddr.parse(str(party.name_addr("tag"))), FLOW).display == party.display


@pytest.mark.parametrize("status", [404, 486, 603])
async def test_a_phone_elsewhere_that_says_no_without_ringing_gives_nothing_away(
    autojump_clock: MockClock, status: int
) -> None:
    async with world() as w:
        a, _, _, bobs = await two_nodes(w)
        open_door(w, a, people=BOB)
        caller = await somebody(w, a)
        began = trio.current_time()
        exchange = caller.sip.start(caller.invitation(f"sip:bob@{DOMAIN}"), caller.flow)
        bobs.refuse(await bobs.invited(), status)
        heard = [await exchange.next_response()]
        while heard[-1].status < 200:
            heard.append(await exchange.next_response())
        assert [response.status for response in heard] == [100, 480]
        assert trio.current_time() - began == REFUSAL_SECONDS
