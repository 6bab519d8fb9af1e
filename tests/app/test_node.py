"""Small decisions of the composition of a node."""

import ipaddress
from pathlib import Path

import pytest

from p2psip.app.accounts import ACCOUNTS_READ_MAX, StoredAccounts
from p2psip.app.machine import bind_as_before
from p2psip.app.node import check_certificate
from p2psip.app.phone_doors import address_for_phones
from p2psip.app.settings import OverlaySettings
from p2psip.app.state import Membership, Phone, State, StateError
from p2psip.base.certificates import CLOCK_SKEW_SECONDS, create_authority, issue_device
from p2psip.base.chance import Chance
from p2psip.base.keys import NodeKey, SigningKey


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
    first = bind_as_before(settings, state)
    other = bind_as_before(settings, state)  # while the first has it
    numbers = first.number, other.number
    assert numbers[0] != numbers[1]
    for port in (first, other):
        port.close()
    again = bind_as_before(settings, state)
    assert again.number == numbers[1]
    named = bind_as_before(OverlaySettings(hosts=("127.0.0.1",), port=numbers[0]), state)
    assert (named.number, state.port()) == (numbers[0], numbers[1])
    for port in (again, named):
        port.close()
    state.close()


def test_a_certificate_of_no_use_is_one_sentence_about_the_clock_and_the_way_out() -> None:
    unix, chance = 1_800_000_000, Chance.seeded(1)
    authority, signing, node = SigningKey.generate(chance), SigningKey.generate(chance), NodeKey.generate(chance)
    ca = create_authority("home.example", authority, unix)
    person = ("alice@home.example",)
    der = issue_device(
        ca,
        authority,
        signing_public=signing.public,
        node_id=node.node_id,
        addresses=person,
        serial=1,
        not_before=unix,
        not_after=unix + 1_000,
    )
    membership = Membership("home.example", person, node.private, signing.private, ca, der, b"", "")
    check_certificate(membership, unix)
    check_certificate(membership, unix - CLOCK_SKEW_SECONDS)
    with pytest.raises(StateError, match="not valid yet, as it is 2027-01-15 07:00 UTC by this machine's clock: set"):
        check_certificate(membership, unix - 3_600)
    with pytest.raises(StateError, match=r"has run out, .* join anew"):
        check_certificate(membership, unix + 1_001)


def test_accounts_are_those_of_the_file_whoever_writes_it(tmp_path: Path) -> None:
    state, other = State(tmp_path), State(tmp_path)
    accounts = StoredAccounts(state)
    try:
        assert accounts.account("desk") is None
        for number in range(ACCOUNTS_READ_MAX + 1):
            assert accounts.account(f"guess{number}") is None
        assert len(accounts._read) <= ACCOUNTS_READ_MAX
        other.add_phone(Phone("desk", "alice@home.example", "MD5", "0" * 32, 0))
        found = accounts.account("desk")
        assert found is not None
        assert accounts.account("desk") is found
        other.remove_phone("desk")
        assert accounts.account("desk") is None
        state.add_phone(Phone("desk", "alice@home.example", "SHA-256", "1" * 64, 0))
        again = accounts.account("desk")
        assert again is not None
        assert again.algorithm == "SHA-256"
    finally:
        state.close()
        other.close()
