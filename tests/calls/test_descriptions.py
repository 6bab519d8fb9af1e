"""Session descriptions from one leg to the other, by hand and by Hypothesis."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtls import FLIGHT_BYTES_MAX
from media.secure import TransportDescription
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import (
    CANDIDATES_MAX,
    OVERLAY_PROFILES,
    PHONE_PROFILES,
    Audio,
    Layout,
    Origin,
    overlay_line,
    phone_addresses,
    phone_line,
    read_audio,
    read_transport,
    write_description,
)
from p2psip.sip.sdp import SessionDescription

PHONE = b"""v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=video 7000 RTP/AVP 96
a=rtpmap:96 VP8/90000
m=audio 6000 RTP/AVP 0 97 101 99
c=IN IP4 192.0.2.2
a=rtpmap:97 opus/48000/2
a=fmtp:97 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=rtcp:6005
a=candidate:1 1 UDP 1 192.0.2.2 6000 typ host
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x
a=sendonly
m=audio 6002 RTP/AVP 8
"""
TRANSPORT = TransportDescription("uf", "pw", ("1 1 udp 1 192.0.2.9 4500 typ host",), "sha-256 AB:CD", "actpass")


def origin() -> Origin:
    return Origin.make(Chance.seeded(1), "192.0.2.7")


def test_what_passes_and_what_does_not() -> None:
    layout = Layout()
    audio, description, media = read_audio(PHONE, PHONE_PROFILES, layout)
    assert audio.formats == ("0", "97", "101"), "99 has no rtpmap"
    assert audio.direction == "sendonly"
    assert [name for name, _value in audio.attributes] == ["rtpmap", "fmtp", "rtpmap", "fmtp", "ptime"]
    assert phone_addresses(description, media) == (("192.0.2.2", 6000), ("192.0.2.2", 6005))
    assert layout.audio == 1


def test_an_answer_mirrors_the_lines_of_the_offer() -> None:
    layout = Layout()
    read_audio(PHONE, PHONE_PROFILES, layout)
    body = write_description(Audio(("0",)), origin(), layout, phone_line(("192.0.2.7", 9000)))
    lines = SessionDescription.parse(body).media
    assert [(line.kind, line.port, line.formats) for line in lines] == [
        ("video", 0, ("96",)),
        ("audio", 9000, ("0",)),
        ("audio", 0, ("8",)),
    ]


def test_a_later_offer_keeps_the_lines() -> None:
    layout, first = Layout(), origin()
    write_description(Audio(("0",)), first, layout, phone_line(("192.0.2.7", 9000)))
    again = write_description(Audio(("0",)), first, layout, phone_line(("192.0.2.7", 9000)))
    assert len(SessionDescription.parse(again).media) == 1


def test_the_version_counts_changes_only() -> None:
    ours, layout = origin(), Layout()
    versions = []
    for direction in ("sendrecv", "sendrecv", "sendonly", "sendrecv"):
        body = write_description(Audio(("0",), (), direction), ours, layout, phone_line(("192.0.2.7", 9000)))
        versions.append(SessionDescription.parse(body).version)
    assert versions == [1, 1, 2, 3]


def test_towards_a_node_and_back() -> None:
    body = write_description(Audio(("0", "101")), origin(), Layout(), overlay_line(TRANSPORT))
    assert b"c=IN IP4 192.0.2.7" in body
    audio, description, media = read_audio(body, OVERLAY_PROFILES, Layout())
    assert audio.formats == ("0",), "101 came without its rtpmap"
    assert read_transport(description, media) == TRANSPORT


def test_the_first_flight_of_dtls_goes_along_with_a_transport_that_wraps_it() -> None:
    transport = replace(TRANSPORT, wraps_dtls=True, dtls=bytes(range(256)))
    body = write_description(Audio(("0",)), origin(), Layout(), overlay_line(transport))
    assert b"a=p2psip-dtls:AAECAw" in body
    _audio, description, media = read_audio(body, OVERLAY_PROFILES, Layout())
    assert read_transport(description, media) == transport


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"", 0),
        (b"AAA", 0),
        (b"AA==AA==", 0),
        ("ÄÖ".encode(), 0),
        (b"A A A", 0),
        (base64.b64encode(bytes(FLIGHT_BYTES_MAX)), FLIGHT_BYTES_MAX),
        (base64.b64encode(bytes(FLIGHT_BYTES_MAX + 1)), 0),
    ],
)
def test_a_flight_that_cannot_be_read_or_is_too_long_is_none(text: bytes, size: int) -> None:
    transport = replace(TRANSPORT, wraps_dtls=True, dtls=b"flight")
    body = write_description(Audio(("0",)), origin(), Layout(), overlay_line(transport))
    body = body.replace(base64.b64encode(b"flight"), text)
    _audio, description, media = read_audio(body, OVERLAY_PROFILES, Layout())
    assert len(read_transport(description, media).dtls) == size


@pytest.mark.parametrize("missing", [b"ice-ufrag", b"ice-pwd", b"fingerprint", b"setup", b"rtcp-mux"])
def test_a_transport_with_a_part_missing_is_refused(missing: bytes) -> None:
    body = write_description(Audio(("0",)), origin(), Layout(), overlay_line(TRANSPORT)).replace(missing, b"x-y")
    _audio, description, media = read_audio(body, OVERLAY_PROFILES, Layout())
    with pytest.raises(RemoteError) as caught:
        read_transport(description, media)
    assert caught.value.status == 488


def test_candidates_are_bounded() -> None:
    many = TransportDescription("u", "p", ("c",) * (CANDIDATES_MAX + 1), "f", "actpass")
    body = write_description(Audio(("0",)), origin(), Layout(), overlay_line(many))
    _audio, description, media = read_audio(body, OVERLAY_PROFILES, Layout())
    assert len(read_transport(description, media).candidates) == CANDIDATES_MAX


def test_the_old_way_of_holding() -> None:
    body = PHONE.replace(b"192.0.2.2", b"0.0.0.0").replace(b"a=sendonly\n", b"")
    audio, description, media = read_audio(body, PHONE_PROFILES, Layout())
    assert audio.direction == "sendonly"
    assert phone_addresses(description, media) is None


@pytest.mark.parametrize(
    "port", ["\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT SIX}005", "9" * 5_000, "0", "65536", "x"]
)
def test_an_rtcp_port_that_is_none_counts_for_nothing(port: str) -> None:
    body = PHONE.replace(b"a=rtcp:6005", f"a=rtcp:{port}".encode())
    assert body != PHONE
    _audio, description, media = read_audio(body, PHONE_PROFILES, Layout())
    assert phone_addresses(description, media) == (("192.0.2.2", 6000), None)


def test_common_codecs_are_those_that_speak() -> None:
    events = (("rtpmap", "101 telephone-event/8000"),)
    assert not Audio(("0", "101"), events).shares_codec(Audio(("8", "101"), events))
    assert not Audio(("0", "13")).shares_codec(Audio(("8", "13")))
    assert Audio(("0", "8")).shares_codec(Audio(("8",)))


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_488(data: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        read_audio(data, PHONE_PROFILES, Layout())
    assert caught.value.status == 488


@given(st.integers(0, len(PHONE) - 1), st.binary(max_size=6), st.integers(0, 8))
def test_mutated_descriptions_give_audio_or_488(position: int, inserted: bytes, removed: int) -> None:
    data = PHONE[:position] + inserted + PHONE[position + removed :]
    layout = Layout()
    try:
        audio, description, media = read_audio(data, PHONE_PROFILES, layout)
        phone_addresses(description, media)
        body = write_description(audio, origin(), layout, phone_line(("192.0.2.7", 9000)))
    except RemoteError:
        return
    again, _description, _media = read_audio(body, PHONE_PROFILES, Layout())
    assert again.formats == audio.formats
    assert again.direction == audio.direction
