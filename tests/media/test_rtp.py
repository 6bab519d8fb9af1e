"""RTP packets: RFC 3550 §5.1 field by field, what must be refused, and RTCP told apart (RFC 5761 §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rtp import RtpPacket, is_rtcp, is_rtp
from p2psip.base.errors import RemoteError

PLAIN = bytes.fromhex("80881234000000a0deadbeef") + b"speech"


def test_every_field_of_a_packet() -> None:
    packet = RtpPacket.parse(PLAIN)
    assert packet == RtpPacket(8, True, 0x1234, 160, 0xDEADBEEF, b"speech")
    assert packet.to_bytes() == PLAIN


def test_contributors_extension_and_padding_are_not_payload() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 2]) + PLAIN[1:12]
    extension = bytes.fromhex("bede0001") + b"abcd"
    data = head + bytes(8) + extension + b"speech" + bytes([0, 0, 3])
    assert RtpPacket.parse(data).payload == b"speech"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],
        b"\x8f" + PLAIN[1:],  # fifteen contributors that are not there
        b"\x90" + PLAIN[1:12] + b"\xbe\xde",
        b"\x90" + PLAIN[1:12] + b"\xbe\xde\xff\xff",
        b"\xa0" + PLAIN[1:12] + b"\x00",  # padding of no bytes
        b"\xa0" + PLAIN[1:12] + b"\x02",  # padding longer than what is there
    ],
    ids=["empty", "short", "version", "contributors", "extension cut", "extension long", "no padding", "padding"],
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        RtpPacket.parse(data)


@given(
    st.builds(
        RtpPacket,
        st.integers(0, 127),
        st.booleans(),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=200),
    )
)
def test_round_trip(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.to_bytes()) == packet


@given(st.binary(max_size=64))
def test_any_bytes_give_a_packet_or_a_remote_error(data: bytes) -> None:
    for candidate in (data, b"\x80" + data, b"\xbf" + data):
        is_rtcp(candidate)
        is_rtp(candidate)
        try:
            assert len(RtpPacket.parse(candidate).payload) <= len(candidate) - 12
        except RemoteError:
            continue


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_one_changed_byte_gives_a_packet_or_a_remote_error(position: int, value: int) -> None:
    try:
        RtpPacket.parse(PLAIN[:position] + bytes([value]) + PLAIN[position + 1 :])
    except RemoteError:
        return


def test_rtcp_is_told_apart_by_its_type() -> None:
    found = [second for second in range(256) if is_rtcp(bytes([0x80, second]))]
    assert found == list(range(192, 224))
    assert not is_rtcp(b"")
    assert not is_rtcp(b"\x80")


def test_rtp_is_version_two_of_at_least_a_header_and_not_rtcp() -> None:
    assert is_rtp(PLAIN)
    assert not is_rtp(PLAIN[:11])
    assert not is_rtp(b"\x00" + PLAIN[1:])
    assert not is_rtp(b"\xc0" + PLAIN[1:])
    assert not is_rtp(b"\x80\xc8" + PLAIN[2:])
