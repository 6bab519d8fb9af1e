"""Which address families a node has routes for."""

import pytest

from overlay import sockets
from overlay.sockets import own_families
from p2psip.base.core import Address

WILDCARDS: list[Address] = [("0.0.0.0", 5_000), ("::", 5_000)]


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The host that a datagram to each host would come from; no route to any other."""
    routes: dict[str, str] = {}
    monkeypatch.setattr(sockets, "_source_towards", lambda _family, to: routes.get(to[0]))
    return routes


def test_a_family_counts_that_has_a_route_to_the_outside_whatever_is_bound(sources: dict[str, str]) -> None:
    sources["2001:db8::1"] = "2001:db8:1::2"
    assert own_families(WILDCARDS, []) == {6}
    sources["192.0.2.1"] = "198.51.100.7"
    assert own_families(WILDCARDS, []) == {4, 6}
    assert own_families(WILDCARDS[:1], []) == {4}


def test_a_family_counts_that_has_a_route_to_a_known_node(sources: dict[str, str]) -> None:
    sources["2001:db8::1"] = "2001:db8:1::2"
    sources["10.0.0.9"] = "10.0.0.2"
    assert own_families(WILDCARDS, [("10.0.0.9", 5_000), ("100::1", 1)]) == {4, 6}


def test_link_local_addresses_are_no_way_out(sources: dict[str, str]) -> None:
    sources["2001:db8::1"] = "2001:db8:1::2"
    sources["192.0.2.1"] = "169.254.3.4"
    assert own_families(WILDCARDS, []) == {6}
    sources["2001:db8::1"] = "fe80::1"
    sources["192.0.2.1"] = "198.51.100.7"
    assert own_families(WILDCARDS, []) == {4}


def test_without_any_route_all_that_is_bound_counts(sources: dict[str, str]) -> None:
    assert not sources
    assert own_families(WILDCARDS, []) == {4, 6}
    assert own_families([("127.0.0.1", 5_000)], []) == {4}
