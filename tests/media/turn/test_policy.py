"""Peers that a relay must not send to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.turn.policy import OWN_HOSTS_MAX, PeerPolicy

PUBLIC = ("203.0.113.5", "8.8.8.8", "2001:db8::5", "2a00::1", "64:ff9b::808:808", "2002:808:808::1")
PRIVATE = (
    *("10.0.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "127.9.9.9", "169.254.0.1", "100.64.0.1"),
    *("100.127.255.255", "192.0.0.8", "::1", "fc00::1", "fdff::1", "fe80::1", "64:ff9b:1::1"),
)
NEVER = (
    *("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::ffff:8.8.8.8", "::ffff:10.0.0.1", "::8.8.8.8", "100::1", "100::8000:0:0:1", "ff02::1", "fec0::1"),
    *("64:ff9b::a00:1", "64:ff9b::7f00:1", "::ffff:0:127.0.0.1", "2002:a00:1::1", "2002:7f00:1::1", "2001::1"),
)


def _policy(*, allows_private: bool) -> PeerPolicy:
    return PeerPolicy(
        allows_private=allows_private,
        own_hosts=["198.51.100.1", "10.0.0.9"],
        own_ports=[3478, 50_001],
        relay_ports=(50_000, 50_100),
    )


@pytest.mark.parametrize("host", PUBLIC)
def test_public_peers_are_allowed(host: str) -> None:
    assert _policy(allows_private=False).allows((host, 1))
    assert _policy(allows_private=True).allows((host, 65_535))


@pytest.mark.parametrize("host", PRIVATE)
def test_private_peers_are_allowed_in_a_laboratory_only(host: str) -> None:
    assert not _policy(allows_private=False).allows_host(host)
    assert not _policy(allows_private=False).allows((host, 1))
    assert _policy(allows_private=True).allows((host, 1))


@pytest.mark.parametrize("host", NEVER)
def test_no_host_is_never_a_peer(host: str) -> None:
    assert not _policy(allows_private=False).allows_host(host)
    assert not _policy(allows_private=True).allows((host, 1))


def test_of_the_server_itself_only_relay_ports_are_peers() -> None:
    policy = _policy(allows_private=False)
    assert [policy.allows(("198.51.100.1", port)) for port in (0, 53, 3478, 50_000, 50_001, 50_100, 50_101)] == [
        *(False, False, False, True, False, True, False)
    ]
    laboratory = _policy(allows_private=True)
    assert [laboratory.allows(("10.0.0.9", port)) for port in (0, 53, 3478, 50_000)] == [False, True, False, True]
    policy.add_own_host("203.0.113.9")
    assert not policy.allows(("203.0.113.9", 53))


def test_one_own_host_too_many_is_not_learnt() -> None:
    policy = _policy(allows_private=False)
    for number in range(OWN_HOSTS_MAX):
        policy.add_own_host(str(ipaddress.IPv4Address(0xCB00_0000 + number)))
    assert len(policy._own_hosts) == OWN_HOSTS_MAX


@given(st.ip_addresses(v=4))
def test_no_form_of_a_refused_ipv4_address_is_allowed(address: ipaddress.IPv4Address) -> None:
    policy = _policy(allows_private=False)
    if not policy.allows_host(str(address)):
        packed = address.packed
        for six in (
            bytes(10) + b"\xff\xff" + packed,
            b"\x20\x02" + packed + bytes(10),
            b"\0\x64\xff\x9b" + bytes(8) + packed,
        ):
            assert not policy.allows_host(str(ipaddress.IPv6Address(six)))
