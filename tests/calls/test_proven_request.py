"""Credentials count for the request that they were computed for (RFC 7616 §3.4.6), in the spellings that phones have."""

import pytest
from trio.testing import MockClock

from p2psip.calls.addresses import Addresses
from p2psip.calls.proven_request import is_for_request
from p2psip.sip.build import make_request
from p2psip.sip.digest import Challenge, respond
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import parse_uri
from tests.calls.fakes import PASSWORD
from tests.calls.world import Phone, world

NODE = ("192.0.2.1", 5060)
BOB = "sip:bob@home.example"


def is_for(text: str, target: str, local: tuple[str, int] = NODE) -> bool:
    from_ = NameAddr.parse("<sip:alice@home.example>;tag=t")
    request = make_request(
        "INVITE", parse_uri(target), from_=from_, to=NameAddr(None, parse_uri(target)), call_id="c", cseq=1
    )
    flow = Flow("udp", local, ("192.0.2.7", 5060))
    return is_for_request(text, request, flow, Addresses("home.example", ()))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (BOB, BOB),
        ("SIP:BOB@Home.Example", BOB),
        ("sips:bob@home.example:5061;transport=tls", BOB),
        (f"{BOB};transport=UDP", f"{BOB};transport=udp"),
        ("sip:bob@192.0.2.1", BOB),
        ("sip:b%6Fb@home.example", BOB),
        ("sip:+498912@home.example", "tel:+49-89-12"),
        ("sip:home.example", "sip:home.example"),
        ("sip:home.example:5060", BOB),
        ("sip:192.0.2.1:5060", "sip:home.example"),  # sipp, to a registrar
        ("sip:192.0.2.1:5060", BOB),  # sipp, in a call
        ("sip:198.51.100.9:5060", "sip:bob@198.51.100.9:5060"),  # sipp, to a router that forwards the port
        ("sip:[2001:DB8::1]:5060", "sip:bob@[2001:db8::1]"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_the_same_resource_or_the_node_itself(text: str, target: str) -> None:
    assert is_for(text, target)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", BOB),
        ("bob", BOB),
        ("*", BOB),
        ("sip:", BOB),
        ("sip:carol@home.example", BOB),
        ("sip:bob@elsewhere.example", BOB),
        (BOB, "sip:home.example"),
        ("sip:alice@192.0.2.1:5060", BOB),
        ("sip:elsewhere.example", BOB),
        ("sip:192.0.2.99:5060", BOB),
        ("tel:+498913", "sip:+498912@home.example"),
        ("http://home.example/", BOB),
        ("urn:service:sos", BOB),
        ("sip:\udce9@home.example", BOB),
    ],
)
def test_another_resource(text: str, target: str) -> None:
    assert not is_for(text, target)


def test_a_socket_on_all_addresses_may_be_called_by_any_but_no_name() -> None:
    assert is_for("sip:192.0.2.99:5060", BOB, ("0.0.0.0", 5060))
    assert not is_for("sip:elsewhere.example", BOB, ("0.0.0.0", 5060))


def changed(phone: Phone, request: Request, challenge: Response, uri: str) -> Request:
    """`request` with credentials of `phone` for `uri`."""
    again = phone.authorised(request, challenge)
    answer = respond(
        Challenge.parse(challenge.headers.get("WWW-Authenticate") or ""),
        method=request.method,
        uri=uri,
        user=phone.name,
        password=PASSWORD,
        cnonce="c",
    )
    again.headers.set("Authorization", answer)
    return again


async def test_a_call_that_was_turned_to_another_number_is_refused_and_noted(autojump_clock: MockClock) -> None:
    async with world() as w:
        a = await w.node("alice", "1001")
        alice = await w.phone(a, "alice", 6000)
        request = alice.invitation("sip:+19005550100@home.example")
        challenge = await alice.sip.start(request.copy(), alice.flow).final_response()
        turned = changed(alice, request, challenge, "sip:bob@home.example")
        response = await alice.sip.start(turned, alice.flow).final_response()
        assert response.status == 400
        assert "credentials" in response.warning
        assert a.server.incidents.counts["credentials of another request"] == 1
        assert not a.server.log.current()
        assert (await alice.ask(alice.registration(alice.contact))).status == 200, "nobody is blocked for it"


async def test_sipp_registers_with_the_address_of_the_server_and_nobody_with_another(autojump_clock: MockClock) -> None:
    async with world() as w:
        a = await w.node("alice", "1001")
        alice = await w.phone(a, "alice", 6000, registered=False)
        for uri, status in ((f"sip:{a.sip.address[0]}:5060", 200), ("sip:198.51.100.9:5060", 400)):
            request = alice.registration(alice.contact)
            challenge = await alice.sip.start(request.copy(), alice.flow).final_response()
            again = changed(alice, request, challenge, uri)
            assert (await alice.sip.start(again, alice.flow).final_response()).status == status
