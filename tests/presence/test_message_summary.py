"""Message summaries."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.presence.message_summary import COUNT_MAX, SUMMARY_BYTES_MAX, Waiting, compose, parse_summary


def test_counts_come_back() -> None:
    waiting = Waiting(4, 8, 1, 2)
    data = waiting.write("alice@home.example")
    assert parse_summary(data) == waiting
    assert data == (b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@home.example\r\nVoice-Message: 4/8 (1/2)\r\n")
    assert Waiting(old=3).write("a@b").startswith(b"Messages-Waiting: no\r\n")


@pytest.mark.parametrize(
    ("data", "waiting"),
    [
        (b"Messages-Waiting: yes\r\n", Waiting(1)),
        (b"messages-waiting:no\r\nVoice-Message: 0 / 3\r\n", Waiting(0, 3)),
        (b"Messages-Waiting: yes\r\nFax-Message: 1/0\r\nVoice-Message: 2/0\r\n", Waiting(2)),
        (b"Messages-Waiting: yes\r\nVoice-Message: 9999999999/0\r\n", Waiting(COUNT_MAX)),
    ],
)
def test_what_others_write(data: bytes, waiting: Waiting) -> None:
    assert parse_summary(data) == waiting


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"Messages-Waiting: maybe",
        b"Messages-Waiting: yes\r\nVoice-Message: x",
        b"x" * SUMMARY_BYTES_MAX + b"x",
    ],
)
def test_what_is_no_summary(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_summary(data)


def test_mailboxes_add_up() -> None:
    assert compose([Waiting(1, 2), Waiting(3, 4, 1)]) == Waiting(4, 6, 1)
    assert compose([]) == Waiting()
    assert compose([Waiting(COUNT_MAX), Waiting(1)]) == Waiting(COUNT_MAX)


@given(st.binary(max_size=100) | st.text(alphabet="Messages-Waiting: yno\r\nVoice0123/()", max_size=80).map(str.encode))
def test_garbage_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_summary(data)
