"""Call forwarding by 302: off unless allowed, only to allowed targets, as a call of the phone that redirects, and without loops."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2psip.calls import redirects as redirects_module
from p2psip.calls.redirects import is_allowed
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri
from tests.calls.steps import both
from tests.calls.transferring import answered, hangs_up_both
from tests.calls.world import Established, MemorySip, Node, Phone, World, world

ALL = ("*@home.example",)


def redirect(phone: Phone, exchange: ServerExchange, *contacts: str, status: int = 302) -> None:
    headers = [("Contact", contact) for contact in contacts]
    exchange.respond(make_response(exchange.request, status, to_tag=f"r{phone.port}", headers=headers))


async def people(w: World, *names: str, **settings: object) -> tuple[list[Node], list[Phone]]:
    """A node and a phone for each."""
    numbers = [f"10{number:02}" for number, _name in enumerate(names, 1)]
    nodes = [await w.node(*each, **settings) for each in zip(names, numbers, strict=True)]  # type: ignore[arg-type]
    phones = [
        await w.phone(node, name, 6000 + 100 * i) for i, (node, name) in enumerate(zip(nodes, names, strict=True))
    ]
    return nodes, phones


async def test_a_phone_forwards_its_calls(autojump_clock: MockClock) -> None:
    async with world() as w:
        nodes, (alice, bob, carol) = await people(w, "alice", "bob", "carol", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        invite = await carol.invited()
        assert invite.request.from_.uri == SipUri.parse("sip:bob@home.example")
        assert invite.request.from_.display == "alice@home.example via bob"
        assert invite.request.headers.get("Diversion") == "<sip:bob@home.example>;reason=unconditional;counter=1"
        assert invite.request.headers.get("History-Info") == (
            "<sip:bob@home.example?Reason=SIP%3Bcause%3D302>;index=1, <sip:carol@home.example>;index=1.1;mp=1"
        )
        carol.ring(invite)
        await outgoing.response(180)
        there: list[Established] = []

        async def answer() -> None:
            there.append(await carol.answer(invite))

        here = await both(outgoing.established, answer)
        await hangs_up_both(here, there[0])
        await trio.sleep(1)
        assert not [leg for node in nodes for leg in node.media.open_legs()]


async def test_redirects_are_off_unless_allowed(autojump_clock: MockClock) -> None:
    async with world() as w:
        nodes, (alice, bob, carol) = await people(w, "alice", "bob", "carol")
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        response = await outgoing.response(480)
        assert "does not allow" in (response.headers.get("Warning") or "")
        assert carol.sip.incoming.statistics().current_buffer_used == 0
        assert nodes[1].server.incidents.counts["redirect refused"] == 1


@pytest.mark.parametrize(
    ("patterns", "contact", "status"),
    [
        (("carol",), "<sip:dave@home.example>", 403),
        (("*",), "<sip:dave@elsewhere.example>", 404),
        (ALL, "<http://home.example/>", 404),
        (ALL, "<sip:nobody@home.example>", 404),
        (ALL, "", 480),
        (ALL, "<sip:bob@home.example>", 482),
        (ALL, "<sip:alice@home.example>", 480),
    ],
)
async def test_where_a_redirect_may_not_lead(
    autojump_clock: MockClock, patterns: tuple[str, ...], contact: str, status: int
) -> None:
    """The last one: the caller's only phone is the one that calls."""
    async with world() as w:
        _nodes, (alice, bob) = await people(w, "alice", "bob", redirects=patterns)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), *([contact] if contact else []))
        if contact == "<sip:alice@home.example>":
            alice.refuse(await alice.invited(), 480)
        await outgoing.response(status)


@pytest.mark.parametrize("status", [305, 380])
async def test_other_ways_to_redirect_are_not_followed(autojump_clock: MockClock, status: int) -> None:
    async with world() as w:
        _nodes, (alice, bob, _carol) = await people(w, "alice", "bob", "carol", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>", status=status)
        await outgoing.response(480)


async def test_those_of_the_same_q_ring_at_once_and_the_next_after_they_failed(autojump_clock: MockClock) -> None:
    async with world() as w:
        _nodes, (alice, bob, carol, dave, erin) = await people(
            w, "alice", "bob", "carol", "dave", "erin", redirects=ALL
        )
        outgoing = await alice.call("sip:bob@home.example")
        contacts = "<sip:erin@home.example>;q=0.1, <sip:carol@home.example>;q=0.7, <sip:dave@home.example>;q=.7"
        redirect(bob, await bob.invited(), contacts, status=300)
        first, second = await carol.invited(), await dave.invited()
        assert erin.sip.incoming.statistics().current_buffer_used == 0
        carol.refuse(first, 486)
        dave.refuse(second, 603)
        await outgoing.response(603)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), contacts, status=300)
        carol.refuse(await carol.invited(), 486)
        dave.refuse(await dave.invited(), 404)
        there: list[Established] = []

        async def answer() -> None:
            there.append(await answered(erin))

        here = await both(outgoing.established, answer)
        await hangs_up_both(there[0], here)


async def test_forwarding_in_a_circle_ends(autojump_clock: MockClock) -> None:
    async with world() as w:
        nodes, (alice, bob, carol) = await people(w, "alice", "bob", "carol", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        redirect(carol, await carol.invited(), "<sip:bob@home.example>")
        await outgoing.response(482)
        await trio.sleep(1)
        assert not [leg for node in nodes for leg in node.media.open_legs()]


async def test_forwarding_from_one_to_the_next_is_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects_module, "HISTORY_MAX", 2)
    async with world() as w:
        _nodes, (alice, bob, carol, _dave) = await people(w, "alice", "bob", "carol", "dave", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        redirect(carol, await carol.invited(), "<sip:dave@home.example>")
        await outgoing.response(483)


async def test_redirections_of_one_call_are_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redirects_module, "REDIRECTIONS_PER_CALL_MAX", 1)
    async with world() as w:
        nodes, (alice, bob, carol, dave) = await people(w, "alice", "bob", "carol", "dave", redirects=ALL)
        second = await w.phone(nodes[1], "bob-2", 6900)
        outgoing = await alice.call("sip:bob@home.example")
        invites = await bob.invited(), await second.invited()
        redirect(bob, invites[0], "<sip:carol@home.example>")
        carols = await carol.invited()
        redirect(second, invites[1], "<sip:dave@home.example>")
        carol.refuse(carols, 486)
        await outgoing.response(486)
        assert dave.sip.incoming.statistics().current_buffer_used == 0


async def test_no_more_contacts_are_tried_than_the_bound(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects_module, "CONTACTS_MAX", 1)
    async with world() as w:
        _nodes, (alice, bob, carol, dave) = await people(w, "alice", "bob", "carol", "dave", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>", "<sip:dave@home.example>")
        carol.refuse(await carol.invited(), 404)
        await outgoing.response(404)
        assert dave.sip.incoming.statistics().current_buffer_used == 0


async def test_another_phone_that_rings_may_still_answer(autojump_clock: MockClock) -> None:
    async with world() as w:
        nodes, (alice, bob, carol) = await people(w, "alice", "bob", "carol", redirects=ALL)
        second = await w.phone(nodes[1], "bob-2", 6900)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        invite = await carol.invited()
        there: list[Established] = []

        async def answer() -> None:
            there.append(await answered(second))

        here = await both(outgoing.established, answer)
        await invite.cancelled.wait()
        carol.refuse(invite, 487)
        await hangs_up_both(here, there[0])


async def test_the_caller_gives_up_while_the_target_rings(autojump_clock: MockClock) -> None:
    async with world() as w:
        nodes, (alice, bob, carol) = await people(w, "alice", "bob", "carol", redirects=ALL)
        outgoing = await alice.call("sip:bob@home.example")
        redirect(bob, await bob.invited(), "<sip:carol@home.example>")
        invite = await carol.invited()
        carol.ring(invite)
        await outgoing.response(180)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        await invite.cancelled.wait()
        carol.refuse(invite, 487)
        await trio.sleep(1)
        assert not [leg for node in nodes for leg in node.media.open_legs()]


async def test_a_phone_at_the_same_node_forwards_for_a_caller_there(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001", redirects=ALL)
        alice, second = await w.phone(node, "alice", 6000), await w.phone(node, "alice-2", 6100)
        bob = await w.phone(await w.node("bob", "1002"), "bob", 6300)
        outgoing = await alice.call("sip:alice-2@home.example")
        redirect(second, await second.invited(), "<sip:bob@home.example>")
        there: list[Established] = []

        async def answer() -> None:
            there.append(await answered(bob))

        here = await both(outgoing.established, answer)
        await hangs_up_both(here, there[0])


async def test_another_node_that_redirects_is_not_followed(autojump_clock: MockClock) -> None:
    """A member's node could else send our calls, and our trunk, anywhere."""
    async with world() as w:
        _nodes, (alice, carol) = await people(w, "alice", "carol", redirects=ALL)
        liar = MemorySip(w.network, ("127.0.9.9", 5060), "f" * 40)
        w.network.nodes["f" * 40] = liar
        w.known["f" * 40] = w.shared["mallory@home.example"] = []  # type: ignore[assignment]
        w.shared["mallory@home.example"].append("f" * 40)
        await w.nursery.start(liar.run)
        outgoing = await alice.call("sip:mallory@home.example")
        exchange = await liar.incoming.receive()
        headers = [("Contact", "<sip:carol@home.example>")]
        exchange.respond(make_response(exchange.request, 302, to_tag="x", headers=headers))
        await outgoing.response(480)
        assert carol.sip.incoming.statistics().current_buffer_used == 0


@pytest.mark.parametrize(
    ("address", "patterns", "allowed"),
    [
        ("carol@home.example", ("carol",), True),
        ("carol@home.example", ("Carol@Home.example",), True),
        ("carol@home.example", ("*@home.example",), True),
        ("carol@home.example", (), False),
        ("carol@elsewhere.example", ("carol", "*@home.example"), False),
        ("carol@elsewhere.example", ("*",), False),
        ("carol@elsewhere.example", ("*@*",), True),
        ("+4930123@home.example", ("+49*",), True),
        ("+1900@home.example", ("+49*",), False),
        ("+49[3]@home.example", ("+49[3]",), True),
        ("+493@home.example", ("+49[3]",), False),
    ],
)
def test_patterns(address: str, patterns: tuple[str, ...], allowed: bool) -> None:
    assert is_allowed(address, patterns, "home.example") is allowed


@given(st.text(max_size=12))
def test_any_q_is_a_number_or_last(text: str) -> None:
    quality = redirects_module._quality(NameAddr(None, SipUri.parse("sip:a@b"), (("q", text),)))
    assert 0 <= quality <= 1
