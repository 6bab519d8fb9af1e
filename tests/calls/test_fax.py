"""T.38: passed between two legs in the clear, refused in words wherever it cannot be carried."""

from functools import partial

import pytest
from trio.testing import MockClock

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import NO_FAX, Audio
from p2psip.calls.ends import OverlayEnd
from p2psip.calls.phone_end import PhoneEnd
from p2psip.calls.phone_security import SrtpPolicy
from p2psip.sip.sdp import SessionDescription
from tests.calls.fakes import FakeMedia
from tests.calls.steps import both, connect, two_nodes
from tests.calls.test_phone_end import crypto, sdp
from tests.calls.world import sdp as world_sdp
from tests.calls.world import world

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
FAX_LINES = ("m=image 6010 udptl t38", "a=T38FaxVersion:0", "a=T38FaxRateManagement:transferredTCF", "a=sqn:0")
FAX = (HEAD + "\r\n".join(FAX_LINES) + "\r\n").encode()


def phone_end(policy: SrtpPolicy | None = None) -> tuple[PhoneEnd, FakeMedia]:
    media = FakeMedia()
    policy = policy or SrtpPolicy()
    return PhoneEnd(media, Chance.seeded(1), signalling_host="192.0.2.1", host=None, policy=policy), media


def test_it_passes_from_one_leg_to_another() -> None:
    (one, media), (other, there) = phone_end(), phone_end()
    one.take(sdp("RTP/AVP"), is_offer=True)
    one.write(Audio(("0",)), is_offer=False)
    fax = one.take(FAX, is_offer=True)
    assert fax.is_fax
    offer = SessionDescription.parse(other.write(fax, is_offer=True)).media
    assert [(line.kind, line.protocol, line.formats) for line in offer] == [("image", "udptl", ("t38",))]
    assert offer[0].get("T38FaxRateManagement") == "transferredTCF"
    assert offer[0].get("sqn") is None
    assert not there.legs[0].is_raw
    answer = one.write(other.take(FAX, is_offer=False), is_offer=False)
    assert SessionDescription.parse(answer).media[0].kind == "image"
    assert media.legs[0].is_raw
    assert there.legs[0].is_raw
    assert media.legs[0].remotes[-1] == ("192.0.2.1", 6010)


def test_audio_comes_back_after_it() -> None:
    end, media = phone_end()
    end.take(FAX, is_offer=True)
    end.write(end.take(FAX, is_offer=True), is_offer=False)
    line = SessionDescription.parse(end.write(Audio(("0",)), is_offer=True)).media[0]
    assert (line.kind, line.protocol) == ("audio", "RTP/AVP")
    end.take(sdp("RTP/AVP"), is_offer=False)
    assert not media.legs[0].is_raw


def test_srtp_is_not_left_for_it() -> None:
    end, media = phone_end()
    end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    end.write(Audio(("0",)), is_offer=False)
    with pytest.raises(RemoteError, match=r"G\.711") as caught:
        end.take(FAX, is_offer=True)
    assert caught.value.status == 488
    with pytest.raises(RemoteError, match=r"G\.711"):
        end.write(Audio(("t38",), is_fax=True), is_offer=True)
    assert not media.legs[0].is_raw


def test_where_srtp_is_required_there_is_none() -> None:
    end, _ = phone_end(SrtpPolicy(("secure",), True))
    with pytest.raises(RemoteError):
        end.take(FAX, is_offer=True)
    with pytest.raises(RemoteError):
        end.write(Audio(("t38",), is_fax=True), is_offer=True)


def test_other_nodes_are_not_asked_for_it() -> None:
    end = OverlayEnd(FakeMedia(), Chance.seeded(1))
    with pytest.raises(RemoteError, match=r"G\.711") as caught:
        end.write(Audio(("t38",), is_fax=True), is_offer=True)
    assert caught.value.status == 488


BOTH = (HEAD + "m=audio 0 RTP/AVP 0\r\n" + "\r\n".join(FAX_LINES) + "\r\n").encode()
"""As machines write it that keep the audio line, switched off, before the fax."""


def test_a_refused_offer_leaves_the_lines_as_they_were() -> None:
    end, media = phone_end()
    end.take(sdp("RTP/AVP"), is_offer=True)
    end.write(Audio(("0",)), is_offer=False)
    assert end.take(BOTH, is_offer=True).is_fax  # and then the other side refuses it
    lines = SessionDescription.parse(end.write(Audio(("0",)), is_offer=True)).media
    assert [(line.kind, line.port) for line in lines] == [("audio", media.legs[0].local[1])]


def test_lines_that_were_agreed_on_stay(autojump_clock: MockClock) -> None:
    end, media = phone_end()
    end.write(end.take(BOTH, is_offer=True), is_offer=False)
    lines = SessionDescription.parse(end.write(Audio(("0",)), is_offer=True)).media
    assert [(line.kind, line.port) for line in lines] == [("audio", 0), ("audio", media.legs[0].local[1])]


@pytest.mark.parametrize("offer", [FAX, BOTH], ids=["instead of audio", "beside audio that is off"])
@pytest.mark.parametrize("is_callee", [False, True], ids=["caller", "callee"])
async def test_a_call_across_the_overlay_says_why_and_goes_on_with_audio(
    autojump_clock: MockClock, offer: bytes, is_callee: bool
) -> None:
    """488 with a Warning (RFC 3261 §21.4.26, §20.43) at the node of the machine, which asks nobody else and changes nothing."""
    async with world() as w:
        a, b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        machine, node, other = (there, b, here) if is_callee else (here, a, there)
        leg = node.media.legs[1 if is_callee else 0]
        before, sink = list(leg.remotes), leg.sink
        refused = await machine.ask("INVITE", body=offer, content_type="application/sdp")
        assert refused.status == 488
        assert refused.warning == NO_FAX
        assert refused.headers.get("Warning") == f'399 home.example "{NO_FAX}"'
        assert not refused.body
        assert (leg.is_raw, leg.remotes, leg.sink) == (False, before, sink)
        assert other.requests.statistics().current_buffer_used == 0
        audio = world_sdp(6001, "0 101", "sendonly")
        answer = world_sdp(6101, "0 101", "recvonly")
        change = partial(machine.ask, "INVITE", body=audio, content_type="application/sdp")
        held = await both(change, partial(other.expect, "INVITE", body=answer))
        (line,) = SessionDescription.parse(held.body).media
        assert (held.status, line.kind, line.get("recvonly")) == (200, "audio", "")
        assert (await both(lambda: machine.ask("BYE"), lambda: other.expect("BYE"))).status == 200
