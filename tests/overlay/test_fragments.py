"""Fragments: any order, repeats, losses, contradictions, bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay.fragments import (
    FRAGMENT_BYTES_MAX,
    FRAGMENTED_BYTES_MAX,
    PARTIAL_MESSAGES_MAX,
    PARTIAL_MESSAGES_PER_PEER_MAX,
    REASSEMBLY_SECONDS_MAX,
    Reassembler,
    split,
)
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError

PEER = b"p" * 32


@settings(max_examples=100)
@given(st.integers(0, 10_000) | st.just(FRAGMENTED_BYTES_MAX), st.randoms(use_true_random=False), st.booleans())
def test_any_order_and_repeats(size: int, order: object, repeat: bool) -> None:
    message = Chance.seeded(size).bytes(size)
    fragments = split(message, 7)
    assert all(len(each) <= FRAGMENT_BYTES_MAX + 6 for each in fragments)
    order.shuffle(fragments)  # type: ignore[attr-defined]
    reassembler = Reassembler()
    *early, last = fragments
    for each in early * (2 if repeat else 1):
        assert reassembler.add(PEER, each, 0.0) is None
    assert reassembler.add(PEER, last, 0.0) == message
    assert len(reassembler) == 0


def test_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(LocalError):
        split(bytes(FRAGMENTED_BYTES_MAX + 1), 1)


def test_messages_do_not_mix() -> None:
    reassembler = Reassembler()
    messages = [bytes([number]) * 1_500 for number in range(2)]
    halves = [split(message, number) for number, message in enumerate(messages)]
    others = split(b"o" * 1_500, 0)
    for first in (halves[0][0], halves[1][0]):
        assert reassembler.add(PEER, first, 0.0) is None
    assert reassembler.add(b"q" * 32, others[0], 0.0) is None
    assert reassembler.add(PEER, halves[0][1], 0.0) == messages[0]
    assert reassembler.add(b"q" * 32, others[1], 0.0) == b"o" * 1_500
    assert reassembler.add(PEER, halves[1][1], 0.0) == messages[1]


def test_what_waits_too_long_is_dropped() -> None:
    reassembler = Reassembler()
    first, second = split(bytes(1_500), 1)
    reassembler.add(PEER, first, 0.0)
    assert reassembler.next_expiry() == REASSEMBLY_SECONDS_MAX
    reassembler.expire(REASSEMBLY_SECONDS_MAX)
    assert (len(reassembler), reassembler.next_expiry()) == (0, None)
    assert reassembler.add(PEER, second, REASSEMBLY_SECONDS_MAX) is None


def test_partial_messages_of_a_peer_are_bounded_and_cost_others_nothing() -> None:
    reassembler = Reassembler()
    other = split(b"o" * 1_500, 0)
    reassembler.add(b"q" * 32, other[0], 0.0)
    for number in range(PARTIAL_MESSAGES_PER_PEER_MAX + 1):
        reassembler.add(PEER, split(bytes(1_500), number)[0], 0.0)
    assert len(reassembler) == PARTIAL_MESSAGES_PER_PEER_MAX + 1
    assert reassembler.add(PEER, split(bytes(1_500), PARTIAL_MESSAGES_PER_PEER_MAX)[1], 0.0) == bytes(1_500)
    assert reassembler.add(b"q" * 32, other[1], 0.0) == b"o" * 1_500


def test_partial_messages_are_bounded_in_all() -> None:
    reassembler = Reassembler()
    for number in range(PARTIAL_MESSAGES_MAX + 1):
        reassembler.add(number.to_bytes(32, "big"), split(bytes(1_500), 1)[0], 0.0)
    assert len(reassembler) == PARTIAL_MESSAGES_MAX
    assert len(reassembler._per_peer) == PARTIAL_MESSAGES_MAX


@pytest.mark.parametrize(
    "fragment",
    [
        b"",
        b"\0\0\0\1\0",
        b"\0\0\0\1\0\0x",
        b"\0\0\0\1\1\1x",
        b"\0\0\0\1\0\2short",
        b"\0\0\0\1\1\2",
        b"\0\0\0\1\0\x40" + bytes(FRAGMENT_BYTES_MAX),
        b"\0\0\0\1\0\1" + bytes(FRAGMENT_BYTES_MAX + 1),
    ],
)
def test_malformed_fragments(fragment: bytes) -> None:
    reassembler = Reassembler()
    with pytest.raises(RemoteError):
        reassembler.add(PEER, fragment, 0.0)
    assert len(reassembler) == 0


def test_a_contradiction_is_refused() -> None:
    reassembler = Reassembler()
    reassembler.add(PEER, split(bytes(1_500), 1)[0], 0.0)
    with pytest.raises(RemoteError):
        reassembler.add(PEER, split(bytes(3_000), 1)[1], 0.0)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=20), max_size=20))
def test_arbitrary_bytes(fragments: list[bytes]) -> None:
    reassembler = Reassembler()
    for fragment in fragments:
        try:
            reassembler.add(PEER, fragment, 0.0)
        except RemoteError:
            continue
    assert len(reassembler) <= PARTIAL_MESSAGES_PER_PEER_MAX
