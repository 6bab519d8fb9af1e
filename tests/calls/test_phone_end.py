"""What is said to a phone about SRTP, and what is taken from it: offers, answers, hold, new keys, and what is refused."""

import base64
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.phone_dtls import DtlsPeer
from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.calls.phone_end import PhoneEnd
from p2psip.calls.phone_security import KEYS_IN_THE_CLEAR, NOT_SECURE, SrtpPolicy
from p2psip.sip.flow import Flow
from p2psip.sip.sdp import MediaDescription, SessionDescription
from tests.calls.fakes import FINGERPRINT, FakeMedia

AUDIO = Audio(("0",))
SECRET = bytes(range(30))
SECURE = SrtpPolicy(("secure", "dtls"), True, True)


def crypto(tag: int = 1, secret: bytes = SECRET, suite: str = "AES_CM_128_HMAC_SHA1_80") -> str:
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(secret).decode()}"


def sdp(protocol: str, *attributes: str, host: str = "192.0.2.1") -> bytes:
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio 6000 {protocol} 0"]
    return ("\r\n".join([*lines, *attributes]) + "\r\n").encode()


def phone_end(policy: SrtpPolicy = SrtpPolicy()) -> tuple[PhoneEnd, FakeMedia]:  # noqa: B008 - a frozen value
    media = FakeMedia()
    return PhoneEnd(media, Chance.seeded(1), signalling_host="192.0.2.1", host=None, policy=policy), media


def written(end: PhoneEnd, *, is_offer: bool, audio: Audio = AUDIO) -> MediaDescription:
    return SessionDescription.parse(end.write(audio, is_offer=is_offer)).media[0]


def keys_of(media: FakeMedia) -> SrtpKeys:
    keys = media.legs[0].keys
    assert keys is not None
    return keys


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
def test_an_offer_with_keys_is_answered_with_keys_whatever_the_setting(protocol: str) -> None:
    end, media = phone_end()
    end.take(sdp(protocol, crypto(4)), is_offer=True)
    assert keys_of(media) == SrtpKeys(), "nothing may leave in the clear before the answer"
    answer = written(end, is_offer=False)
    assert answer.protocol == protocol
    (line,) = answer.all("crypto")
    assert line.startswith("4 AES_CM_128_HMAC_SHA1_80 inline:")
    keys = keys_of(media)
    assert keys.receive is not None
    assert keys.receive.secret == SECRET
    assert end.path()["protection"] == "SRTP, AES_CM_128_HMAC_SHA1_80"
    assert base64.b64encode(SECRET).decode() not in str(end.path())


def test_plain_rtp_stays_plain() -> None:
    end, media = phone_end()
    end.take(sdp("RTP/AVP"), is_offer=True)
    answer = written(end, is_offer=False)
    assert (answer.protocol, answer.all("crypto")) == ("RTP/AVP", [])
    assert media.legs[0].keys is None
    assert end.path()["protection"] == "none"


def test_of_two_lines_the_secure_one_is_taken_and_the_other_refused() -> None:
    end, _ = phone_end()
    body = sdp("RTP/AVP") + f"m=audio 6002 RTP/SAVP 0\r\n{crypto()}\r\n".encode()
    end.take(body, is_offer=True)
    lines = SessionDescription.parse(end.write(AUDIO, is_offer=False)).media
    assert [(line.protocol, bool(line.port)) for line in lines] == [("RTP/AVP", False), ("RTP/SAVP", True)]


def test_secure_lines_without_a_key_that_can_be_used_are_refused_in_words() -> None:
    end, _ = phone_end()
    with pytest.raises(RemoteError, match="it takes AEAD_AES_256_GCM") as caught:
        end.take(sdp("RTP/SAVP", crypto(suite="F8_128_HMAC_SHA1_80")), is_offer=True)
    assert caught.value.status == 488
    end.take(sdp("RTP/AVP", crypto(suite="F8_128_HMAC_SHA1_80")), is_offer=True)
    assert written(end, is_offer=False).all("crypto") == []


@pytest.mark.parametrize(
    ("transport", "host", "setting", "expected"),
    [
        ("udp", "192.0.2.1", "off", SrtpPolicy()),
        ("tls", "192.0.2.1", "off", SrtpPolicy()),
        ("udp", "192.0.2.1", "offered", SrtpPolicy(("plain", "secure", "dtls"))),
        ("tls", "192.0.2.1", "offered", SrtpPolicy(("best effort", "secure", "dtls"))),
        ("udp", "192.0.2.1", "required", SrtpPolicy(("dtls",), True, False)),
        ("udp", "127.0.0.1", "required", SECURE),
        ("tcp", "::1", "required", SECURE),
        ("tls", "192.0.2.1", "required", SECURE),
    ],
)
def test_what_we_offer_follows_from_the_setting_and_the_transport(
    transport: str, host: str, setting: Literal["off", "offered", "required"], expected: SrtpPolicy
) -> None:
    assert SrtpPolicy.towards(Flow(transport, ("192.0.2.9", 5060), (host, 5060)), setting) == expected


def test_a_provider_is_not_required_to_encrypt() -> None:
    flow = Flow("udp", ("192.0.2.9", 5060), ("192.0.2.1", 5060))
    assert SrtpPolicy.towards(flow, "required", is_phone=False) == SrtpPolicy.towards(flow, "offered")


def test_a_best_effort_offer_is_taken_up_or_passed_over() -> None:
    for answer, protection in ((sdp("RTP/AVP"), "none"), (sdp("RTP/AVP", crypto(3)), "SRTP, AES_CM_128_HMAC_SHA1_80")):
        end, _ = phone_end(SrtpPolicy(("best effort",)))
        offer = written(end, is_offer=True)
        assert (offer.protocol, len(offer.all("crypto"))) == ("RTP/AVP", 4)
        end.take(answer, is_offer=False)
        assert end.path()["protection"] == protection


def test_keys_in_the_answer_to_an_offer_without_any_are_passed_over() -> None:
    end, media = phone_end()
    assert written(end, is_offer=True).all("crypto") == []
    end.take(sdp("RTP/AVP", crypto()), is_offer=False)
    assert media.legs[0].keys is None
    with pytest.raises(RemoteError, match="without keys"):
        end.take(sdp("RTP/SAVP", crypto()), is_offer=False)


def test_a_required_offer_must_be_answered_with_keys() -> None:
    end, media = phone_end(SECURE)
    assert written(end, is_offer=True).protocol == "RTP/SAVP"
    assert keys_of(media) == SrtpKeys()
    with pytest.raises(RemoteError, match=NOT_SECURE):
        end.take(sdp("RTP/SAVP"), is_offer=False)
    end.take(sdp("RTP/SAVP", crypto(3)), is_offer=False)
    assert keys_of(media).send is not None


def test_where_srtp_is_required_plain_offers_and_readable_keys_are_refused_in_words() -> None:
    end, _ = phone_end(SECURE)
    with pytest.raises(RemoteError, match=NOT_SECURE) as caught:
        end.take(sdp("RTP/AVP"), is_offer=True)
    assert caught.value.status == 488
    end, _ = phone_end(SrtpPolicy(("dtls",), True, False))
    with pytest.raises(RemoteError, match=KEYS_IN_THE_CLEAR):
        end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    assert written(end, is_offer=True).all("crypto") == []


@pytest.mark.parametrize("hold", [sdp("RTP/SAVP", crypto(), "a=sendonly"), sdp("RTP/SAVP", crypto(), host="0.0.0.0")])
def test_hold_and_resume_keep_the_keys(hold: bytes) -> None:
    end, media = phone_end()
    end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    first = written(end, is_offer=False).all("crypto")
    keys = keys_of(media)
    assert end.take(hold, is_offer=True).direction == "sendonly"
    assert written(end, is_offer=False).all("crypto") == first
    end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    assert written(end, is_offer=False).all("crypto") == first
    assert keys_of(media) == keys


def test_new_keys_in_a_call_count_once_they_are_answered() -> None:
    end, media = phone_end()
    end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    end.write(AUDIO, is_offer=False)
    before = keys_of(media)
    end.take(sdp("RTP/SAVP", crypto(secret=bytes(30))), is_offer=True)
    assert keys_of(media) == before
    end.write(AUDIO, is_offer=False)
    after = keys_of(media)
    assert after.receive is not None
    assert after.receive.secret == bytes(30)
    assert after.send != before.send


def test_our_offer_in_a_call_says_what_is_in_use() -> None:
    end, media = phone_end()
    end.take(sdp("RTP/SAVP", crypto()), is_offer=True)
    (answered,) = written(end, is_offer=False).all("crypto")
    offer = written(end, is_offer=True)
    assert offer.protocol == "RTP/SAVP"
    assert [each.partition(" ")[2] for each in offer.all("crypto")] == [answered.partition(" ")[2]]
    keys = keys_of(media)
    end.take(sdp("RTP/SAVP", crypto()), is_offer=False)
    assert keys_of(media) == keys
    with pytest.raises(RemoteError, match="without keys for SRTP"):
        end.take(sdp("RTP/SAVP"), is_offer=False)


DTLS = ("a=fingerprint:" + FINGERPRINT, "a=setup:actpass")
OTHER = FINGERPRINT.replace("AB", "CD")


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "RTP/SAVPF"])
@pytest.mark.parametrize(("setup", "ours"), [("actpass", "active"), ("passive", "active"), ("active", "passive")])
def test_dtls_is_answered_with_the_other_role(protocol: str, setup: str, ours: str) -> None:
    end, media = phone_end()
    end.take(sdp(protocol, DTLS[0], f"a=setup:{setup}"), is_offer=True)
    assert not end.can_be_lost
    answer = written(end, is_offer=False)
    assert (answer.protocol, answer.get("setup"), answer.get("fingerprint")) == (protocol, ours, FINGERPRINT)
    assert answer.get("rtcp-mux") is None
    assert media.legs[0].dtls == DtlsPeer(ours == "active", FINGERPRINT, False)
    assert end.can_be_lost
    assert end.path()["protection"] == "DTLS-SRTP"


@pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/SAVP"])
def test_of_two_ways_to_keys_dtls_is_taken(protocol: str) -> None:
    end, media = phone_end()
    end.take(sdp(protocol, crypto(), *DTLS), is_offer=True)
    answer = written(end, is_offer=False)
    assert (answer.protocol, answer.all("crypto"), answer.get("setup")) == (protocol, [], "active")
    assert media.legs[0].dtls is not None


def test_a_phone_chooses_between_the_two_ways_that_we_offer() -> None:
    end, media = phone_end(SrtpPolicy(("best effort",)))
    assert written(end, is_offer=True).get("setup") == "actpass"
    end.take(sdp("RTP/AVP", DTLS[0], "a=setup:active"), is_offer=False)
    assert media.legs[0].dtls == DtlsPeer(False, FINGERPRINT, False)
    again = written(end, is_offer=True)
    assert (again.protocol, again.all("crypto"), again.get("setup")) == ("RTP/AVP", [], "actpass")


def test_a_phone_behind_a_nat_begins_the_handshake_itself() -> None:
    end, _ = phone_end()
    end.take(sdp("UDP/TLS/RTP/SAVP", *DTLS, "a=rtcp-mux", host="10.0.0.7"), is_offer=True)
    answer = written(end, is_offer=False)
    assert answer.get("setup") == "passive"
    assert answer.get("rtcp-mux") is not None


def test_a_change_in_a_call_keeps_the_roles_and_another_certificate_begins_anew() -> None:
    end, media = phone_end()
    end.take(sdp("UDP/TLS/RTP/SAVP", *DTLS), is_offer=True)
    end.write(AUDIO, is_offer=False)
    offer = written(end, is_offer=True)
    assert (offer.protocol, offer.get("setup")) == ("UDP/TLS/RTP/SAVP", "actpass")
    end.take(sdp("UDP/TLS/RTP/SAVP", DTLS[0], "a=setup:active"), is_offer=False)
    assert media.legs[0].dtls == DtlsPeer(True, FINGERPRINT, False)
    end.take(sdp("UDP/TLS/RTP/SAVP", f"a=fingerprint:{OTHER}", "a=setup:active"), is_offer=True)
    end.write(AUDIO, is_offer=False)
    assert media.legs[0].dtls == DtlsPeer(False, OTHER, False)


def test_the_sha_256_fingerprint_among_several_counts() -> None:
    end, media = phone_end()
    end.take(sdp("UDP/TLS/RTP/SAVP", "a=fingerprint:sha-1 AA:BB", *DTLS), is_offer=True)
    end.write(AUDIO, is_offer=False)
    assert media.legs[0].dtls == DtlsPeer(True, FINGERPRINT, False)


@pytest.mark.parametrize(
    "attributes", [(), ("a=fingerprint:sha-1 AA:BB",), (DTLS[0], "a=setup:holdconn"), ("a=fingerprint:sha-256 AB",)]
)
def test_dtls_that_cannot_be_done_is_refused(attributes: tuple[str, ...]) -> None:
    end, _ = phone_end()
    with pytest.raises(RemoteError) as caught:
        end.take(sdp("UDP/TLS/RTP/SAVP", *attributes), is_offer=True)
    assert caught.value.status == 488


def test_who_refuses_one_form_is_offered_the_next() -> None:
    end, media = phone_end(SrtpPolicy(("plain", "secure", "dtls")))
    offers = [written(end, is_offer=True)]
    while (body := end.write_otherwise()) is not None:
        offers.append(SessionDescription.parse(body).media[0])
    assert [each.protocol for each in offers] == ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"]
    assert [bool(each.all("crypto")) for each in offers] == [False, True, False]
    assert [each.get("setup") for each in offers] == [None, "actpass", "actpass"]
    end.take(sdp("UDP/TLS/RTP/SAVP", DTLS[0], "a=setup:active", "a=rtcp-mux"), is_offer=False)
    assert media.legs[0].dtls == DtlsPeer(False, FINGERPRINT, True)
    assert end.write_otherwise() is None


OFFERS = [
    sdp("RTP/SAVP", crypto(), "a=sendonly"),
    sdp("UDP/TLS/RTP/SAVPF", *DTLS, "a=rtcp-mux"),
    sdp("RTP/AVP", crypto(), *DTLS, "a=rtcp:6001 IN IP4 192.0.2.1", host="0.0.0.0"),
]


@given(st.sampled_from(OFFERS), st.data())
def test_any_description_is_answered_or_refused(body: bytes, data: st.DataObject) -> None:
    mutated = bytearray(body)
    for _ in range(data.draw(st.integers(0, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    end, media = phone_end()
    try:
        audio = end.take(bytes(mutated), is_offer=True)
        answer = SessionDescription.parse(end.write(audio, is_offer=False))
    except RemoteError:
        return
    line = next(each for each in answer.media if each.port)
    assert (line.get("setup") is not None) == (media.legs[0].dtls is not None)
    assert line.protocol in ("RTP/AVP", "RTP/AVPF") or end.is_secure
