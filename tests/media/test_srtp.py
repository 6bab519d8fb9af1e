"""SRTP of one leg: each suite both ways, forged and repeated packets, keys that change, rollover, bounds."""

import pytest
from pylibsrtp import Policy, Session

from media.rtp import RtpPacket
from media.srtp import OVERLAP_PACKETS, STREAMS_MAX, SUITES, MasterKey, SrtpContexts, SrtpKeys


def key(suite: str = "AES_CM_128_HMAC_SHA1_80", first: int = 1, mki_bytes: int = 0) -> MasterKey:
    size = SUITES[suite].key_bytes + SUITES[suite].salt_bytes
    return MasterKey(suite, bytes((first + each) % 256 for each in range(size)), mki_bytes)


def rtp(sequence: int = 1, ssrc: int = 7) -> bytes:
    return RtpPacket(0, False, sequence % 65_536, 160 * sequence, ssrc, b"speech" * 20).to_bytes()


def rtcp(ssrc: int = 7) -> bytes:
    return bytes([0x80, 200, 0, 6]) + ssrc.to_bytes(4, "big") + bytes(20)


def pair(send: MasterKey, receive: MasterKey) -> tuple[SrtpContexts, SrtpContexts]:
    """Two ends that know one another's keys."""
    one, other = SrtpContexts(), SrtpContexts()
    one.set_keys(SrtpKeys(send, receive))
    other.set_keys(SrtpKeys(receive, send))
    return one, other


def passed(one: SrtpContexts, other: SrtpContexts, packet: bytes) -> bytes | None:
    wire = one.protect(packet)
    assert wire is not None
    assert wire[12:] != packet[12:]
    return other.unprotect(wire)


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_carries_rtp_and_rtcp_both_ways(suite: str) -> None:
    one, other = pair(key(suite, 1), key(suite, 50))
    for packet in (rtp(), rtcp()):
        assert passed(one, other, packet) == packet
        assert passed(other, one, packet) == packet


def test_the_key_is_not_in_what_is_printed() -> None:
    assert key().secret.hex() not in repr(SrtpKeys(key(), key()))
    assert str(key().secret) not in repr(SrtpKeys(key(), key()))


def test_nothing_passes_without_keys() -> None:
    contexts = SrtpContexts()
    assert contexts.protect(rtp()) is None
    assert contexts.unprotect(rtp()) is None
    contexts.set_keys(SrtpKeys())
    assert contexts.protect(rtp()) is None


def test_wrong_keys_plain_packets_and_repeated_ones_are_not_believed() -> None:
    one, other = pair(key(first=1), key(first=50))
    stranger, _ = pair(key(first=99), key(first=50))
    forged, wire = stranger.protect(rtp(1)), one.protect(rtp(2))
    assert forged is not None
    assert wire is not None
    assert other.unprotect(forged) is None
    assert other.unprotect(rtp(3)) is None
    assert other.unprotect(wire[:-1] + bytes([wire[-1] ^ 1])) is None
    assert other.unprotect(wire) == rtp(2)
    assert other.unprotect(wire) is None
    assert one.protect(rtp(2)) is None, "the same packet again would show what differs between two"
    control = one.protect(rtcp())
    assert control is not None
    assert other.unprotect(control) == rtcp()
    assert other.unprotect(control) is None


def test_the_same_keys_again_keep_the_rollover_counter() -> None:
    one, other = pair(key(first=1), key(first=50))
    for sequence in range(65_400, 65_700):
        assert passed(one, other, rtp(sequence)) == rtp(sequence)
    one.set_keys(SrtpKeys(key(first=1), key(first=50)))
    other.set_keys(SrtpKeys(key(first=50), key(first=1)))
    assert passed(one, other, rtp(65_700)) == rtp(65_700)


def test_after_a_change_the_key_before_opens_what_was_under_way_for_a_while() -> None:
    one, other = pair(key(first=1), key(first=50))
    assert passed(one, other, rtp(1)) == rtp(1)
    late, too_late = one.protect(rtp(2)), one.protect(rtp(3))
    one.set_keys(SrtpKeys(key(first=2), key(first=50)))
    other.set_keys(SrtpKeys(key(first=50), key(first=2)))
    assert passed(one, other, rtp(4)) == rtp(4)
    assert late is not None
    assert other.unprotect(late) == rtp(2)
    for sequence in range(5, 5 + OVERLAP_PACKETS):
        assert passed(one, other, rtp(sequence)) == rtp(sequence)
    assert too_late is not None
    assert other.unprotect(too_late) is None


def test_the_other_direction_keeps_its_context_when_one_key_changes() -> None:
    one, other = pair(key(first=1), key(first=50))
    assert passed(other, one, rtp(9)) == rtp(9)
    repeated = other.protect(rtp(10))
    one.set_keys(SrtpKeys(key(first=2), key(first=50)))
    assert repeated is not None
    assert one.unprotect(repeated) == rtp(10)
    assert one.unprotect(repeated) is None


@pytest.mark.parametrize("suite", SUITES)
def test_a_master_key_identifier_is_passed_over(suite: str) -> None:
    contexts = SrtpContexts()
    contexts.set_keys(SrtpKeys(None, key(suite, 1, mki_bytes=4)))
    theirs = Session(Policy(key(suite, 1).secret, Policy.SSRC_ANY_OUTBOUND, srtp_profile=SUITES[suite].profile))
    for wire, tag, packet in (
        (theirs.protect(rtp()), SUITES[suite].tags[0], rtp()),
        (theirs.protect_rtcp(rtcp()), SUITES[suite].tags[1], rtcp()),
    ):
        end = len(wire) - tag
        assert contexts.unprotect(wire[:end] + b"\0\0\0\1" + wire[end:]) == packet


def test_streams_are_bounded_both_ways() -> None:
    one, other = pair(key(first=1), key(first=50))
    for ssrc in range(STREAMS_MAX):
        assert passed(one, other, rtp(1, ssrc)) == rtp(1, ssrc)
    assert one.protect(rtp(1, STREAMS_MAX)) is None
    assert one.protect(rtp(2, 0)) is not None
    fresh, _ = pair(key(first=1), key(first=50))
    wire = fresh.protect(rtp(1, STREAMS_MAX))
    assert wire is not None
    assert other.unprotect(wire) is None


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 11, b"\x80\xc8" + bytes(5), bytes(2_000)])
def test_what_is_too_short_or_too_long_is_dropped(data: bytes) -> None:
    one, _ = pair(key(), key(first=50))
    assert one.unprotect(data) is None
    assert one.protect(data) is None
