"""dialog-info documents."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.presence.dialog_info import DIALOGS_MAX, CallState, Dialogs, compose, parse_dialog_info

ONE = CallState("1", "early", "recipient", "sip:alice@home.example")
TWO = CallState("2", "confirmed", "initiator", "sip:carol@home.example")


def test_a_whole_document_is_read_again() -> None:
    data = Dialogs((ONE, TWO)).write("bob@home.example", 7)
    assert parse_dialog_info(data) == Dialogs((ONE, TWO))
    assert b'version="7"' in data
    assert b'state="full"' in data


def test_a_partial_document_tells_what_has_changed_and_what_is_over() -> None:
    later = CallState("2", "confirmed", "initiator", "sip:carol@home.example")
    data = Dialogs((later, CallState("3", "trying", "initiator"))).write("bob@home.example", 8, Dialogs((ONE, TWO)))
    assert b'state="partial"' in data
    assert data.count(b"<dialog ") == 2
    assert b'id="1"' in data
    assert b"terminated" in data
    assert b'id="2"' not in data
    with pytest.raises(RemoteError):
        parse_dialog_info(data)


def test_who_is_talking_or_dialling_is_busy_and_a_ringing_phone_is_not() -> None:
    assert not Dialogs((ONE,)).is_busy
    assert Dialogs((TWO,)).is_busy
    assert Dialogs((CallState("1", "early", "initiator"),)).is_busy


def test_names_can_be_left_out() -> None:
    assert b"carol" not in Dialogs((ONE, TWO)).without_names().write("bob@home.example")


def test_bounds() -> None:
    many = Dialogs(tuple(CallState(str(number), "early", "recipient") for number in range(DIALOGS_MAX)))
    assert len(parse_dialog_info(many.write("b@h")).calls) == DIALOGS_MAX
    more = Dialogs((*many.calls, CallState("x", "early", "recipient")))
    with pytest.raises(RemoteError):
        parse_dialog_info(more.write("b@h"))
    assert len(compose([more]).calls) == DIALOGS_MAX


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_mutated_document_raises_nothing_else(place: int, byte: int) -> None:
    data = bytearray(Dialogs((ONE, TWO)).write("bob@home.example"))
    data[place % len(data)] = byte
    with contextlib.suppress(RemoteError):
        compose([parse_dialog_info(bytes(data))])
