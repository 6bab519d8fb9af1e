"""What an INVITE of this node carries of the caller's: Referred-By only where it is proved."""

import pytest
from trio.testing import MockClock

from p2psip.sip.flow import Flow
from tests.calls.elsewhere import DOMAIN, open_door, stranger
from tests.calls.steps import two_nodes
from tests.calls.world import Phone, world
from tests.trunks.provider import TRUNK_PORT, Plan, country, over, static
from tests.trunks.values import invite, trunk

PROVED = "<sip:alice@home.example>"


async def heard(caller: Phone, callee: Phone, *headers: tuple[str, str]) -> list[str]:
    """The Referred-By that the callee's phone gets for what the caller's has written."""
    request = caller.invitation("sip:bob@home.example")
    for name, value in headers:
        request.headers.add(name, value)
    challenge = await caller.sip.start(request.copy(), caller.flow).final_response()
    caller.sip.start(caller.authorised(request, challenge), caller.flow)
    invite = await callee.invited()
    callee.refuse(invite, 486)
    return invite.request.headers.all("Referred-By")


@pytest.mark.parametrize(
    ("claimed", "passed"),
    [
        ("<sip:alice@home.example>", [PROVED]),
        ('"The President" <sip:Alice@Home.Example;x=y>;cid="20398823.2UWQFN309shb3@home.example"', [PROVED]),
        ("<sip:president@home.example>", []),
        ("<sip:alice@elsewhere.example>", []),
        ("<tel:+4989>", []),
        ("rubbish", []),
        ("", []),
    ],
)
async def test_a_person_of_the_overlay_is_named_and_nobody_else(
    autojump_clock: MockClock, claimed: str, passed: list[str]
) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        assert await heard(alice, bob, ("Referred-By", claimed)) == passed


async def test_who_is_not_to_be_shown_is_not_named_so_either(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        assert await heard(alice, bob, ("Referred-By", PROVED), ("Privacy", "id")) == []


async def test_another_node_names_its_own_people_only(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        forward = a.sip._transmit

        def forged(data: bytes, flow: Flow) -> None:
            forward(data.replace(b"Referred-By: <sip:alice@", b"Referred-By: <sip:carol@"), flow)

        a.sip._transmit = forged  # type: ignore[method-assign]
        assert await heard(alice, bob, ("Referred-By", PROVED)) == []


async def test_what_a_stranger_says_is_not_passed_on(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        open_door(w, node)
        caller = await stranger(w, node)
        for claimed in ("<sip:alice@home.example>", f"<sip:{caller.name}@elsewhere.example>"):
            request = caller.invitation(f"sip:alice@{DOMAIN}")
            request.headers.add("Referred-By", claimed)
            caller.sip.start(request, caller.flow)
            ringing = await phone.invited()
            assert "Referred-By" not in ringing.request.headers
            phone.refuse(ringing, 486)


async def test_nor_what_a_provider_says(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        node = await c.world.node("alice", "1001")
        phone = await c.world.phone(node, "alice", 6000)
        await c.connect(node, Plan(), trunk())
        socket = (node.sip.address[0], TRUNK_PORT)
        request = invite(f"sip:4930123@{socket[0]}:{socket[1]}", ("Referred-By", "<sip:alice@home.example>"))
        provider.sip.start(request, Flow("udp", provider.address, socket))
        assert "Referred-By" not in (await phone.invited()).request.headers


async def test_nobody_outside_learns_what_the_caller_is_called_in_the_overlay(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        node = await c.world.node("alice", "1001")
        phone = await c.world.phone(node, "alice", 6000)
        await c.connect(node, Plan({"+4989": over("static")}), static())
        request = phone.invitation("sip:+4989@home.example")
        request.headers.add("Referred-By", PROVED)
        phone.invitation = lambda *_more, **_others: request.copy()  # type: ignore[method-assign]
        await (await phone.call("sip:+4989@home.example")).established()
        (invitation,) = [each for each in provider.seen if each.method == "INVITE"]
        assert "alice" not in invitation.to_bytes().decode()
