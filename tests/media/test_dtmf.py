"""Telephone events: RFC 4733 §2.3 field by field, and the packets of one key press (§2.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtmf import (
    DIGITS,
    DURATION_MAX,
    REPEATED_ENDS,
    UPDATES_PER_DIGIT_MAX,
    DigitInsertion,
    TelephoneEvent,
    digit_payloads,
)
from media.rtp import RtpPacket
from p2psip.base.errors import LocalError, RemoteError


def test_every_field_of_an_event() -> None:
    event = TelephoneEvent.parse(bytes.fromhex("0b8a0320"))
    assert event == TelephoneEvent("#", True, 10, 800)
    assert event.to_bytes() == bytes.fromhex("0b8a0320")


def test_the_reserved_bit_is_not_looked_at() -> None:
    assert TelephoneEvent.parse(bytes.fromhex("004a00a0")) == TelephoneEvent("0", False, 10, 160)


def test_all_sixteen_digits_have_their_number() -> None:
    assert [TelephoneEvent.parse(bytes([n, 0, 0, 1])).digit for n in range(16)] == list("0123456789*#ABCD")


@pytest.mark.parametrize("payload", [b"", b"\x01\x0a\x00", b"\x10\x0a\x00\xa0", b"\xff\xff\xff\xff"])
def test_what_is_no_digit_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteError):
        TelephoneEvent.parse(payload)


@pytest.mark.parametrize("digit", list(DIGITS))
def test_a_key_press_grows_and_ends_thrice(digit: str) -> None:
    events = digit_payloads(digit, 5)
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 960, 960, 960]
    assert [event.end for event in events] == [False] * 5 + [True] * REPEATED_ENDS
    assert {event.digit for event in events} == {digit}
    assert REPEATED_ENDS == 3
    assert len({event.to_bytes() for event in events[-3:]}) == 1


@pytest.mark.parametrize(
    ("updates", "made"), [(-1, 1), (0, 1), (1, 1), (UPDATES_PER_DIGIT_MAX + 1, UPDATES_PER_DIGIT_MAX)]
)
def test_a_key_press_is_bounded(updates: int, made: int) -> None:
    assert len(digit_payloads("1", updates)) == made + REPEATED_ENDS


def test_a_duration_beyond_sixteen_bits_stays_at_the_largest() -> None:
    assert digit_payloads("1", UPDATES_PER_DIGIT_MAX, packet_samples=2_880)[-1].duration == 0xFFFF


@pytest.mark.parametrize("digit", ["", "E", "a", "12"])
def test_a_digit_that_is_none_is_our_own_mistake(digit: str) -> None:
    with pytest.raises(LocalError):
        digit_payloads(digit, 1)


@given(st.binary(max_size=8))
def test_any_bytes_give_an_event_or_a_remote_error(payload: bytes) -> None:
    try:
        event = TelephoneEvent.parse(payload)
    except RemoteError:
        return
    assert TelephoneEvent.parse(event.to_bytes()) == event
    assert event.to_bytes()[2:] == payload[2:4]


def stream(number: int) -> bytes:
    return RtpPacket(0, number == 0, 65_530 + number & 0xFFFF, 160 * number, 7, b"x" * 160).to_bytes()


def test_a_press_takes_the_place_of_packets_and_keeps_their_numbers() -> None:
    press = DigitInsertion("5", 0.1, payload_type=101, clock_rate=8_000)
    packets = [RtpPacket.parse(press.replace(stream(number))) for number in range(10)]
    assert [each.sequence for each in packets] == [65_530 + number & 0xFFFF for number in range(10)]
    events = [TelephoneEvent.parse(each.payload) for each in packets[:8]]
    assert [each.duration for each in events] == [160, 320, 480, 640, 800, 800, 800, 800]
    assert [each.end for each in events] == 5 * [False] + 3 * [True]
    assert [each.marker for each in packets[:8]] == [True] + 7 * [False]
    assert {each.timestamp for each in packets[:8]} == {0}
    assert press.is_done
    assert press.replace(stream(10)) == stream(10)


def test_control_packets_pass_beside_a_press() -> None:
    control = bytes([0x80, 200, 0, 6]) + bytes(24)
    press = DigitInsertion("5", 0.1, payload_type=101, clock_rate=8_000)
    assert press.replace(control) == control


def test_a_press_in_silence_goes_on_from_the_last_packet() -> None:
    press = DigitInsertion("#", 0.04, payload_type=101, clock_rate=8_000)
    last, made = stream(3), []
    while not press.is_done:
        last = press.make(last, 99)
        made.append(RtpPacket.parse(last))
    assert [each.sequence for each in made] == [65_534, 65_535, 0, 1, 2]
    assert {(each.ssrc, each.timestamp) for each in made} == {(7, 640)}
    assert RtpPacket.parse(DigitInsertion("#", 0.04, payload_type=101, clock_rate=8_000).make(b"", 99)).ssrc == 99


@given(st.lists(st.integers(0, 2**32 - 1), max_size=80), st.floats(0, 20), st.sampled_from([8_000, 16_000, 48_000]))
def test_a_press_ends_whatever_the_timestamps_are(stamps: list[int], seconds: float, rate: int) -> None:
    press = DigitInsertion("1", seconds, payload_type=101, clock_rate=rate)
    durations = [
        TelephoneEvent.parse(
            RtpPacket.parse(press.replace(RtpPacket(0, False, 1, each, 7, b"").to_bytes())).payload
        ).duration
        for each in stamps
        if not press.is_done
    ]
    assert durations == sorted(durations)
    assert all(each <= DURATION_MAX for each in durations)


def test_only_digits_are_pressed() -> None:
    with pytest.raises(LocalError):
        DigitInsertion("x", 0.1, payload_type=101, clock_rate=8_000)
