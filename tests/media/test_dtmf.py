"""Telephone events: RFC 4733 §2.3 field by field, and the packets of one key press (§2.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtmf import DIGITS, REPEATED_ENDS, UPDATES_PER_DIGIT_MAX, TelephoneEvent, digit_payloads
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
