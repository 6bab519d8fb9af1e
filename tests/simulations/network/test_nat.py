import itertools
from dataclasses import replace

import pytest

from p2psip.base.core import Address
from simulations.network import nat
from simulations.network.endpoint import Line
from simulations.network.nat import Box, NatKind, Ports, Rule

HOME: Address = ("10.0.0.10", 20_000)
A: Address = ("77.1.1.1", 5_000)
A_OTHER_PORT: Address = ("77.1.1.1", 6_000)
B: Address = ("78.2.2.2", 5_000)
OTHERS = (A, A_OTHER_PORT, B)
SHARED = {  # which of OTHERS see the mapping that A sees, and which may answer to what was sent to A
    Rule.ENDPOINT_INDEPENDENT: (True, True, True),
    Rule.ADDRESS_DEPENDENT: (True, True, False),
    Rule.ADDRESS_AND_PORT_DEPENDENT: (True, False, False),
}


def _box(kind: NatKind) -> Box:
    return Box(kind, "90.0.0.1", Line())


def _sent(box: Box, inner: Address, destination: Address, now: float = 0.0) -> Address:
    outer = box.outward(inner, destination, now)
    assert outer is not None
    return outer


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(Rule, Rule)))
def test_mapping_and_filtering_depend_on_what_they_say(mapping: Rule, filtering: Rule) -> None:
    """RFC 4787 §4.1 and §5, tested as in RFC 5780 §4.3 and §4.4."""
    kind = NatKind("table", mapping, filtering)
    box = _box(kind)
    seen = _sent(box, HOME, A)
    assert [box.inward(seen, other, 1.0) is not None for other in OTHERS] == list(SHARED[filtering])
    assert [_sent(box, HOME, other) == seen for other in OTHERS] == list(SHARED[mapping])


@pytest.mark.parametrize("lifetime", [30.0, 120.0, 300.0])
def test_a_mapping_lives_so_long_after_the_last_datagram_out(lifetime: float) -> None:
    """RFC 4787 §4.3, REQ-5 and REQ-6."""
    box = _box(replace(nat.PORT_RESTRICTED, lifetime=lifetime))
    seen = _sent(box, HOME, A)
    _sent(box, HOME, A, 10.0)
    assert box.inward(seen, A, 10.0 + lifetime) == HOME
    assert box.inward(seen, A, 10.1 + lifetime) is None


@pytest.mark.parametrize("refreshes", [False, True])
def test_a_datagram_in_prolongs_only_where_the_box_does_so(refreshes: bool) -> None:
    box = _box(replace(nat.PORT_RESTRICTED, inbound_refresh=refreshes))
    seen = _sent(box, HOME, A)
    assert box.inward(seen, A, 100.0) == HOME
    assert (box.inward(seen, A, 200.0) == HOME) is refreshes


def test_who_was_sent_to_long_ago_is_filtered_though_the_mapping_lives() -> None:
    box = _box(nat.PORT_RESTRICTED)
    seen = _sent(box, HOME, A)
    assert _sent(box, HOME, B, 100.0) == seen
    assert box.inward(seen, A, 130.0) is None
    assert box.inward(seen, B, 130.0) == HOME


def test_ports_are_kept_if_they_are_free() -> None:
    """RFC 4787 §4.2.1: port preservation."""
    box = _box(replace(nat.FULL_CONE, ports=Ports.PRESERVED))
    assert _sent(box, HOME, A) == ("90.0.0.1", 20_000)
    second = _sent(box, ("10.0.0.11", 20_000), A)
    assert second[0] == "90.0.0.1"
    assert second[1] != 20_000


def test_ports_are_given_one_after_the_other() -> None:
    box = _box(replace(nat.SYMMETRIC, ports=Ports.SEQUENTIAL))
    ports = [_sent(box, HOME, (f"77.0.0.{number}", 1))[1] for number in range(1, 5)]
    assert [port - ports[0] for port in ports] == [0, 1, 2, 3]


def test_random_ports_are_neither_kept_nor_in_order_nor_given_twice() -> None:
    box = _box(nat.SYMMETRIC)
    ports = [_sent(box, HOME, (f"77.0.0.{number}", 1))[1] for number in range(1, 200)]
    assert len(set(ports)) == len(ports)
    assert HOME[1] not in ports
    assert sum(second == first + 1 for first, second in itertools.pairwise(ports)) == 0
    assert all(nat.FIRST_PORT <= port < nat.FIRST_PORT + nat.PORTS for port in ports)


def test_a_port_is_free_again_when_its_mapping_has_run_out() -> None:
    box = _box(nat.FULL_CONE)
    assert _sent(box, HOME, A) == _sent(box, HOME, A, 1_000.0)


def test_a_firewall_keeps_the_address_and_filters() -> None:
    box = _box(nat.FIREWALL)
    assert _sent(box, HOME, A) == HOME
    assert box.inward(HOME, A, 1.0) == HOME
    assert box.inward(HOME, A_OTHER_PORT, 1.0) is None
    assert box.dropped == 1


def test_where_udp_is_blocked_nothing_passes() -> None:
    box = _box(nat.UDP_BLOCKED)
    assert box.outward(HOME, A, 0.0) is None
    assert box.inward(HOME, A, 0.0) is None


def test_a_restarted_box_has_forgotten() -> None:
    box = _box(nat.FULL_CONE)
    seen = _sent(box, HOME, A)
    box.forget()
    assert box.inward(seen, A, 1.0) is None


def test_a_full_table_drops_until_mappings_have_run_out() -> None:
    box = _box(replace(nat.SYMMETRIC, mappings_max=100))
    others = [("77.0.0.1", port) for port in range(1, 102)]
    assert all(box.outward(HOME, other, 0.0) for other in others[:100])
    assert box.outward(HOME, others[100], 1.0) is None
    assert box.mappings() == 100
    assert box.outward(HOME, others[100], 121.0)
    assert box.mappings() == 1


def test_a_mapping_is_open_to_so_many_at_a_time() -> None:
    box = _box(nat.PORT_RESTRICTED)
    others = [(f"77.0.{number >> 8}.{number & 255}", 1) for number in range(nat.SESSIONS_MAX + 1)]
    seen = [box.outward(HOME, other, 0.0) for other in others]
    assert None not in seen[:-1]
    assert seen[-1] is None
    assert box.outward(HOME, others[-1], 121.0) is not None


def test_more_than_all_ports_cannot_be_given() -> None:
    box = _box(replace(nat.SYMMETRIC, mappings_max=nat.PORTS + 1))
    assert all(box.outward(HOME, ("77.0.0.1", port), 0.0) for port in range(nat.PORTS))
    assert box.outward(HOME, ("77.0.0.1", nat.PORTS), 0.0) is None
