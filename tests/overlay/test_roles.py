"""Whole overlays with NATs on virtual time: each kind gets its verdict and role, clients are in nobody's table, minds change."""

import pytest

from overlay.dialback import RETEST_SECONDS
from overlay.reachability import Filtering, Mapping, Role
from tests.overlay.nats import Nat
from tests.overlay.world import Node, World

VERDICTS = {
    Nat.NONE: (Role.PEER, Mapping.NONE, Filtering.ENDPOINT_INDEPENDENT),
    Nat.FULL_CONE: (Role.PEER, Mapping.ENDPOINT_INDEPENDENT, Filtering.ENDPOINT_INDEPENDENT),
    Nat.ADDRESS_RESTRICTED: (Role.CLIENT, Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT),
    Nat.PORT_RESTRICTED: (Role.CLIENT, Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    Nat.SYMMETRIC: (Role.CLIENT, Mapping.DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    Nat.FIREWALL: (Role.CLIENT, Mapping.NONE, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    Nat.ADDRESS_FIREWALL: (Role.CLIENT, Mapping.NONE, Filtering.ADDRESS_DEPENDENT),
}


def found(node: Node) -> tuple[Role, Mapping, Filtering]:
    """What a node thinks of itself."""
    verdict = node.peer.reach.verdict
    return verdict.role, verdict.mapping, verdict.filtering


def is_known(world: World, node: Node) -> bool:
    """Whether anybody's routing table holds the node."""
    return any(other.peer.table.find(node.key) for other in world.alive)


@pytest.mark.parametrize("count", [4, 5, 29])
@pytest.mark.parametrize("nat", list(Nat))
def test_each_nat_gets_its_verdict_and_role_while_it_joins(nat: Nat, count: int) -> None:
    world = World(seed=count)
    world.populate(count)
    node = world.add(nat=nat)
    world.join(node, world.nodes[count // 2])
    assert found(node) == VERDICTS[nat]
    assert node.peer.reach.verdict.proved is (VERDICTS[nat][0] is Role.PEER)
    world.run(2)
    assert is_known(world, node) is (VERDICTS[nat][0] is Role.PEER)


def test_a_street_of_all_kinds_of_nats_keeps_clients_out_of_all_tables() -> None:
    world = World(seed=31)
    world.populate(6)
    for number in range(24):
        node = world.add(nat=list(Nat)[number % len(Nat)])
        world.join(node, world.nodes[number % 6])
    world.run(900)
    assert {node: found(node) for node in world.nodes[6:]} == {
        node: VERDICTS[list(Nat)[number % len(Nat)]] for number, node in enumerate(world.nodes[6:])
    }
    assert max(len(node.verdicts) for node in world.nodes) <= 6
    clients = [node for node in world.nodes if node.peer.reach.is_client]
    assert len(clients) == 16
    assert [node for node in clients if is_known(world, node)] == []
    assert [node for node in clients if len(node.peer.store)] == []
    assert all(len(node.peer.table) for node in clients)


@pytest.mark.parametrize("seed", range(16))
def test_loss_makes_no_peer_a_client_for_long(seed: int) -> None:
    world = World(seed, loss=0.1)
    world.populate(10)
    world.run(60)
    assert [node for node in world.nodes if node.peer.reach.is_client] == []
    world.run(1_200)
    assert [node for node in world.nodes if node.peer.reach.is_client] == []


def test_a_client_finds_and_is_found() -> None:
    world = World(seed=32)
    world.populate(8)
    client = world.add("carol", nat=Nat.PORT_RESTRICTED)
    world.join(client, world.nodes[3])
    assert world.register(client).holders >= 5
    assert len(world.find(world.nodes[5], "carol@home.example").records) == 1
    world.register(world.nodes[1])
    assert len(world.find(client, world.nodes[1].device.certificate.addresses[0]).records) >= 1


def test_a_node_whose_nat_changes_changes_its_mind_when_it_is_told() -> None:
    world = World(seed=33)
    world.populate(12)
    node = world.add(nat=Nat.SYMMETRIC)
    world.join(node, world.nodes[3])
    assert found(node) == VERDICTS[Nat.SYMMETRIC]
    for number, nat in enumerate([Nat.FULL_CONE, Nat.PORT_RESTRICTED]):
        world.run(RETEST_SECONDS * 3)
        world.move(node, nat, host=f"10.77.0.{number}")
        node.peer.network_changed([node.address], world.now)
        world.pump(node)
        world.run(10)
        assert node.peer.reach.verdict.mapping is VERDICTS[nat][1]
        world.run(RETEST_SECONDS * 3)
        assert found(node)[0] is VERDICTS[nat][0], nat


def test_a_node_notices_by_itself_that_its_nat_has_changed() -> None:
    world = World(seed=34)
    world.populate(12)
    node = world.add(nat=Nat.FULL_CONE)
    world.join(node, world.nodes[3])
    assert found(node) == VERDICTS[Nat.FULL_CONE]
    world.move(node, Nat.PORT_RESTRICTED, host="10.77.0.1")
    world.run(60)
    verdict = node.peer.reach.verdict
    assert verdict.role is Role.CLIENT
    assert verdict.address is not None
    assert verdict.address[0] == "10.77.0.1"
    world.run(60)
    assert not is_known(world, node)


def test_nodes_on_one_host_are_peers_at_once_and_hold_one_another() -> None:
    world = World(seed=35)
    for number in range(10):
        node = world.add(address=("127.0.0.1", 5000 + 10 * number))
        assert not node.peer.reach.is_client
        if number:
            started = world.now
            world.join(node, world.nodes[number // 2])
            assert world.now - started < 1.5
        assert [verdict.role for verdict in node.verdicts if verdict.role is not Role.PEER] == []
    world.run(700)
    assert [node for node in world.nodes if node.peer.reach.is_client or not is_known(world, node)] == []


def test_nodes_of_one_home_network_are_peers_while_nobody_else_is_there() -> None:
    world = World(seed=36)
    first = world.add(nat=Nat.PORT_RESTRICTED)
    for _ in range(5):
        world.join(world.add(behind=first), first)
    world.run(30)
    assert [node for node in world.nodes if node.peer.reach.is_client] == []
    assert all(node.peer.reach.verdict.mapping is Mapping.NONE for node in world.nodes)


def test_the_first_node_behind_an_open_nat_is_proved_by_the_first_who_comes() -> None:
    world = World(seed=37)
    first = world.add(nat=Nat.FULL_CONE)
    other = world.add()
    assert first.box is not None
    outer = first.box.outward(first.address, ("10.9.9.9", 1), world.now)
    other.peer.greet(first.key, outer, world.now)
    world.pump(other)
    world.run(5)
    assert first.peer.reach.verdict.proved
    assert not first.peer.reach.is_client
    assert other.peer.table.find(first.key)


@pytest.mark.parametrize(("nat", "role"), [(Nat.FULL_CONE, Role.CLIENT), (Nat.PORT_RESTRICTED, Role.PEER)])
def test_a_setting_forces_the_role_and_leaves_the_facts(nat: Nat, role: Role) -> None:
    world = World(seed=38)
    world.populate(6)
    node = world.add(nat=nat, role=role)
    world.join(node, world.nodes[3])
    assert found(node)[:2] == (role, VERDICTS[nat][1])
    world.run(2)
    assert is_known(world, node) is (role is Role.PEER)
