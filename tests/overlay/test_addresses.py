"""Whom a node tries first, and what it says of its own addresses."""

from overlay.addresses import WILDCARDS, addresses_to_tell, family_of, sort_by_family
from overlay.registration import ADDRESSES_MAX


def test_families() -> None:
    assert [family_of(host) for host in ("192.0.2.1", "2001:db8::1", *WILDCARDS)] == [4, 6, 4, 6]


def test_who_can_be_sent_to_is_greeted_first() -> None:
    known = [(b"a", ("192.0.2.1", 1)), (b"b", ("2001:db8::1", 1)), (b"c", ("192.0.2.2", 1))]
    assert [key for key, _address in sort_by_family(known, frozenset((6,)))] == [b"b", b"a", b"c"]


def test_wildcards_are_not_told() -> None:
    seen = [("192.0.2.1", 5_000)]
    assert addresses_to_tell(
        seen, [*((host, 5_000) for host in WILDCARDS), ("192.0.2.2", 5_000), ("192.0.2.1", 5_000)]
    ) == (
        ("192.0.2.1", 5_000),
        ("192.0.2.2", 5_000),
    )


def test_no_more_addresses_are_told_than_a_registration_may_hold() -> None:
    seen = [(f"192.0.2.{number}", 5_000) for number in range(ADDRESSES_MAX + 1)]
    assert addresses_to_tell(seen, []) == tuple(seen[:ADDRESSES_MAX])
