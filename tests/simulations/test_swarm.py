"""The swarm: nodes join, are found, vanish, come back and move."""

import pytest

from overlay.participant import FoundDone
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError
from simulations import swarm as swarm_module
from simulations.lookups import LookedUp, Lookups
from simulations.network.internet import Internet
from simulations.network.nat import PORT_RESTRICTED, PUBLIC
from simulations.nodes import Node
from simulations.run import Run
from simulations.swarm import Swarm

NODES = 15


def a_swarm(*, nodes: int = NODES, sealing: str = "stand-in") -> tuple[Run, Swarm, list[Node]]:
    run = Run("test", 1, sealing=sealing)
    swarm = run.swarm(network=Internet(Chance.seeded(1), survey=None, loss=0.0))
    people = swarm.grow(nodes)
    run.for_seconds(swarm.grown_at - run.now + 30)
    return run, swarm, people


def look_up(run: Run, swarm: Swarm, node: Node, target: Node) -> LookedUp:
    ends: list[LookedUp] = []
    Lookups(run, swarm).look_up(node, target, ends.append)
    assert swarm.world.run_until(lambda: bool(ends), 30)
    return ends[0]


@pytest.mark.parametrize("sealing", ["real", "stand-in"])
def test_all_join_and_find_one_another(sealing: str) -> None:
    run, swarm, people = a_swarm(sealing=sealing)
    assert all(node.joined_at is not None and node.registered_at is not None for node in people)
    looked = look_up(run, swarm, people[1], people[2])
    assert (looked.live, looked.found, looked.stale) == (True, True, False)
    assert run.recorder.tables()["lookups"][0]["found"] is True


def test_who_crashed_is_offered_until_the_registration_ends_and_not_after() -> None:
    run, swarm, people = a_swarm()
    swarm.crash(people[3])
    assert len(swarm.alive) == NODES  # the bootstrap server's node counts
    looked = look_up(run, swarm, people[1], people[3])
    assert (looked.live, looked.found, looked.stale) == (False, False, True)
    run.for_minutes(11)
    looked = look_up(run, swarm, people[1], people[3])
    assert (looked.stale, looked.result.registrations) == (False, ())
    assert looked.result.name_exists


def test_who_leaves_withdraws() -> None:
    run, swarm, people = a_swarm()
    swarm.leave(people[3])
    run.for_seconds(10)
    assert not people[3].alive
    looked = look_up(run, swarm, people[1], people[3])
    assert (looked.live, looked.stale) == (False, False)


def test_who_comes_back_has_its_keys_and_knows_peers_without_the_bootstrap_server() -> None:
    run, swarm, people = a_swarm()
    node = people[3]
    swarm.crash(node)
    swarm.crash(swarm.bootstrap)
    assert swarm.introducers() == []
    assert node.remembered
    run.for_seconds(60)
    swarm.start(node)
    run.for_seconds(60)
    assert node.starts == 2
    assert look_up(run, swarm, people[1], node).found


def test_who_moves_is_found_at_the_new_address() -> None:
    run, swarm, people = a_swarm()
    node, before = people[3], people[3].endpoint.address
    swarm.move(node, nat=PUBLIC)
    assert node.endpoint.address != before
    run.for_seconds(90)
    looked = look_up(run, swarm, people[1], node)
    assert looked.found
    addresses = [address for each in looked.result.registrations for address in each.addresses]
    assert addresses == [node.endpoint.address]


def test_a_client_is_found_through_super_nodes() -> None:
    run = Run("test", 1)
    swarm = run.swarm(network=Internet(Chance.seeded(1), survey=None, loss=0.0))
    peers = swarm.grow(10, volunteer=True)
    run.for_seconds(swarm.grown_at - run.now + 30)
    client = swarm.add(nat=PORT_RESTRICTED)
    swarm.start(client)
    run.for_seconds(60)
    assert client.core.peer.reach.is_client
    found = look_up(run, swarm, peers[1], client).result
    assert found.registrations[0].addresses == ()
    assert len(found.registrations[0].rendezvous) == 3
    swarm.say(peers[1], found, b"hello")
    run.for_seconds(2)
    assert client.received > 0


def test_a_lookup_that_nobody_waits_for_any_more_is_dropped() -> None:
    _run, swarm, people = a_swarm()
    ends: list[FoundDone] = []
    swarm.find(people[1], people[2].address, ends.append)
    swarm.crash(people[1])
    swarm.world.run(30)
    assert ends == []


def test_the_population_draws_fairly_and_keeps_count() -> None:
    _run, swarm, people = a_swarm()
    chance = Chance.seeded(3)
    drawn = {swarm.alive.draw(chance).number for _ in range(300)}
    assert len(drawn) == NODES + 1
    swarm.alive.discard(people[0])
    swarm.alive.discard(people[0])
    assert people[0] not in swarm.alive
    assert len(swarm.alive.sample(chance, 100)) == NODES


def test_a_swarm_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm_module, "NODES_MAX", 3)
    run = Run("test", 1)
    swarm = run.swarm(network=Internet(Chance.seeded(1), survey=None))
    swarm.add()
    swarm.add()
    with pytest.raises(LocalError, match="at most 3 nodes"):
        swarm.add()
