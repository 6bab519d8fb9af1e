"""Churn keeps the population, is stationary from its first second, and is the same for the same seed."""

import pytest

from simulations.hostile.hostile import Gang
from simulations.hostile.silent import Dropper
from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.churn import Churn, is_person
from simulations.workloads.durations import Weibull
from simulations.workloads.sessions import absences, sessions
from tests.simulations.town import people_of, town


class Comings:
    """Counts what becomes of nodes."""

    def __init__(self, swarm: Swarm) -> None:
        self.counts: dict[str, int] = {}
        swarm.listeners.append(self)

    def observe(self, node: Node, event: object, now: float) -> None:
        """As listener of the swarm."""
        if isinstance(event, str):
            self.counts[event] = self.counts.get(event, 0) + 1


def churning(seed: int, **fields: float) -> tuple[Swarm, Churn]:
    """Twenty people with sessions of two minutes, and others who are away for as long."""
    swarm = town(seed, 20)
    churn = Churn(swarm, sessions(2.0), absences(2.0), **fields)  # type: ignore[arg-type]
    churn.begin()
    return swarm, churn


def test_about_as_many_are_up_at_any_time_as_at_the_beginning() -> None:
    swarm, churn = churning(1)
    alive = []
    for _ in range(16):
        swarm.world.run(30.0)
        alive.append(sum(is_person(node) for node in swarm.alive))
    assert sum(alive) / len(alive) == pytest.approx(20, rel=0.25)
    assert min(alive) > 8
    assert churn.returns > 30
    assert len(people_of(swarm)) == 40


def test_departures_come_at_the_rate_of_the_mean_from_the_beginning() -> None:
    """In a stationary process so many leave in any time as the mean session says; fresh sessions would leave faster at first."""
    counts = []
    for seed in (2, 3):
        swarm, churn = churning(seed)
        swarm.world.run(120.0)
        counts.append(churn.departures)
    assert sum(counts) / 2 == pytest.approx(20, rel=0.4)


def test_the_share_of_crashes_is_the_stated_one() -> None:
    swarm, churn = churning(4, crash_share=1.0)
    comings = Comings(swarm)
    swarm.world.run(120.0)
    assert churn.departures == churn.crashes == comings.counts["crashed"]
    assert "left" not in comings.counts
    swarm, churn = churning(4, crash_share=0.0)
    comings = Comings(swarm)
    swarm.world.run(120.0)
    assert churn.crashes == 0
    assert comings.counts["left"] > 0


def test_who_comes_back_is_the_same_device_and_remembers_peers() -> None:
    swarm, _churn = churning(5)
    before = {node.number: node.key for node in swarm.nodes}
    swarm.world.run(240.0)
    back = [node for node in swarm.nodes if node.starts > 1 and node.alive]
    assert back
    assert all(node.key == before[node.number] and node.remembered for node in back)
    assert sum(node.joined_at is not None for node in back) >= 0.9 * len(back)


def test_hostile_nodes_and_the_bootstrap_server_stay() -> None:
    swarm = town(6, 12)
    hostile = Gang(swarm).recruit(Dropper, 3)
    churn = Churn(swarm, Weibull(1.0, 20.0), Weibull(1.0, 20.0))
    churn.begin(absent=[])
    swarm.world.run(120.0)
    assert churn.departures > 12
    assert all(node.starts == 1 and node.alive for node in [*hostile, swarm.bootstrap])


def test_a_newcomer_takes_part_and_stopping_stops() -> None:
    swarm = town(7, 6)
    churn = Churn(swarm, Weibull(1.0, 5.0), Weibull(1.0, 5.0))
    newcomer = swarm.grow(1)[0]
    swarm.world.run(5.0)
    churn.admit(newcomer)
    swarm.world.run(60.0)
    assert newcomer.starts > 1
    churn.stop()
    departures = churn.departures
    swarm.world.run(60.0)
    assert churn.departures == departures


def test_who_was_restarted_by_somebody_else_comes_and_goes_on() -> None:
    swarm = town(9, 8)
    churn = Churn(swarm, Weibull(1.0, 10.0), Weibull(1.0, 10.0))
    churn.begin(absent=[])
    for node in people_of(swarm):
        swarm.crash(node)
        swarm.start(node)
    swarm.world.run(120.0)
    assert all(node.starts > 3 for node in people_of(swarm))


def test_the_same_seed_churns_the_same() -> None:
    hashes = []
    for _ in range(2):
        swarm, _churn = churning(8)
        swarm.world.run(60.0)
        hashes.append(swarm.world.trace.hexdigest())
    assert hashes[0] == hashes[1]
