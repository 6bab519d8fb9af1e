"""Via addresses and the payloads of relayed frames: round trips, and what arbitrary bytes are made of."""

import contextlib
import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from overlay.via import (
    Relay,
    is_via,
    make_lost,
    make_relay,
    make_relay_to_address,
    parse_lost,
    parse_relay,
    via_address,
)
from p2psip.base.core import is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

KEYS = st.binary(min_size=32, max_size=32)
ADDRESSES = st.tuples(st.ip_addresses().map(str), st.integers(1, 65_535))


@given(KEYS)
def test_a_via_address_is_synthetic_and_told_apart_from_a_stream(key: bytes) -> None:
    host, port = via_address(key)
    assert is_via((host, port))
    assert is_synthetic(host)
    assert ipaddress.IPv6Address(host) in ipaddress.IPv6Network("100::/64")
    stream = ipaddress.IPv6Address(int(ipaddress.IPv6Address(host)) & ~(1 << 63))
    assert not is_via((str(stream), port))


@given(ADDRESSES)
def test_an_address_of_the_world_is_no_via(address: tuple[str, int]) -> None:
    assert not is_via(address) or ipaddress.ip_address(address[0]) in ipaddress.IPv6Network("100::/64")


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=1, max_size=300))
def test_round_trip_to_an_attached_node(target: bytes, inner: bytes) -> None:
    assert parse_relay(make_relay(target, inner)) == Relay(target, inner)
    assert parse_lost(make_lost(target)) == target


@given(KEYS, ADDRESSES, st.binary(min_size=1, max_size=300))
@example(bytes(32), ("2001:db8::1", 65_535), b"x")
def test_round_trip_to_an_address(key: bytes, address: tuple[str, int], inner: bytes) -> None:
    if "%" not in address[0]:
        assert parse_relay(make_relay_to_address(key, address, inner)) == Relay(node_id_of(key), inner, key, address)


@given(st.binary(max_size=120))
def test_arbitrary_bytes(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        relay = parse_relay(b"\x04" + data)
        assert len(relay.target) == 20
        assert relay.inner
        assert (relay.address is None) == (relay.node_key is None)
    with contextlib.suppress(RemoteError):
        assert len(parse_lost(b"\x06" + data)) == 20


VALID = make_relay_to_address(bytes(range(32)), ("192.0.2.1", 4500), b"frame")


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255))
def test_mutated_bytes(at: int, value: int) -> None:
    with contextlib.suppress(RemoteError):
        parse_relay(VALID[:at] + bytes((value,)) + VALID[at + 1 :])
    with contextlib.suppress(RemoteError):
        parse_relay(VALID[:at])


@pytest.mark.parametrize(
    "payload",
    [
        make_relay(bytes(20), b""),
        b"\x04" + bytes(20) + b"\x03inner",
        make_relay_to_address(bytes(32), ("192.0.2.1", 1), b""),
        b"\x04" + bytes(20) + make_relay_to_address(bytes(32), ("192.0.2.1", 1), b"x")[21:],
    ],
)
def test_malformed(payload: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_relay(payload)
