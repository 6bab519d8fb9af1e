"""Bodies of registrations: round trip, limits, and whose node they may name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay import registration as module
from overlay.registration import (
    Registration,
    Rendezvous,
    decode_registration,
    encode_registration,
    read_registration,
)
from p2psip.base.codec import pack
from p2psip.base.errors import RemoteError
from tests.overlay.devices import Town

TOWN = Town()
ALICE, BOB = TOWN.device("alice"), TOWN.device("bob")
KEY = bytes(range(32))

_hosts = st.ip_addresses().filter(lambda host: not (host.is_multicast or host.is_unspecified)).map(str)
_addresses = st.tuples(_hosts.filter(lambda host: not host.startswith("100::")), st.integers(1, 65_535))


@settings(max_examples=100)
@given(
    st.lists(_addresses, max_size=module.ADDRESSES_MAX),
    st.lists(st.builds(Rendezvous, st.binary(min_size=32, max_size=32), _addresses), max_size=module.RENDEZVOUS_MAX),
    st.lists(st.text(max_size=20), max_size=module.CAPABILITIES_MAX),
    st.none() | st.text(max_size=module.TEXT_CHARACTERS_MAX),
)
def test_round_trip(
    addresses: list[tuple[str, int]], meeting: list[Rendezvous], capabilities: list[str], redirect: str | None
) -> None:
    registration = Registration(KEY, tuple(addresses), tuple(meeting), tuple(capabilities), redirect)
    assert decode_registration(encode_registration(registration)) == registration


ADDRESS = ["192.0.2.1", 5060]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [KEY, [], [], []],
        [b"short", [], [], [], None],
        [KEY, [["localhost", 1]], [], [], None],
        [KEY, [["192.0.2.1", 0]], [], [], None],
        [KEY, [["100::1", 1]], [], [], None],
        [KEY, [], [[KEY, "100::8000:0:0:1", 1]], [], None],
        [KEY, [["fe80::1%eth0", 1]], [], [], None],
        [KEY, [["224.0.0.1", 1]], [], [], None],
        [KEY, [["0.0.0.0", 1]], [], [], None],
        [KEY, [["192.0.2.1", 65_536]], [], [], None],
        [KEY, [["192.0.2.1", True]], [], [], None],
        [KEY, [["192.0.2.1"]], [], [], None],
        [KEY, [5], [], [], None],
        [KEY, [], [[KEY, "192.0.2.1"]], [], None],
        [KEY, [], [[b"short", *ADDRESS]], [], None],
        [KEY, [], [[KEY, [], 5]], [], None],
        [KEY, [], [], [b"bytes"], None],
        [KEY, [], [], [], 5],
        [KEY, [], [], [], "x" * (module.TEXT_CHARACTERS_MAX + 1)],
        [KEY, [ADDRESS] * (module.ADDRESSES_MAX + 1), [], [], None],
        [KEY, [], [[KEY, *ADDRESS]] * (module.RENDEZVOUS_MAX + 1), [], None],
        [KEY, [], [], ["x"] * (module.CAPABILITIES_MAX + 1), None],
    ],
)
def test_malformed_bodies(fields: list[object]) -> None:
    with pytest.raises(RemoteError):
        decode_registration(pack(fields))


def test_a_registration_names_its_authors_own_node() -> None:
    assert read_registration(ALICE.record(), ALICE.certificate) == Registration(
        ALICE.node_key.public, (("192.0.2.1", 5060),)
    )
    assert read_registration(ALICE.record(body=None), ALICE.certificate) is None
    foreign = ALICE.record(body=encode_registration(Registration(BOB.node_key.public)))
    with pytest.raises(RemoteError):
        read_registration(foreign, ALICE.certificate)


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_arbitrary_bytes(data: bytes) -> None:
    try:
        decode_registration(data)
    except RemoteError:
        return
