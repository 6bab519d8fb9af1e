"""Hoarders fill super-nodes, and black holes get clients and pass nothing on."""

from simulations.hostile.hoarder import BlackHole, Hoarder
from simulations.hostile.hostile import Gang
from simulations.network.nat import PORT_RESTRICTED, PUBLIC
from simulations.workloads.calls import Calls
from simulations.workloads.signalling import UNREACHED, Fate
from tests.simulations.town import empty_town, town

CLIENTS_MAX = 8


def test_hoarders_take_every_flow_of_every_super_node() -> None:
    swarm = empty_town(1)
    swarm.limits.clients_max = CLIENTS_MAX
    supernodes = swarm.grow(3, volunteer=True, nat=PUBLIC, per_second=2.0)
    swarm.grow(6, nat=PUBLIC, per_second=2.0)
    swarm.world.run(30.0)
    gang = Gang(swarm)
    gang.recruit(Hoarder, CLIENTS_MAX + 2)
    swarm.world.run(60.0)
    relaying = [node.core.peer.crossing.relaying for node in supernodes]
    assert [each is not None and len(each) for each in relaying] == [CLIENTS_MAX] * 3
    assert gang.deeds["granted"] > 0
    assert gang.deeds["refused"] > 0
    client = swarm.grow(1, nat=PORT_RESTRICTED)[0]
    swarm.world.run(60.0)
    assert client.joined_at is not None
    assert not client.core.peer.crossing.rendezvous.flows, "nothing is left for an honest client"


def test_a_black_hole_keeps_flows_and_swallows_calls() -> None:
    swarm = town(7, 16)
    gang = Gang(swarm)
    holes = gang.recruit(BlackHole, 3)
    swarm.world.run(30.0)
    clients = swarm.grow(2, nat=PORT_RESTRICTED, per_second=4.0)
    swarm.world.run(60.0)
    for client in clients:
        flows = client.core.peer.crossing.rendezvous.flows
        assert {flow.node_key for flow in flows} == {hole.key for hole in holes}
    stranger = swarm.grow(1, nat=PUBLIC)[0]
    swarm.world.run(10.0)
    calls = Calls(None, swarm)
    call = calls.call(stranger, clients[0], fate=Fate(2.0, 10.0))
    swarm.world.run(60.0)
    assert call.outcome == UNREACHED
    assert gang.deeds["swallowed"] > 0
