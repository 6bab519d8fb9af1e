"""The flows of RFC 3665 in which more stands between two phones than two proxies: §3.3, §3.5, §3.6.

Where each section of the RFC is shown stands in `test_flows_rfc3665.py`. In the place of a proxy that asks for a password of its
own, and of a redirect server, stands a provider: between nodes there are neither, since nodes prove themselves by certificate
and follow no redirection of one another.
"""

import trio
from trio.testing import MockClock

from tests.calls.ladders import Ladder
from tests.calls.steps import both, two_nodes
from tests.calls.world import Established, Node, Outgoing, Phone, sdp, world
from tests.trunks.provider import Country, Plan, Provider, country, over, static
from tests.trunks.values import trunk

NUMBER_OUTSIDE = "sip:+4989@home.example"
CHALLENGE = """
    alice > a INVITE sdp
    a > alice 401 INVITE
    alice > a ACK
    alice > a INVITE sdp
"""


async def at_home(c: Country, **settings: object) -> tuple[Node, Phone]:
    a = await c.world.node("alice", "1001", **settings)
    return a, await c.world.phone(a, "alice", 6000)


def watch(c: Country, a: Node, alice: Phone, **providers: Provider) -> Ladder:
    ladder = Ladder(c.world, alice=alice, a=a)
    for name, provider in providers.items():
        ladder.add(name, provider)
    ladder.begin()
    return ladder


async def test_3_3_session_with_multiple_proxy_authentication(autojump_clock: MockClock) -> None:
    """Two passwords for one call. The RFC's first proxy passes the second one's 407 on, and the phone answers both.

    Here the phone hears of its own node's challenge only: the node answers the provider's itself, with the password of the
    trunk, which no phone knows. So the RFC's F8 to F12 are missing between alice and her node.
    """
    async with country() as c:
        provider = await c.provider()
        a, alice = await at_home(c)
        await c.connect(a, Plan({"+4989": over("provider")}), trunk())
        ladder = watch(c, a, alice, provider=provider)
        here = await (await alice.call(NUMBER_OUTSIDE)).established()
        await trio.sleep(0.1)
        assert (await here.ask("BYE")).status == 200
        await trio.sleep(0.1)
        ladder.compare(
            CHALLENGE
            + """
            a > provider INVITE sdp
            provider > a 407 INVITE
            a > provider ACK
            a > provider INVITE sdp
            provider > a 200 INVITE sdp
            a > provider ACK
            a > alice 200 INVITE sdp
            alice > a ACK
            alice > a BYE
            a > alice 200 BYE
            a > provider BYE
            provider > a 200 BYE
            """
        )
        asked, answered = [each for each in provider.seen if each.method == "INVITE"]
        assert answered.cseq.number == asked.cseq.number + 1
        assert answered.headers.get("Proxy-Authorization")
        assert b'username="alice"' not in answered.to_bytes(), "alice's own credentials stay at her node"


INSIDE = "10.1.1.7"


async def test_3_5_session_through_an_alg(autojump_clock: MockClock) -> None:
    """The ALG is alice's node: her phone is behind it, in a net of private addresses, and knows it as its outbound proxy.

    The phone names it in a Route, as in F1. Where the RFC's ALG rewrites addresses in what passes, a node speaks for itself on
    each side, so nothing of the inside is there to be rewritten: neither in Via and Contact nor in the description.
    """
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        ladder = Ladder(w, alice=alice, a=a, b=b, bob=bob)
        ladder.begin()
        gate = f"<sip:{a.sip.address[0]}:{a.sip.address[1]};lr>"
        alice.contact = f"<sip:alice@{INSIDE}:6000>"
        request = alice.invitation("sip:bob@home.example", sdp(6001, host=INSIDE))
        request.headers.add("Route", gate)
        challenge = await alice.sip.start(request.copy(), alice.flow).final_response()
        again = alice.authorised(request, challenge)
        outgoing = Outgoing(alice, again, alice.sip.start(again, alice.flow))
        invite = await bob.invited()
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite))

        here = await both(outgoing.established, answer)
        await both(lambda: there[0].ask("BYE"), lambda: here.expect("BYE"))
        ladder.compare(
            CHALLENGE
            + """
            a > b INVITE sdp
            b > a 183 INVITE sdp
            b > bob INVITE sdp
            bob > b 200 INVITE sdp
            b > bob ACK
            b > a 200 INVITE sdp
            a > b ACK
            a > alice 200 INVITE sdp
            alice > a ACK
            bob > b BYE
            b > bob 200 BYE
            b > a BYE
            a > b 200 BYE
            a > alice BYE
            alice > a 200 BYE
            """
        )
        beyond = [data for data, flow in [*a.sip.sent, *b.sip.sent] if flow.remote != alice.sip.address]
        assert beyond
        assert not [data for data in beyond if INSIDE.encode() in data or b"127.0.0.1:6000" in data]
        assert "Route" not in invite.request.headers


async def test_3_6_session_via_redirect_and_proxy_servers_with_sdp_in_ack(autojump_clock: MockClock) -> None:
    """The RFC's phone follows the 302 itself. Here its node does, as far as the settings of the trunk allow; the phone hears
    nothing of it. The ACK to the 302, the new INVITE and the answer in the ACK are those of the RFC (F2 to F12).
    """
    async with country() as c:
        first, second = await c.provider("provider.example", 9), await c.provider("gw2.example", 8)
        moved = [("Contact", "<sip:+4989@gw2.example>")]
        first.refuse = lambda request: (302, moved) if request.method == "INVITE" else None
        second.asks = False
        a, alice = await at_home(c)
        await c.connect(a, Plan({"+4989": over("static")}), static(redirects_to=("gw2.example",)))
        ladder = watch(c, a, alice, redirect=first, proxy=second)
        outgoing = await alice.call(NUMBER_OUTSIDE, b"")
        here = await outgoing.established(body=sdp(6001, "8 101"))
        await trio.sleep(0.1)
        assert (await here.ask("BYE")).status == 200
        await trio.sleep(0.1)
        ladder.compare(
            CHALLENGE.replace(" sdp", "")
            + """
            a > redirect INVITE
            redirect > a 302 INVITE
            a > redirect ACK
            a > proxy INVITE
            proxy > a 200 INVITE sdp
            a > alice 200 INVITE sdp
            alice > a ACK sdp
            a > proxy ACK sdp
            alice > a BYE
            a > alice 200 BYE
            a > proxy BYE
            proxy > a 200 BYE
            """
        )
