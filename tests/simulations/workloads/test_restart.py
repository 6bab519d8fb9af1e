"""Mass restart and crashed super-nodes: who is hit, when they are back, and that the overlay is whole again."""

from simulations.network.nat import PUBLIC
from simulations.workloads.durations import LogNormal
from simulations.workloads.restart import SUPERNODES_CRASHED, bring_back, crash_supernodes, mass_restart
from tests.simulations.town import empty_town, pairs, people_of, share_found, town


def test_a_share_goes_down_within_seconds_and_comes_back_after_its_boot() -> None:
    swarm = town(1, 30)
    hit = mass_restart(swarm, 0.5, within_seconds=4.0, boots=LogNormal(0.2, 30.0))
    swarm.world.run(4.0)
    assert len(hit) == 15
    assert not any(node.alive for node in hit)
    assert sum(node.alive for node in people_of(swarm)) == 15
    swarm.world.run(120.0)
    assert all(node.alive and node.starts == 2 and node.joined_at is not None for node in hit)
    assert share_found(swarm, pairs(swarm, 20)) == 1.0


def test_super_nodes_that_crash_stay_away_until_they_are_brought_back() -> None:
    swarm = empty_town(2)
    supernodes = swarm.grow(12, volunteer=True, nat=PUBLIC, per_second=4.0)
    swarm.grow(6, nat=PUBLIC, per_second=4.0)
    swarm.world.run(40.0)
    hit = crash_supernodes(swarm)
    swarm.world.run(60.0)
    assert len(hit) == round(12 * SUPERNODES_CRASHED) == 3
    assert [node for node in supernodes if not node.alive] == sorted(hit, key=lambda node: node.number)
    bring_back(swarm, hit)
    swarm.world.run(300.0)
    assert all(node.alive for node in supernodes)
