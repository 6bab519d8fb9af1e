"""T.38: passed between two legs in the clear, refused in words wherever it cannot be carried."""

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


async def test_a_call_across_the_overlay_says_why_and_goes_on(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        here, there = await connect(alice, bob, "sip:bob@home.example")
        refused = await here.ask("INVITE", body=FAX, content_type="application/sdp")
        assert refused.status == 488
        assert NO_FAX.partition(":")[0] in refused.warning
        assert (await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))).status == 200
