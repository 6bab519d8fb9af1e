"""Telephone events: RFC 4733 §2.3 field by field, and the packets of one key press (§2.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtmf import (
    DIGITS,
    DURATION_MAX,
    EVENT_SILENCE_SECONDS,
    PRESSES_QUEUED_MAX,
    PRESSES_REMEMBERED_MAX,
    REPEATED_ENDS,
    UPDATES_PER_DIGIT_MAX,
    DigitInsertion,
    KeyPress,
    PressReader,
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


# Presses that are read out of a stream


def said(digit: str, timestamp: int, *, updates: int = 4, ssrc: int = 7) -> list[bytes]:
    """The packets of one press; the first has the marker."""
    return [
        RtpPacket(101, not number, timestamp // 160 + number, timestamp, ssrc, event.to_bytes()).to_bytes()
        for number, event in enumerate(digit_payloads(digit, updates))
    ]


def read(packets: list[bytes], *, step: float = 0.02) -> list[KeyPress]:
    """What a reader makes of `packets`, and of the silence after them."""
    reader, now = PressReader({101: 8_000}), 0.0
    for packet in packets:
        now += step
        reader.handle_timeout(now)
        assert reader.receive(packet, now)
    reader.handle_timeout(now + EVENT_SILENCE_SECONDS)
    assert reader.poll_timeout() is None
    return list(iter(reader.poll_output, None))


def test_a_press_is_read_once_with_its_duration() -> None:
    assert read(said("5", 160)) == [KeyPress("5", 0.1)]
    assert read(said("5", 160) + said("5", 1_600) + said("#", 3_200)) == [
        KeyPress("5", 0.1), KeyPress("5", 0.1), KeyPress("#", 0.1)
    ]  # fmt: skip


@pytest.mark.parametrize("kept", range(7))
def test_any_packet_of_a_press_is_enough(kept: int) -> None:
    (press,) = read([said("5", 160)[kept]])
    assert press.digit == "5"
    assert press.seconds == pytest.approx(min(kept + 1, 5) * 0.02)


def test_a_press_whose_ends_are_lost_is_over_with_the_next_one() -> None:
    assert read(said("5", 160)[:4] + said("6", 1_600)) == [KeyPress("5", 0.08), KeyPress("6", 0.1)]


def test_packets_that_come_late_or_twice_make_no_second_press() -> None:
    first, second = said("5", 160), said("5", 1_600)
    assert [each.digit for each in read(first + first)] == ["5"]
    assert [each.digit for each in read(first[:5] + second[:2] + first[5:] + second[2:] + first)] == ["5", "5"]


def test_silence_ends_a_press_and_what_comes_of_it_later_is_no_other_one() -> None:
    packets = said("5", 160)
    reader = PressReader({101: 8_000})
    reader.receive(packets[0], 1.0)
    assert reader.poll_timeout() == 1.0 + EVENT_SILENCE_SECONDS
    reader.handle_timeout(1.0 + EVENT_SILENCE_SECONDS / 2)
    assert reader.poll_output() is None
    reader.handle_timeout(1.0 + EVENT_SILENCE_SECONDS)
    assert reader.poll_output() == KeyPress("5", 0.02)
    reader.receive(packets[-1], 3.0)
    assert (reader.poll_output(), reader.poll_timeout()) == (None, None)


@pytest.mark.parametrize("lost", [0, 3])
def test_a_press_that_is_longer_than_a_duration_can_say(lost: int) -> None:
    """RFC 4733 §2.5.1.3; the last `lost` packets of the first segment do not come."""
    start = (1 << 32) - 1_000  # timestamps wrap
    durations = [*range(160, DURATION_MAX, 160), DURATION_MAX]
    segment = [RtpPacket(101, d == 160, d // 160, start, 7, event("5", d)).to_bytes() for d in durations]
    rest = (start + DURATION_MAX) % (1 << 32)
    after = [RtpPacket(101, False, 500, rest, 7, event("5", d, end=d == 480)).to_bytes() for d in (160, 320, 480)]
    (press,) = read(segment[: len(segment) - lost] + after)
    assert press == KeyPress("5", (DURATION_MAX + 480) / 8_000)


def event(digit: str, duration: int, *, end: bool = False) -> bytes:
    return TelephoneEvent(digit, end, 10, duration).to_bytes()


def test_audio_control_and_other_payload_types_are_left_alone_and_other_events_taken_out() -> None:
    reader = PressReader({101: 8_000})
    for packet in (
        RtpPacket(0, False, 1, 160, 7, b"x" * 160).to_bytes(),
        RtpPacket(96, False, 1, 160, 7, event("5", 160)).to_bytes(),
        bytes((0x80, 200)) + bytes(26),
        b"", b"\x80", bytes((0x80, 101)),
    ):  # fmt: skip
        assert not reader.receive(packet, 0.0)
    flash = RtpPacket(101, True, 1, 160, 7, bytes((16, 0x8A, 0, 160))).to_bytes()
    assert reader.receive(flash, 0.0)
    assert reader.receive(RtpPacket(101, True, 1, 160, 7, b"").to_bytes(), 0.0)
    assert (reader.poll_output(), reader.poll_timeout()) == (None, None)


def test_presses_that_nobody_takes_are_bounded() -> None:
    reader = PressReader({101: 8_000})
    for number in range(PRESSES_QUEUED_MAX + 1):
        for packet in said("5", 1_600 * (number + 1)):
            reader.receive(packet, 0.0)
    assert len(list(iter(reader.poll_output, None))) == PRESSES_QUEUED_MAX


def test_only_so_many_presses_are_remembered() -> None:
    presses = [said("5", 1_600 * (number + 1)) for number in range(PRESSES_REMEMBERED_MAX + 1)]
    again = read([packet for press in presses for packet in press] + presses[1])
    assert len(again) == len(presses)
    again = read([packet for press in presses for packet in press] + presses[0])
    assert len(again) == len(presses) + 1, "the oldest is forgotten"


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 6)))
def test_any_packets_make_presses_or_none(rubbish: list[bytes], kept: list[int]) -> None:
    reader = PressReader({101: 8_000, 0: 8_000})
    for packet in [*rubbish, *(said("5", 160)[number] for number in kept)]:
        reader.receive(packet, 0.0)
    reader.handle_timeout(9.0)
    presses = list(iter(reader.poll_output, None))
    assert all(each.digit in DIGITS and each.seconds >= 0.0 for each in presses)
    assert len(presses) == bool(kept) or rubbish
