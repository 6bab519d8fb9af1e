"""The flows of RFC 3665 as whole ladders, with a node in the place of each proxy and registrar.

A node is a B2BUA that acts as a user agent server to its phones: so it challenges with 401 where the RFC's proxies use 407, and
between nodes a 183 carries the transport (see DEVIATIONS.md). §3.3, §3.5 and the redirect server of §3.6, where more than two
proxies stand between the phones, are in `test_flows_rfc3665_beyond.py`; `docs/flows.md` lists all sections.
"""

from functools import partial

import trio
from trio.testing import MockClock

from tests.calls.ladders import Ladder
from tests.calls.steps import both, connect, two_nodes
from tests.calls.world import Established, Phone, World, sdp, world

CHALLENGE = """
    alice > a INVITE sdp
    a > alice 401 INVITE
    alice > a ACK
    alice > a INVITE sdp
"""
GOODBYE = """
    bob > b BYE
    b > bob 200 BYE
    b > a BYE
    a > b 200 BYE
    a > alice BYE
    alice > a 200 BYE
"""


# Registration, §2


async def unregistered(w: World) -> tuple[Phone, Ladder]:
    a = await w.node("alice", "1001")
    alice = await w.phone(a, "alice", 6000, registered=False)
    ladder = Ladder(w, alice=alice, a=a)
    ladder.begin()
    return alice, ladder


REGISTER = """
    alice > a REGISTER
    a > alice 401 REGISTER
    alice > a REGISTER
"""


async def test_2_1_successful_new_registration(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, ladder = await unregistered(w)
        response = await alice.ask(alice.registration(alice.contact))
        ladder.compare(REGISTER + "a > alice 200 REGISTER")
        assert "sip:alice@127.0.0.1:6000" in (response.headers.get("Contact") or "")
        assert "expires=600" in (response.headers.get("Contact") or "")


async def test_2_2_update_of_the_contact_list_and_2_3_a_request_for_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, ladder = await unregistered(w)
        await alice.register()
        ladder.lines.clear()
        await alice.ask(alice.registration("<sip:alice@127.0.0.1:7000>"))
        response = await alice.ask(alice.registration(expires=None))
        ladder.compare(2 * (REGISTER + "a > alice 200 REGISTER"))
        listed = ", ".join(response.headers.all("Contact"))
        assert ":6000" in listed
        assert ":7000" in listed


async def test_2_4_cancellation_of_registration(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, ladder = await unregistered(w)
        await alice.register()
        ladder.lines.clear()
        response = await alice.ask(alice.registration("*", expires=0))
        ladder.compare(REGISTER + "a > alice 200 REGISTER")
        assert not response.headers.all("Contact")


async def test_2_5_unsuccessful_registration(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, ladder = await unregistered(w)
        response = await alice.ask(alice.registration(alice.contact), password="wrong")
        ladder.compare(REGISTER + "a > alice 401 REGISTER")
        assert response.headers.get("WWW-Authenticate")


# Sessions, §3


async def stage(w: World) -> tuple[Phone, Phone, Ladder]:
    a, b, alice, bob = await two_nodes(w)
    ladder = Ladder(w, alice=alice, a=a, b=b, bob=bob)
    ladder.begin()
    return alice, bob, ladder


async def test_3_1_session_establishment_between_two_phones_of_a_node(autojump_clock: MockClock) -> None:
    async with world() as w:
        a = await w.node("alice", "1001")
        alice, bob = await w.phone(a, "alice", 6000), await w.phone(a, "alice-2", 6100)
        ladder = Ladder(w, alice=alice, a=a, bob=bob)
        ladder.begin()
        here, there = await connect(alice, bob, "sip:1001@home.example")
        await both(lambda: there.ask("BYE"), lambda: here.expect("BYE"))
        ladder.compare(
            CHALLENGE
            + """
            a > bob INVITE sdp
            bob > a 200 INVITE sdp
            a > bob ACK
            a > alice 200 INVITE sdp
            alice > a ACK
            bob > a BYE
            a > bob 200 BYE
            a > alice BYE
            alice > a 200 BYE
            """
        )


RINGING = """
    bob > b 180 INVITE
    b > a 180 INVITE
    a > alice 180 INVITE
"""
SET_UP = (
    CHALLENGE
    + """
    a > b INVITE sdp
    b > a 183 INVITE sdp
    b > bob INVITE sdp
    """
    + RINGING
)
ANSWER = """
    bob > b 200 INVITE sdp
    b > bob ACK
    b > a 200 INVITE sdp
    a > b ACK
    a > alice 200 INVITE sdp
    alice > a ACK
"""


async def test_3_2_session_establishment_through_two_nodes(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, bob, ladder = await stage(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        bob.ring(invite)
        ringing = await outgoing.response(180)
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite))

        here = await both(outgoing.established, answer)
        await both(lambda: there[0].ask("BYE"), lambda: here.expect("BYE"))
        ladder.compare(SET_UP + ANSWER + GOODBYE)
        assert ringing.to.tag == here.dialog.remote.tag
        assert ringing.contacts


async def test_3_4_one_node_of_the_callee_is_down(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, bob, ladder = await stage(w)
        down = await w.node("bob", "1002")
        await w.phone(down, "bob", 6300)
        ladder.add("down", down)
        w.network.dead.add(down.sip)
        ladder.lines.clear()
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(40)
        await both(lambda: there.ask("BYE"), lambda: here.expect("BYE"))
        to_the_dead = [line for line in ladder.lines if "down" in line]
        assert to_the_dead == ["a > down INVITE sdp"] * 7, "timers A and B (RFC 3261 §17.1.1.2)"
        ladder.lines = [line for line in ladder.lines if "down" not in line]
        ladder.compare(SET_UP.replace(RINGING, "") + ANSWER + GOODBYE)


async def test_3_6_the_answer_in_the_ack(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, bob, ladder = await stage(w)
        outgoing = await alice.call("sip:bob@home.example", b"")
        invite = await bob.invited()
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite, body=sdp(6101, "0 101")))

        here = await both(lambda: outgoing.established(body=sdp(6001, "0 101")), answer)
        await both(lambda: there[0].ask("BYE"), lambda: here.expect("BYE"))
        ladder.compare(
            CHALLENGE.replace(" sdp", "")
            + """
            a > b INVITE
            b > bob INVITE
            bob > b 200 INVITE sdp
            b > a 200 INVITE sdp
            a > alice 200 INVITE sdp
            alice > a ACK sdp
            a > b ACK sdp
            b > bob ACK sdp
            """
            + GOODBYE
        )


async def test_3_7_reinvite_when_an_address_has_changed(autojump_clock: MockClock) -> None:
    """Media goes through the nodes, so an address is a matter of one leg; a codec is one of both phones."""
    async with world() as w:
        alice, bob, ladder = await stage(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        await trio.sleep(0.1)
        ladder.lines.clear()
        moved = sdp(6101, "0 101", host="192.0.2.103")
        response = await there.ask("INVITE", body=moved, content_type="application/sdp")
        assert response.status == 200
        await trio.sleep(0.1)
        change = partial(there.ask, "INVITE", body=sdp(6101, "0"), content_type="application/sdp")
        await both(change, partial(here.expect, "INVITE", body=sdp(6001, "0")))
        await trio.sleep(0.1)
        await both(lambda: there.ask("BYE"), lambda: here.expect("BYE"))
        ladder.compare(
            """
            bob > b INVITE sdp
            b > bob 200 INVITE sdp
            bob > b ACK

            bob > b INVITE sdp
            b > a INVITE sdp
            a > alice INVITE sdp
            alice > a 200 INVITE sdp
            a > alice ACK
            a > b 200 INVITE sdp
            b > a ACK
            b > bob 200 INVITE sdp
            bob > b ACK
            """
            + GOODBYE
        )


async def test_3_8_no_answer(autojump_clock: MockClock) -> None:
    async with world() as w:
        alice, bob, ladder = await stage(w)
        outgoing = await alice.call("sip:bob@home.example")
        invite = await bob.invited()
        bob.ring(invite)
        await outgoing.response(180)
        outgoing.exchange.cancel()
        await invite.cancelled.wait()
        await trio.sleep(0.1)
        bob.refuse(invite, 487)
        await outgoing.response(487)
        await trio.sleep(0.1)
        ladder.compare(
            SET_UP
            + """
            alice > a CANCEL
            a > alice 200 CANCEL
            a > alice 487 INVITE
            a > b CANCEL
            alice > a ACK
            b > a 200 CANCEL
            b > a 487 INVITE
            b > bob CANCEL
            a > b ACK
            bob > b 200 CANCEL
            bob > b 487 INVITE
            b > bob ACK
            """
        )


async def test_3_9_busy_and_3_11_temporarily_unavailable(autojump_clock: MockClock) -> None:
    for status in (486, 480):
        async with world() as w:
            alice, bob, ladder = await stage(w)
            outgoing = await alice.call("sip:bob@home.example")
            bob.refuse(await bob.invited(), status)
            await outgoing.response(status)
            await trio.sleep(0.1)
            ladder.compare(
                CHALLENGE
                + f"""
                a > b INVITE sdp
                b > a 183 INVITE sdp
                b > bob INVITE sdp
                bob > b {status} INVITE
                b > bob ACK
                b > a {status} INVITE
                a > b ACK
                a > alice {status} INVITE
                alice > a ACK
                """
            )


async def test_3_10_no_response_from_the_phone(autojump_clock: MockClock) -> None:
    """The RFC's proxy says 480; a node says 408 after eight seconds, since the phone cannot even be rung."""
    async with world() as w:
        alice, bob, ladder = await stage(w)
        w.network.dead.add(bob.sip)
        outgoing = await alice.call("sip:bob@home.example")
        await outgoing.response(408)
        await trio.sleep(0.1)
        ladder.compare(
            CHALLENGE
            + """
            a > b INVITE sdp
            b > a 183 INVITE sdp
            b > bob INVITE sdp
            a > alice 100 INVITE
            b > bob INVITE sdp
            b > bob INVITE sdp
            b > bob INVITE sdp
            b > bob INVITE sdp
            b > a 408 INVITE
            a > b ACK
            a > alice 408 INVITE
            alice > a ACK
            """
        )
