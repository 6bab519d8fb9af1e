from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network import nat
from simulations.network.endpoint import ENDPOINT_PORTS_MAX, Endpoint
from simulations.network.model import Network
from simulations.network.plain import PlainNetwork


def _arrive(
    network: Network, sender: Endpoint, to: Address, now: float = 0.0
) -> tuple[Address, Endpoint | None] | None:
    for arrival, source in network.route(now, sender, to, 100):
        return source, network.deliver(arrival, to, source)
    return None


def test_public_hosts_reach_one_another_after_the_latency() -> None:
    network = PlainNetwork(Chance.seeded(1), latency=0.03)
    a, b = (network.endpoint(number, Chance.seeded(number)) for number in range(2))
    assert network.route(5.0, a, b.address, 100) == ((5.03, a.address),)
    assert network.deliver(5.03, b.address, a.address) is b
    assert network.deliver(5.03, (b.address[0], b.address[1] + 1), a.address) is None
    assert network.median_round_trip == 0.06


def test_a_probe_leaves_from_another_port() -> None:
    network = PlainNetwork(Chance.seeded(1))
    a, b = (network.endpoint(number, Chance.seeded(number)) for number in range(2))
    assert network.route(0.0, a, b.address, 100, port=7)[0][1] == (a.address[0], 7)


def test_losses_have_the_stated_share() -> None:
    network = PlainNetwork(Chance.seeded(1), loss=0.1)
    a, b = (network.endpoint(number, Chance.seeded(number)) for number in range(2))
    lost = sum(not network.route(0.0, a, b.address, 100) for _ in range(10_000))
    assert 900 < lost < 1_100


def test_a_private_address_is_reached_from_its_own_home_only() -> None:
    network = PlainNetwork(Chance.seeded(1))
    outer = network.endpoint(0, Chance.seeded(0))
    inner = network.endpoint(1, Chance.seeded(1), nat=nat.PORT_RESTRICTED)
    other = network.endpoint(2, Chance.seeded(2), behind=inner)
    assert _arrive(network, outer, inner.address) is None
    assert _arrive(network, other, inner.address) == (other.address, inner)


def test_a_host_behind_a_nat_is_answered() -> None:
    network = PlainNetwork(Chance.seeded(1))
    server = network.endpoint(0, Chance.seeded(0))
    client = network.endpoint(1, Chance.seeded(1), nat=nat.PORT_RESTRICTED)
    arrived = _arrive(network, client, server.address)
    assert arrived is not None
    seen = arrived[0]
    assert seen[0] != client.address[0]
    assert _arrive(network, server, seen) == (server.address, client)


def test_who_left_or_moved_is_not_there_any_more() -> None:
    network = PlainNetwork(Chance.seeded(1))
    a, b, c = (network.endpoint(number, Chance.seeded(number)) for number in range(3))
    old = b.address
    network.move(b, Chance.seeded(9))
    network.release(c)
    assert _arrive(network, a, old) is None
    assert _arrive(network, a, c.address) is None
    assert _arrive(network, a, b.address) == (a.address, b)


def test_a_host_listens_at_the_ports_that_it_opened() -> None:
    network = PlainNetwork(Chance.seeded(1))
    a, b = (network.endpoint(number, Chance.seeded(number)) for number in range(2))
    relay = (b.address[0], 50_000)
    assert network.deliver(0.0, relay, a.address) is None
    assert b.open(50_000)
    assert network.arrive(0.0, relay, a.address) == (b, 50_000)
    b.close(50_000)
    assert network.deliver(0.0, relay, a.address) is None


def test_a_host_opens_so_many_ports() -> None:
    endpoint = PlainNetwork(Chance.seeded(1)).endpoint(0, Chance.seeded(0))
    assert all(endpoint.open(port) for port in range(1, ENDPOINT_PORTS_MAX + 1))
    assert not endpoint.open(ENDPOINT_PORTS_MAX + 1)
