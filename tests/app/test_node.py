"""Small decisions of the composition of a node."""

import ipaddress

import pytest

from p2psip.app.node import address_for_phones


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "::1"])
def test_a_phone_is_told_the_address_that_the_node_listens_on(host: str) -> None:
    assert address_for_phones(host) == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_phone_is_never_told_to_register_everywhere(host: str) -> None:
    told = ipaddress.ip_address(address_for_phones(host))
    assert not told.is_unspecified
    assert told.version == ipaddress.ip_address(host).version
