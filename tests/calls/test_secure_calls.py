"""Calls of a phone that speaks SRTP with one that does not: early media, hold, new keys, and what is told of the keys."""

import base64
import json

from trio.testing import MockClock

from media.srtp import SrtpKeys
from p2psip.sip.build import make_response
from p2psip.sip.sdp import SessionDescription
from tests.calls.steps import both, two_nodes
from tests.calls.world import Established, Node, Outgoing, sdp, world

SECRETS = bytes(range(30)), bytes(range(100, 130))


def secure(secret: bytes = SECRETS[0], direction: str = "sendrecv") -> bytes:
    """What alice's phone says."""
    line = f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(secret).decode()}\r\n"
    return sdp(6001, direction=direction).replace(b"RTP/AVP", b"RTP/SAVP") + line.encode()


def crypto_of(body: bytes) -> str:
    (line,) = SessionDescription.parse(body).media[0].all("crypto")
    return line


def alice_keys(node: Node) -> SrtpKeys:
    keys = node.media.legs[0].keys
    assert keys is not None
    return keys


async def test_early_media_hold_and_new_keys(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        outgoing: Outgoing = await alice.call("sip:bob@home.example", secure())
        invite = await bob.invited()
        assert SessionDescription.parse(invite.request.body).media[0].protocol == "RTP/AVP"
        assert alice_keys(a) == SrtpKeys()
        early = [("Contact", bob.contact)]
        ringing = make_response(
            invite.request, 183, to_tag="callee6100", headers=early, body=sdp(6101), content_type="application/sdp"
        )
        invite.respond(ringing)
        said = crypto_of((await outgoing.response(183)).body)
        keys = alice_keys(a)
        assert keys.receive is not None
        assert keys.receive.secret == SECRETS[0]
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite))

        here = await both(outgoing.established, answer)
        assert crypto_of(outgoing.answer) == said
        assert alice_keys(a) == keys
        for direction in ("sendonly", "sendrecv"):
            held = await both(
                lambda direction=direction: here.ask(  # type: ignore[misc]
                    "INVITE", body=secure(direction=direction), content_type="application/sdp"
                ),
                lambda: there[0].expect("INVITE", body=sdp(6101)),
            )
            assert crypto_of(held.body) == said
        assert alice_keys(a) == keys
        renewed = await here.ask("INVITE", body=secure(SECRETS[1]), content_type="application/sdp")
        assert crypto_of(renewed.body) != said
        assert alice_keys(a).receive != keys.receive
        assert alice_keys(a).send != keys.send
        assert b.media.legs[-1].keys is None
        told = json.dumps([node.server.call_facts(1) for node in (a, b)]) + json.dumps(a.server.status())
        assert "inline" not in told
        assert base64.b64encode(SECRETS[0]).decode() not in told
        assert "SRTP, AES_CM_128_HMAC_SHA1_80" in told


async def test_a_change_that_the_other_side_refuses_leaves_the_keys_alone(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, bob = await two_nodes(w)
        outgoing = await alice.call("sip:bob@home.example", secure())
        invite = await bob.invited()
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.answer(invite))

        here = await both(outgoing.established, answer)
        keys = alice_keys(a)
        refused = await both(
            lambda: here.ask("INVITE", body=secure(SECRETS[1], "sendonly"), content_type="application/sdp"),
            lambda: there[0].expect("INVITE", 488),
        )
        assert refused.status == 488
        assert alice_keys(a) == keys


async def test_where_srtp_is_required_a_phone_without_it_hears_what_to_do(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.node("alice", "1001", srtp="required"), await w.node("bob", "1002", srtp="required")
        alice, bob = await w.phone(a, "alice", 6000), await w.phone(b, "bob", 6100)
        refusal = await (await alice.call("sip:bob@home.example")).response(488)
        assert "SRTP" in refusal.warning
        outgoing = await alice.call("sip:bob@home.example", secure())
        invite = await bob.invited()
        assert SessionDescription.parse(invite.request.body).media[0].protocol == "RTP/SAVP"
        bob.refuse(invite, 488)
        bob.refuse(await bob.invited(), 488)
        await outgoing.response(488)
