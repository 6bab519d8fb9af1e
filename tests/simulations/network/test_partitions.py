from p2psip.base.chance import Chance
from simulations.network import nat
from simulations.network.endpoint import Endpoint, Line
from simulations.network.internet import Internet
from simulations.network.partitions import CUTS_MAX, Cut, Part, Partitions
from simulations.network.plain import PlainNetwork
from simulations.network.survey import CARRIER_GRADE


def _internet() -> Internet:
    return Internet(Chance.seeded(1), survey=None, loss=0.0, copies=0.0, late=0.0)


def _host(network: Internet | PlainNetwork, number: int, region: int, kind: nat.NatKind = nat.PUBLIC) -> Endpoint:
    return network.endpoint(number, Chance.seeded(number), region=region, nat=kind)


def _reaches(network: Internet | PlainNetwork, a: Endpoint, b: Endpoint, now: float) -> bool:
    return any(network.deliver(when, b.address, source) is b for when, source in network.route(now, a, b.address, 50))


def test_a_cut_region_is_reached_from_within_only_until_it_heals() -> None:
    network = _internet()
    a, b, c = (_host(network, number, region) for number, region in enumerate((3, 3, 6)))
    assert network.partitions.cut_regions([3], 100.0, 200.0)
    for now, reached in ((98.0, True), (100.0, False), (199.0, False), (200.0, True)):
        assert _reaches(network, a, c, now) is reached
        assert _reaches(network, c, a, now) is reached
        assert _reaches(network, a, b, now)
    assert network.partitions.cuts == []


def test_two_regions_are_cut_apart_and_a_third_reaches_both() -> None:
    network = _internet()
    a, b, c = (_host(network, number, region) for number, region in enumerate((0, 4, 6)))
    assert network.partitions.cut_regions([0], 100.0, 200.0, other=[4])
    assert not _reaches(network, a, b, 150.0)
    assert not _reaches(network, b, a, 150.0)
    assert _reaches(network, a, c, 150.0)
    assert _reaches(network, c, b, 150.0)


def test_what_is_under_way_when_the_cut_comes_is_lost() -> None:
    network = _internet()
    a, b = (_host(network, number, region) for number, region in enumerate((3, 6)))
    assert network.partitions.cut_regions([3], 100.0, 200.0)
    ((arrival, source),) = network.route(99.99, a, b.address, 50)
    assert arrival > 100.0
    assert network.deliver(arrival, b.address, source) is None


def test_in_an_outage_a_region_does_not_reach_itself_but_homes_do() -> None:
    network = _internet()
    a, b, c, d = (_host(network, number, region) for number, region in enumerate((3, 3, 6, 6)))
    home = _host(network, 5, 3, nat.FULL_CONE)
    inside = network.endpoint(6, Chance.seeded(6), behind=home)
    assert network.partitions.black_out(3, 100.0, 200.0)
    assert not _reaches(network, a, b, 150.0)
    assert not _reaches(network, a, c, 150.0)
    assert _reaches(network, c, d, 150.0)
    assert _reaches(network, home, inside, 150.0)
    assert _reaches(network, a, b, 200.0)


def test_a_random_share_is_cut_off() -> None:
    network = _internet()
    hosts = [_host(network, number, 3) for number in range(200)]
    assert network.partitions.cut_share(0.3, 0.0, 10.0)
    first = next(host for host in hosts if host.line.lot >= 0.3)
    reached = sum(_reaches(network, first, other, 5.0) for other in hosts if other is not first)
    assert 120 < reached < 160


def test_homes_behind_a_carrier_are_on_the_side_of_their_own_line() -> None:
    network = PlainNetwork(Chance.seeded(1))
    server = _host(network, 0, 3)
    home = _host(network, 1, 3, CARRIER_GRADE)
    ((when, seen),) = network.route(0.0, home, server.address, 50)
    home.line.lot, server.line.lot = 0.1, 0.9
    assert network.deliver(when, server.address, seen) is server
    assert network.partitions.cut_share(0.5, 0.0, 10.0)
    assert network.deliver(when, server.address, seen) is None
    assert network.route(1.0, server, seen, 50) == ()
    assert network.deliver(1.0, seen, server.address) is None


def test_all_heals_at_once() -> None:
    network = PlainNetwork(Chance.seeded(1))
    a, b = (_host(network, number, region) for number, region in enumerate((0, 1)))
    assert network.partitions.cut_regions([0], 0.0, 1_000.0)
    assert not _reaches(network, a, b, 5.0)
    network.partitions.heal()
    assert _reaches(network, a, b, 5.0)


def test_there_are_so_many_cuts() -> None:
    partitions = Partitions()
    cut = Cut(0.0, 1.0, Part((0,)))
    assert all(partitions.cut(cut) for _ in range(CUTS_MAX))
    assert not partitions.cut(cut)
    assert partitions.apart(0.5, Line(0), Line(1))
