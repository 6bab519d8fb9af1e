"""Announcements of super-nodes: round trip, limits, fuzz, and where they stand."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.records import KINDS, RELAY, make_record, relay_keys
from overlay.relay_record import (
    ADDRESSES_MAX,
    CAPACITY_MAX,
    PLACES_PER_SUPERNODE,
    Announcement,
    announcement_keys,
    decode_announcement,
    encode_announcement,
    read_announcement,
    uptime_class_of,
)
from p2psip.base.codec import pack
from p2psip.base.errors import RemoteError
from tests.overlay.devices import OVERLAY, UNIX, Town

KEY = bytes(range(32))
USUAL = Announcement(KEY, (("192.0.2.1", 4500), ("2001:db8::1", 4500)), 443, 443, 120, 2)
PORTS = st.integers(0, 65_535)
ADDRESSES = st.lists(st.tuples(st.ip_addresses().map(str), st.integers(1, 65_535)), min_size=1, max_size=ADDRESSES_MAX)


@given(ADDRESSES, PORTS, PORTS, st.integers(0, CAPACITY_MAX), st.integers(0, 3), st.booleans())
def test_round_trip(
    addresses: list[tuple[str, int]], tcp: int, tls: int, capacity: int, uptime: int, draining: bool
) -> None:
    announcement = Announcement(KEY, tuple(addresses), tcp, tls, capacity, uptime, draining)
    body = encode_announcement(announcement)
    assert decode_announcement(body) == announcement
    assert len(body) <= KINDS[RELAY].size_bytes_max


@given(st.binary(max_size=120))
def test_arbitrary_bytes(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        decode_announcement(data)


VALID = encode_announcement(USUAL)


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255))
def test_mutated_bytes(at: int, value: int) -> None:
    with contextlib.suppress(RemoteError):
        decode_announcement(VALID[:at] + bytes((value,)) + VALID[at + 1 :])


PACKED = [b"\xc0\x00\x02\x01", 4500]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"short", [PACKED], 0, 0, 1, 0, False],
        [KEY, [], 0, 0, 1, 0, False],
        [KEY, [PACKED] * (ADDRESSES_MAX + 1), 0, 0, 1, 0, False],
        [KEY, [[b"\xc0", 4500]], 0, 0, 1, 0, False],
        [KEY, [[PACKED[0], 0]], 0, 0, 1, 0, False],
        [KEY, [[PACKED[0], True]], 0, 0, 1, 0, False],
        [KEY, [PACKED], 65_536, 0, 1, 0, False],
        [KEY, [PACKED], 0, -1, 1, 0, False],
        [KEY, [PACKED], 0, 0, CAPACITY_MAX + 1, 0, False],
        [KEY, [PACKED], 0, 0, 1, 4, False],
        [KEY, [PACKED], 0, 0, 1, 0, None],
    ],
)
def test_malformed(fields: list[object]) -> None:
    with pytest.raises(RemoteError):
        decode_announcement(pack(fields))


def test_an_announcement_names_its_authors_own_node() -> None:
    town = Town()
    alice, bob = town.device("alice"), town.device("bob")
    key = relay_keys(OVERLAY)[0]

    def record(announcement: Announcement | None) -> object:
        body = None if announcement is None else encode_announcement(announcement)
        made = make_record(
            RELAY, key, body, certificate=alice.certificate, signing_key=alice.signing_key, sequence=1, expiry=UNIX + 9
        )
        return read_announcement(made, alice.certificate)

    mine = replace(USUAL, node_key=alice.node_key.public)
    assert record(mine) == mine
    assert record(None) is None
    with pytest.raises(RemoteError):
        record(replace(USUAL, node_key=bob.node_key.public))


def test_each_super_node_has_its_three_places_among_the_eight() -> None:
    places = [announcement_keys(OVERLAY, bytes((number,)) * 20) for number in range(256)]
    assert all(len(set(keys)) == PLACES_PER_SUPERNODE for keys in places)
    assert {key for keys in places for key in keys} == set(relay_keys(OVERLAY))


def test_uptime_has_four_classes() -> None:
    assert [uptime_class_of(3_600 * hours) for hours in (0, 0.9, 1, 5.9, 6, 23.9, 24, 1_000)] == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]
