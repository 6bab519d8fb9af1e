"""Which phones are spoken with by ICE, and what they are told."""

from dataclasses import replace

import pytest

from media.dtls import DtlsIdentity
from media.ice.candidates import local_candidate
from media.secure import SecureTransport, TransportDescription
from p2psip.base.chance import Chance
from p2psip.calls.descriptions import WRAPS_DTLS, Audio
from p2psip.calls.web_end import WebEnd, is_web
from p2psip.sip.flow import Flow
from p2psip.sip.sdp import MediaDescription, SessionDescription
from tests.calls.fakes import FINGERPRINT, FakeMedia
from tests.calls.test_phone_end import sdp

ICE = ("a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", f"a=fingerprint:{FINGERPRINT}", "a=setup:actpass")
BROWSER = sdp("UDP/TLS/RTP/SAVPF", *ICE, "a=rtcp-mux", "a=mid:0", host="0.0.0.0")


def flow(transport: str) -> Flow:
    return Flow(transport, ("192.0.2.9", 5060), ("192.0.2.1", 40_000))


@pytest.mark.parametrize(
    ("transport", "offer", "expected"),
    [
        ("wss", b"", True),
        ("ws", b"", True),
        ("tls", b"", False),
        ("udp", BROWSER, True),
        ("ws", sdp("RTP/AVP"), False),
        ("ws", b"nonsense", False),
        ("udp", sdp("UDP/TLS/RTP/SAVPF", *ICE), False),
        ("udp", sdp("RTP/AVP", *ICE, "a=rtcp-mux"), False),
        ("udp", sdp("UDP/TLS/RTP/SAVPF", *ICE[2:], "a=rtcp-mux"), False),
    ],
)
def test_ice_is_for_those_that_offer_it_and_for_browsers(transport: str, offer: bytes, expected: bool) -> None:
    assert is_web(flow(transport), offer) == expected


def written(end: WebEnd, *, is_offer: bool) -> MediaDescription:
    return SessionDescription.parse(end.write(Audio(("0",)), is_offer=is_offer)).media[0]


def test_an_answer_says_nothing_that_only_nodes_understand() -> None:
    end = WebEnd(FakeMedia(), Chance.seeded(1))
    audio = end.take(BROWSER, is_offer=True)
    assert audio.direction == "sendrecv", "0.0.0.0 is no hold where ICE says the addresses"
    answer = written(end, is_offer=False)
    assert answer.protocol == "UDP/TLS/RTP/SAVPF"
    assert answer.get("rtcp-mux") is not None
    assert WRAPS_DTLS not in str(answer.attributes)
    assert end.path()["protection"] == "DTLS-SRTP"


def test_an_offer_leaves_the_roles_open() -> None:
    offer = written(WebEnd(FakeMedia(), Chance.seeded(1)), is_offer=True)
    assert (offer.protocol, offer.get("setup")) == ("UDP/TLS/RTP/SAVPF", "actpass")


@pytest.mark.parametrize(("theirs", "ours"), [("actpass", "active"), ("passive", "active"), ("active", "passive")])
def test_the_answer_takes_the_other_role(theirs: str, ours: str) -> None:
    candidate = local_candidate("host", ("192.0.2.9", 4_000), ("192.0.2.9", 4_000))
    transport = SecureTransport(
        offerer=False, candidates=[candidate], identity=DtlsIdentity(1_800_000_000.0), chance=Chance.seeded(1)
    )
    remote = TransportDescription("abcd", "0123456789012345678901", (), FINGERPRINT, theirs)
    transport.set_remote(remote, 1.0)
    assert transport.description.setup == ours
    transport.set_remote(replace(remote, setup="actpass"), 2.0)
    assert transport.description.setup == ours
