"""Contacts in messages, and the networks that count against Sybils."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.contact import Contact, network_of, pack_host, unpack_contact, unpack_host
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(st.binary(min_size=32, max_size=32), HOSTS, st.integers(1, 65_535))
def test_a_contact_comes_back_as_it_was(key: bytes, host: str, port: int) -> None:
    contact = unpack_contact(Contact(key, (host, port)).pack())
    assert (contact.node_key, contact.address, contact.node_id) == (key, (host, port), node_id_of(key))
    assert contact.number == int.from_bytes(contact.node_id, "big")


@given(st.one_of(st.binary(max_size=64), st.none(), st.integers(), st.text(), st.lists(st.integers())))
def test_anything_else_is_refused_or_a_contact(value: object) -> None:
    with contextlib.suppress(RemoteError):
        assert unpack_contact(value).pack() == value


@pytest.mark.parametrize("bad", [b"", b"abc", bytes(5), bytes(17), None, 4, "1.2.3.4"])
def test_a_malformed_host_is_refused(bad: object) -> None:
    with pytest.raises(RemoteError):
        unpack_host(bad)


def test_port_0_is_refused() -> None:
    with pytest.raises(RemoteError, match="port 0"):
        unpack_contact(bytes(32) + b"\0\0" + pack_host("192.0.2.1"))


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("8.8.4.4", "8.8.4.0/24"),
        ("2a00:1:2:3:4:5:6:7", "2a00:1:2:3::/64"),
        ("127.0.0.1", None),
        ("10.1.2.3", None),
        ("::1", None),
        ("fe80::1", None),
    ],
)
def test_the_network_that_counts(host: str, network: str | None) -> None:
    assert network_of(host) == network
