"""The table of bindings, by hand."""

from dataclasses import replace

import pytest

from p2psip.base.errors import RemoteError
from p2psip.calls.bindings import BINDINGS_MAX, BINDINGS_PER_ADDRESS_MAX, Binding, BindingTable
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

FLOW = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.1", 6000), 1)
BINDING = Binding("alice@home.example", "alice", SipUri.parse("sip:alice@127.0.0.1:6000"), FLOW, "c", 1, 60.0)


def test_the_dead_are_not_listed() -> None:
    table = BindingTable()
    table.replace(BINDING.address, [BINDING, replace(BINDING, expires_at=30.0)])
    assert len(table.of(BINDING.address, 29.0)) == 2
    assert len(table.of(BINDING.address, 30.0)) == 1
    assert table.next_expiry() == 30.0
    table.expire(30.0)
    assert len(table) == 1
    table.flow_closed(FLOW)
    assert len(table) == 0
    assert not table.is_there(BINDING.address, 0.0)
    assert table.of_flow(FLOW) == []
    assert table.next_expiry() is None


def test_a_flow_leads_to_what_was_registered_over_it() -> None:
    table = BindingTable()
    other = replace(BINDING, address="bob@home.example", flow=replace(FLOW, serial=2))
    table.replace(BINDING.address, [BINDING])
    table.replace(other.address, [other])
    assert table.of_flow(FLOW) == [BINDING]
    assert table.is_there(BINDING.address, 59.0)
    assert not table.is_there(BINDING.address, 60.0)
    table.replace(BINDING.address, [replace(BINDING, flow=other.flow)])
    assert table.of_flow(FLOW) == []
    assert len(table.of_flow(other.flow)) == 2
    table.flow_closed(other.flow)
    assert len(table) == 0


def test_one_address_has_a_bounded_number() -> None:
    table = BindingTable()
    table.replace("a", [BINDING] * BINDINGS_PER_ADDRESS_MAX)
    with pytest.raises(RemoteError) as caught:
        table.replace("a", [BINDING] * (BINDINGS_PER_ADDRESS_MAX + 1))
    assert caught.value.status == 403
    assert len(table) == BINDINGS_PER_ADDRESS_MAX


def test_all_addresses_together_too() -> None:
    table = BindingTable()
    for number in range(BINDINGS_MAX // BINDINGS_PER_ADDRESS_MAX):
        table.replace(str(number), [BINDING] * BINDINGS_PER_ADDRESS_MAX)
    with pytest.raises(RemoteError):
        table.replace("one more", [BINDING])
    assert len(table) == BINDINGS_MAX


def test_same_phone_by_instance_else_by_uri() -> None:
    named = replace(BINDING, instance="i;1")
    other = SipUri.parse("sip:alice@10.0.0.1")
    assert named.is_same_phone(other, "i;1")
    assert not named.is_same_phone(BINDING.contact, "i;2")
    assert BINDING.is_same_phone(SipUri.parse("sip:alice@127.0.0.1:6000;foo=1"), "i;2")
    assert not BINDING.is_same_phone(other, None)
