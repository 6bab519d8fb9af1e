"""Membership: the authority, bans that take effect at once, configurations that only grow newer, bounds."""

import pytest

from overlay import membership as module
from overlay.membership import Membership
from p2psip.base.errors import RemoteError
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE = TOWN.device("alice")


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    module.verified_certificates.cache_clear()


def test_a_member_passes_and_is_remembered() -> None:
    membership = TOWN.membership()
    first = membership.check(ALICE.certificate.der, UNIX)
    assert first == ALICE.certificate
    assert membership.check(ALICE.certificate.der, UNIX) is first
    assert len(membership) == 1
    assert membership.overlay == "home.example"


def test_a_remembered_certificate_still_ends() -> None:
    membership = TOWN.membership()
    membership.check(ALICE.certificate.der, UNIX)
    with pytest.raises(RemoteError, match="validity"):
        membership.check(ALICE.certificate.der, ALICE.certificate.not_after + 1)
    assert len(membership) == 0


@pytest.mark.parametrize("der", [b"", b"\x30\x00", Town(2).device("alice").certificate.der])
def test_strangers_are_refused(der: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        TOWN.membership().check(der, UNIX)
    assert caught.value.status == 403


def test_a_newer_configuration_counts_at_once_and_an_older_one_not() -> None:
    membership = TOWN.membership()
    membership.check(ALICE.certificate.der, UNIX)
    newer = TOWN.configuration(3, revoked_serials=frozenset({ALICE.certificate.serial}))
    assert membership.update(newer)
    assert not membership.update(newer)
    assert not membership.update(TOWN.configuration(2))
    assert membership.signed_configuration == newer
    assert membership.configuration.sequence == 3
    with pytest.raises(RemoteError, match="revoked"):
        membership.check(ALICE.certificate.der, UNIX)


def test_a_configuration_of_another_authority_is_refused() -> None:
    membership = TOWN.membership()
    for forged in (Town(2).configuration(9), b"", bytes(200)):
        with pytest.raises(RemoteError):
            membership.update(forged)
        with pytest.raises(RemoteError):
            Membership(TOWN.ca_der, forged)


def test_remembered_certificates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CERTIFICATES_MAX", 3)
    membership = TOWN.membership()
    for _ in range(4):
        membership.check(TOWN.device().certificate.der, UNIX)
    assert len(membership) == 3


def test_what_one_node_has_verified_no_other_node_of_the_process_verifies_again() -> None:
    first = TOWN.membership().check(ALICE.certificate.der, UNIX)
    assert TOWN.membership().check(ALICE.certificate.der, UNIX) is first


def test_a_remembered_certificate_is_not_valid_yet_by_a_clock_that_is_late() -> None:
    TOWN.membership().check(ALICE.certificate.der, UNIX)
    with pytest.raises(RemoteError, match="not valid yet"):
        TOWN.membership().check(ALICE.certificate.der, ALICE.certificate.not_before - 301)


def test_new_certificates_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEW_CERTIFICATES_PER_SECOND_MAX", 3)
    membership = TOWN.membership()
    for _ in range(3):
        membership.check(TOWN.device().certificate.der, UNIX)
    with pytest.raises(RemoteError) as caught:
        membership.check(ALICE.certificate.der, UNIX)
    assert caught.value.status == 503
    assert membership.check(ALICE.certificate.der, UNIX + 1)
