"""Boxes behind boxes, hairpins and homes, on the plain network."""

from dataclasses import replace

import pytest

from overlay.contact import network_of
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network import nat
from simulations.network.addresses import PRIVATE_NETWORKS_MAX, REGISTRIES, SHARED_HOSTS_MAX, SHARED_NETWORK, Addresses
from simulations.network.endpoint import Endpoint
from simulations.network.places import HOME_HOSTS_MAX, SUBSCRIBERS_MAX
from simulations.network.plain import PlainNetwork
from simulations.network.survey import CARRIER, CARRIER_GRADE, CARRIER_GRADE_SYMMETRIC, HANDSET


def _network() -> tuple[PlainNetwork, Endpoint]:
    network = PlainNetwork(Chance.seeded(1))
    return network, network.endpoint(0, Chance.seeded(b"server"))


def _host(network: PlainNetwork, number: int, kind: nat.NatKind, behind: Endpoint | None = None) -> Endpoint:
    return network.endpoint(number, Chance.seeded(number), nat=kind, behind=behind)


def _seen(network: PlainNetwork, sender: Endpoint, to: Address, now: float = 0.0) -> Address:
    ((_, source),) = network.route(now, sender, to, 100)
    return source


def _reaches(network: PlainNetwork, sender: Endpoint, to: Address, now: float = 1.0) -> Endpoint | None:
    for arrival, source in network.route(now, sender, to, 100):
        return network.deliver(arrival, to, source)
    return None


@pytest.mark.parametrize("hairpin", [False, True])
def test_hosts_of_one_home_reach_one_another_by_the_outer_address_only_over_a_hairpin(hairpin: bool) -> None:
    """RFC 4787 §6, REQ-9."""
    network, server = _network()
    a = _host(network, 1, replace(nat.FULL_CONE, hairpin=hairpin))
    b = _host(network, 2, nat.PUBLIC, behind=a)
    seen = _seen(network, b, server.address)
    assert (_reaches(network, a, seen) is b) is hairpin
    assert _reaches(network, a, b.address) is b


def test_a_hairpin_shows_the_outer_source() -> None:
    """RFC 4787 §6, REQ-9 a."""
    network, server = _network()
    a = _host(network, 1, replace(nat.FULL_CONE, hairpin=True))
    b = _host(network, 2, nat.PUBLIC, behind=a)
    outer_a, outer_b = _seen(network, a, server.address), _seen(network, b, server.address)
    assert _seen(network, a, outer_b) == outer_a


def test_a_carrier_grade_nat_is_a_second_box() -> None:
    network, server = _network()
    a = _host(network, 1, CARRIER_GRADE)
    seen = _seen(network, a, server.address)
    assert a.box is not None
    assert a.box.outside is not None
    assert a.box.host.startswith("100.64.")
    assert seen[0] == a.box.outside.host
    assert network_of(seen[0]) is not None
    assert _reaches(network, server, seen) is a
    stranger = _host(network, 2, nat.PUBLIC)
    assert _reaches(network, stranger, seen) is None


@pytest.mark.parametrize("hairpin", [False, True])
def test_neighbours_behind_one_carrier_meet_over_its_hairpin(hairpin: bool) -> None:
    kind = replace(CARRIER_GRADE, before=replace(CARRIER, hairpin=hairpin))
    network, server = _network()
    a, b = _host(network, 1, kind), _host(network, 2, kind)
    seen_a, seen_b = _seen(network, a, server.address), _seen(network, b, server.address)
    assert seen_a[0] == seen_b[0]
    _reaches(network, a, seen_b)
    assert (_reaches(network, b, seen_a) is a) is hairpin
    assert (_reaches(network, a, seen_b) is b) is hairpin


def test_behind_a_symmetric_carrier_each_destination_sees_another_port() -> None:
    network, server = _network()
    other = _host(network, 2, nat.PUBLIC)
    a = _host(network, 1, CARRIER_GRADE_SYMMETRIC)
    assert _seen(network, a, server.address) != _seen(network, a, other.address)


def test_a_home_of_the_same_carrier_is_a_neighbour_by_its_shared_address() -> None:
    network, server = _network()
    a = _host(network, 1, replace(CARRIER_GRADE, filtering=nat.Rule.ENDPOINT_INDEPENDENT))
    b = _host(network, 2, CARRIER_GRADE)
    _seen(network, a, server.address)
    assert a.box is not None
    shared = (a.box.host, a.address[1])
    assert _reaches(network, b, shared) is a
    assert _reaches(network, server, shared) is None


def test_a_firewalled_host_has_a_public_address_that_answers_whom_it_asked() -> None:
    network, server = _network()
    a = _host(network, 1, nat.FIREWALL)
    assert network_of(a.address[0]) is not None
    assert _reaches(network, server, a.address) is None
    assert _reaches(network, a, server.address) is server
    assert _reaches(network, server, a.address) is a


def test_punched_holes_let_two_port_restricted_homes_talk() -> None:
    network, server = _network()
    a, b = (_host(network, number, nat.PORT_RESTRICTED) for number in (1, 2))
    seen_a, seen_b = _seen(network, a, server.address), _seen(network, b, server.address)
    assert _reaches(network, a, seen_b) is None
    assert _reaches(network, b, seen_a) is a
    assert _reaches(network, a, seen_b) is b


def test_a_symmetric_and_a_port_restricted_home_do_not_meet() -> None:
    network, server = _network()
    a, b = _host(network, 1, nat.SYMMETRIC), _host(network, 2, nat.PORT_RESTRICTED)
    seen_a, seen_b = _seen(network, a, server.address), _seen(network, b, server.address)
    for _ in range(3):
        assert _reaches(network, a, seen_b) is None
        assert _reaches(network, b, seen_a) is None


def test_boxes_that_nobody_is_behind_are_gone() -> None:
    network, server = _network()
    hosts = [_host(network, number, kind) for number, kind in enumerate((CARRIER_GRADE, nat.FIREWALL, nat.FULL_CONE))]
    hosts.append(_host(network, 5, nat.PUBLIC, behind=hosts[2]))
    for host in hosts:
        network.release(host)
    assert list(network._hosts) == [server.address[0]]
    assert network._carriers == {}


def test_who_moves_leaves_box_and_carrier_behind() -> None:
    network, server = _network()
    a = _host(network, 1, CARRIER_GRADE)
    old = _seen(network, a, server.address)
    network.move(a, Chance.seeded(7), nat=nat.PUBLIC)
    assert _reaches(network, server, old) is None
    assert _reaches(network, server, a.address) is a
    assert len(network._hosts) == 2


def test_a_handset_is_right_behind_its_carrier() -> None:
    network, server = _network()
    a = _host(network, 1, HANDSET)
    tethered = _host(network, 2, nat.PUBLIC, behind=a)
    seen = _seen(network, a, server.address)
    assert a.box is not None
    assert a.box.outside is None
    assert seen[0] == a.box.host != a.address[0]
    assert _reaches(network, server, seen) is a
    assert _reaches(network, server, a.address) is None
    assert _reaches(network, tethered, a.address) is a
    assert network.line_of(a.box, seen) is a.line
    for host in (a, tethered):
        network.release(host)
    assert list(network._hosts) == [server.address[0]]


def test_a_full_carrier_is_followed_by_another() -> None:
    network, _ = _network()
    hosts = [_host(network, number, CARRIER_GRADE) for number in range(SUBSCRIBERS_MAX + 1)]
    carriers = [host.box.outside for host in hosts if host.box]
    assert carriers[0] is carriers[SUBSCRIBERS_MAX - 1]
    assert carriers[SUBSCRIBERS_MAX] is not carriers[0]


def test_a_home_has_room_for_so_many_hosts() -> None:
    network, _ = _network()
    first = _host(network, 0, nat.FULL_CONE)
    for number in range(HOME_HOSTS_MAX):
        _host(network, number, nat.PUBLIC, behind=first)
    with pytest.raises(AssertionError):
        _host(network, 99, nat.PUBLIC, behind=first)


def test_public_addresses_look_public_are_given_once_and_lie_in_many_networks() -> None:
    chance = Chance.seeded(3)
    addresses = Addresses()
    given = [addresses.public(registry, chance) for registry in REGISTRIES for _ in range(2_000)]
    assert len(set(given)) == len(given)
    networks = [network_of(host) for host in given]
    assert None not in networks
    alone = len(set(networks)) / len(given)
    assert abs(alone - (1.0 - SHARED_NETWORK)) < 0.02


def test_a_full_network_gives_an_address_of_another() -> None:
    chance = Chance.seeded(3)
    addresses = Addresses()
    given = [addresses.beside("77.7.7.0", chance) for _ in range(255)]
    assert len({network_of(host) for host in given[:254]}) == 1
    assert not given[254].startswith("77.7.7.")


def test_private_networks_and_shared_addresses_are_given_once_and_run_out() -> None:
    addresses = Addresses()
    homes = [addresses.home() for _ in range(PRIVATE_NETWORKS_MAX)]
    assert len(set(homes)) == PRIVATE_NETWORKS_MAX
    assert homes[-1] == "10.255.255.10"
    with pytest.raises(AssertionError):
        addresses.home()
    assert addresses.shared() == "100.64.0.1"
    addresses._shared = SHARED_HOSTS_MAX - 3
    assert addresses.shared() == "100.127.255.254"
    with pytest.raises(AssertionError):
        addresses.shared()
