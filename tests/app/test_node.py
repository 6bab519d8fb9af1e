"""Small decisions of the composition of a node."""

import ipaddress
from pathlib import Path

import pytest

from p2psip.app.node import _bind_as_before, address_for_phones
from p2psip.app.settings import OverlaySettings
from p2psip.app.state import State


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "::1"])
def test_a_phone_is_told_the_address_that_the_node_listens_on(host: str) -> None:
    assert address_for_phones(host) == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_phone_is_never_told_to_register_everywhere(host: str) -> None:
    told = ipaddress.ip_address(address_for_phones(host))
    assert not told.is_unspecified
    assert told.version == ipaddress.ip_address(host).version


def test_a_node_has_the_same_port_after_a_restart_as_long_as_it_is_free(tmp_path: Path) -> None:
    state, settings = State(tmp_path), OverlaySettings(hosts=("127.0.0.1",))
    first = _bind_as_before(settings, state)
    other = _bind_as_before(settings, state)  # while the first has it
    numbers = first.number, other.number
    assert numbers[0] != numbers[1]
    for port in (first, other):
        port.close()
    again = _bind_as_before(settings, state)
    assert again.number == numbers[1]
    named = _bind_as_before(OverlaySettings(hosts=("127.0.0.1",), port=numbers[0]), state)
    assert (named.number, state.port()) == (numbers[0], numbers[1])
    for port in (again, named):
        port.close()
    state.close()
