"""Session descriptions: exact round trips, typed access, errors, bounds (RFC 8866)."""

import pytest

from p2psip.sip.sdp import (
    LINES_MAX,
    MEDIA_MAX,
    SDP_BYTES_MAX,
    Codec,
    MediaDescription,
    SdpSyntaxError,
    SessionDescription,
)


def _sdp(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode()


HEAD = ("v=0", "o=- 1 2 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")

EXACT = {
    "least": _sdp("v=0", "o=- 0 0 IN IP4 h.example", "s=-", "t=0 0"),
    "rfc-8866-5": _sdp(  # the example of RFC 8866 §5, with unicast addresses
        "v=0",
        "o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1",
        "s=Call to John Smith",
        "i=SDP Offer #1",
        "u=http://www.jdoe.example.com/home.html",
        "e=Jane Doe <jane@jdoe.example.com>",
        "p=+1 617 555-6011",
        "c=IN IP4 198.51.100.1",
        "t=0 0",
        "m=audio 49170 RTP/AVP 0",
        "m=audio 49180 RTP/AVP 0",
        "m=video 51372 RTP/AVP 99",
        "c=IN IP6 2001:db8::2",
        "a=rtpmap:99 h263-1998/90000",
    ),
    "every-line": _sdp(
        "v=0",
        "o=- 18446744073709551615 1 IN IP6 2001:db8::1",
        "s=",
        "i=x y",
        "u=http://h",
        "e=a",
        "e=b",
        "p=+1",
        "c=IN IP6 2001:db8::1",
        "b=CT:128",
        "b=AS:64",
        "t=3034423619 3042462419",
        "r=604800 3600 0 90000",
        "z=2882844526 -1h 2898848070 0",
        "k=prompt",
        "a=recvonly",
        "a=x:y:z",
        "a=empty:",
        "m=audio 49170/2 RTP/AVP 0 8",
        "i=speech",
        "c=IN IP4 192.0.2.9",
        "b=AS:64",
        "k=clear:x",
        "a=ptime:20",
        "a=ptime:30",
        "m=message 7394 TCP/TLS/MSRP *",
        "a=accept-types:text/plain",
    ),
    "webrtc": _sdp(
        "v=0",
        "o=mozilla 1 0 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=fingerprint:sha-256 AA:BB",
        "m=audio 9 UDP/TLS/RTP/SAVPF 109 0 101",
        "c=IN IP4 0.0.0.0",
        "a=candidate:0 1 UDP 2122252543 192.0.2.1 5000 typ host",
        "a=rtpmap:109 opus/48000/2",
        "a=fmtp:109 maxplaybackrate=48000;stereo=1",
        "a=rtcp-mux",
    ),
    "unicode": _sdp("v=0", "o=jürgen 0 0 IN IP4 h", "s=Gespräch 大", "t=0 0"),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_description_is_written_as_it_was_read(name: str) -> None:
    found = SessionDescription.parse(EXACT[name])
    assert found.to_bytes() == EXACT[name]
    assert SessionDescription.parse(found.to_bytes()) == found


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n", b"\r\n\r\n"])
def test_lines_may_end_in_several_ways(end: bytes) -> None:
    wire = EXACT["every-line"]
    assert SessionDescription.parse(wire.replace(b"\r\n", end)).to_bytes() == wire
    assert SessionDescription.parse(wire.rstrip()).to_bytes() == wire


def test_lines_are_written_in_the_order_of_the_rfc() -> None:
    shuffled = _sdp(
        *HEAD[:3], "b=AS:1", "k=x", "p=1", "t=0 0", "c=IN IP4 192.0.2.1", "i=x", "m=audio 1 RTP/AVP 0", "b=AS:2", "i=y"
    )
    found = SessionDescription.parse(shuffled).to_bytes()
    assert found == _sdp(
        *HEAD[:3], "i=x", "p=1", "c=IN IP4 192.0.2.1", "b=AS:1", "t=0 0", "k=x", "m=audio 1 RTP/AVP 0", "i=y", "b=AS:2"
    )


def test_the_scope_of_a_multicast_address_is_not_kept() -> None:
    found = SessionDescription.parse(_sdp(*HEAD[:3], "c=IN IP4 233.252.0.1/127/3", "t=0 0"))
    assert found.connection == "233.252.0.1"


def test_a_name_and_a_time_may_be_missing() -> None:
    found = SessionDescription.parse(_sdp("v=0", "o=- 0 0 IN IP4 h"))
    assert found.to_bytes() == EXACT["least"].replace(b"h.example", b"h")


def test_addresses_and_directions_come_from_the_session_unless_the_media_has_its_own() -> None:
    found = SessionDescription.parse(EXACT["every-line"])
    speech, chat = found.media
    assert (found.host(speech), found.host(chat)) == ("192.0.2.9", "2001:db8::1")
    assert (found.direction(speech), found.direction(chat)) == ("recvonly", "recvonly")
    speech.attributes.append(("sendonly", None))
    assert found.direction(speech) == "sendonly"
    found.attributes.clear()
    assert found.direction(chat) == "sendrecv"
    found.connection = None
    with pytest.raises(SdpSyntaxError):
        found.host(chat)


def test_attributes() -> None:
    found = SessionDescription.parse(EXACT["webrtc"])
    media = found.media[0]
    assert (media.get("rtcp-mux"), media.get("ice-lite"), found.get("group")) == ("", None, "BUNDLE 0")
    assert (found.attribute(media, "fingerprint"), found.attribute(media, "setup")) == ("sha-256 AA:BB", None)
    media.attributes.append(("fingerprint", "sha-256 CC"))
    assert found.attribute(media, "fingerprint") == "sha-256 CC"
    speech = SessionDescription.parse(EXACT["every-line"]).media[0]
    assert speech.all("ptime") == ["20", "30"]
    speech.remove("ptime", "x")
    assert speech.attributes == []


def test_codecs_in_the_order_of_preference() -> None:
    media = MediaDescription("audio", 1, "RTP/AVP", ("109", "8", "101", "96", "x", "0", "1000", "²"))
    media.attributes = [
        ("rtpmap", "109 opus/48000/2"),
        ("fmtp", "109 stereo=1"),
        ("rtpmap", " 101 telephone-event/8000 "),
        ("fmtp", "101 0-16"),
        ("rtpmap", "96"),
        ("rtpmap", None),
        ("fmtp", None),
    ]
    assert media.codecs == (
        Codec(109, "opus", 48000, 2, "stereo=1"),
        Codec(8, "PCMA", 8000, 1, None),
        Codec(101, "telephone-event", 8000, 1, "0-16"),
        Codec(0, "PCMU", 8000, 1, None),
    )


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("v=1", *HEAD[1:]),
        HEAD[1:],
        ("v=0", "s=-"),
        ("v=0", "o=- 1 2 IN IP4", "s=-"),
        ("v=0", "o=- x 2 IN IP4 h", "s=-"),
        ("v=0", "o=- 1 -2 IN IP4 h", "s=-"),
        ("v=0", "o=- 1 2 IN IP5 h", "s=-"),
        ("v=0", "o=- 1 2 XX IP4 h", "s=-"),
        ("v=0", "o=- 999999999999999999999 2 IN IP4 h", "s=-"),
        (*HEAD, "x"),
        (*HEAD, "a"),
        (*HEAD, "aa=b"),
        (*HEAD, "v=0"),
        (*HEAD, "x=unknown"),
        (*HEAD, "M=audio 1 RTP/AVP 0"),
        (*HEAD, "c=IN IP4"),
        (*HEAD, "c=IN IP7 h"),
        (*HEAD, "c=IN IP4 a b"),
        (*HEAD, "m=audio 65536 RTP/AVP 0"),
        (*HEAD, "m=audio -1 RTP/AVP 0"),
        (*HEAD, "m=audio x RTP/AVP 0"),
        (*HEAD, "m=audio 1 RTP/AVP"),
        (*HEAD, "m=audio 1/x RTP/AVP 0"),
        (*HEAD, "m= 1 RTP/AVP 0"),
        (*HEAD, "m=audio 1 RTP/AVP 0", "t=0 0"),
        (*HEAD, "m=audio 1 RTP/AVP 0", "o=- 1 2 IN IP4 h"),
        (*HEAD, "m=audio 1 RTP/AVP 0", "v=0"),
        (*HEAD, "a=x\ra=y"),
        (*HEAD, "a=x\0y"),
    ],
)
def test_what_is_no_description_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(SdpSyntaxError):
        SessionDescription.parse(_sdp(*lines))


def test_there_may_be_so_many_media_and_no_more() -> None:
    media = ["m=audio 1 RTP/AVP 0"] * MEDIA_MAX
    assert len(SessionDescription.parse(_sdp(*HEAD, *media)).media) == MEDIA_MAX
    with pytest.raises(SdpSyntaxError):
        SessionDescription.parse(_sdp(*HEAD, *media, media[0]))


def test_there_may_be_so_many_lines_and_no_more() -> None:
    lines = ["a=x"] * (LINES_MAX - len(HEAD))
    assert len(SessionDescription.parse(_sdp(*HEAD, *lines)).attributes) == len(lines)
    with pytest.raises(SdpSyntaxError):
        SessionDescription.parse(_sdp(*HEAD, *lines, "a=x"))


def test_a_description_may_be_so_large_and_no_larger() -> None:
    room = SDP_BYTES_MAX - len(_sdp(*HEAD, "a="))
    assert len(_sdp(*HEAD, "a=" + "x" * room)) == SDP_BYTES_MAX
    assert SessionDescription.parse(_sdp(*HEAD, "a=" + "x" * room)).attributes[0][0] == "x" * room
    with pytest.raises(SdpSyntaxError) as caught:
        SessionDescription.parse(_sdp(*HEAD, "a=" + "x" * (room + 1)))
    assert caught.value.status == 413
