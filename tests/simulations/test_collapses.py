"""Collapses in small, and that the checkers of recovery see what they are there for."""

from typing import Any, cast

import pytest

import simulations.scenarios  # noqa: F401 - registers
from p2psip.base.chance import Chance
from simulations.checker import Checker
from simulations.checkers.recovery import SAMPLES_MIN, NothingLost, Recovery, Window, recovered_at
from simulations.checkers.supernodes_stand import SuperNodesStand
from simulations.lookups import LookedUp
from simulations.network.internet import Internet
from simulations.network.nat import SYMMETRIC
from simulations.nodes import Node
from simulations.results import Result
from simulations.run import Run, run_scenario
from simulations.swarm import Swarm

LEAST = 0.99


def windows(*found: tuple[int, int]) -> list[Window]:
    """Windows of a quarter of a minute from 0 on."""
    return [Window(15.0 * (place + 1), hits, tries) for place, (hits, tries) in enumerate(found)]


@pytest.mark.parametrize(
    ("found", "at"),
    [
        ([(60, 60)] * 20, 0.0),
        (
            [(60, 60), (59, 60), (60, 60), (59, 60), *[(60, 60)] * 10],
            0.0,
        ),  # one miss is 98.3 % of a window, and no more
        ([(30, 60), (50, 60), *[(60, 60)] * 20], 30.0),
        ([(60, 60)] * 9 + [(50, 60)] + [(60, 60)] * 9, 150.0),
        ([(59, 60)] * 20, None),  # each may be chance, all together are none
        ([(58, 60)] * 10 + [(60, 60)] * 20, 30.0),
        ([(60, 60)] * 5 + [(20, 60)], None),
        ([(0, 0)] * 3, 0.0),
    ],
)
def test_when_a_network_has_recovered(found: list[tuple[int, int]], at: float | None) -> None:
    assert recovered_at(windows(*found), LEAST) == at


class Bench:
    """A run with a bootstrap server only, whose lookups are made up."""

    def __init__(self, *checkers: Checker) -> None:
        self.run = Run("test", 1)
        self.swarm = self.run.swarm(network=Internet(Chance.seeded(1), survey=None))
        self.run.check(*checkers)

    def look_up(self, seconds: int, *, missed_each: int = 0) -> None:
        """Four lookups a second; one in `missed_each` fails."""
        node = self.swarm.bootstrap
        for number in range(1, 4 * seconds + 1):
            found = not missed_each or number % missed_each != 0
            looked = LookedUp(node, node, cast(Any, None), True, found, False, 0.1)
            self.run.observe(node, looked, self.run.now)
            if number % 4 == 0:
                self.run.for_seconds(1)

    def figures(self) -> dict[str, Any]:
        """The figures of the finished run."""
        self.run.finish()
        return {figure.name: figure.value for figure in self.run.recorder.figures}


RECOVERED = "lookups that succeed: recovered after the end of the fault"


def test_a_fault_shorter_than_a_window_is_seen_and_its_recovery_measured() -> None:
    recovery = Recovery()
    bench = Bench(recovery)
    bench.look_up(17)
    bench.run.break_world()
    bench.look_up(3)
    bench.run.heal_world()
    bench.look_up(40, missed_each=2)
    bench.look_up(200)
    assert 30 <= bench.figures()[RECOVERED] <= 60
    assert recovery.passed


def test_one_lookup_in_fifty_that_fails_for_ever_is_no_recovery() -> None:
    recovery = Recovery()
    bench = Bench(recovery)
    bench.run.break_world()
    bench.run.heal_world()
    bench.look_up(400, missed_each=50)
    assert bench.figures()[RECOVERED] is None
    assert "lookups that succeed had not recovered" in recovery.detail


def test_a_recovery_that_takes_too_long_fails() -> None:
    recovery = Recovery(seconds_max=30)
    bench = Bench(recovery)
    bench.run.break_world()
    bench.run.heal_world()
    bench.look_up(60, missed_each=2)
    bench.look_up(200)
    bench.run.finish()
    assert "had not recovered for 60 s" in recovery.detail


def test_no_fault_and_too_few_lookups_show_nothing() -> None:
    for breaks in (False, True):
        recovery = Recovery()
        bench = Bench(recovery)
        if breaks:
            bench.run.break_world()
            bench.run.heal_world()
        bench.look_up((SAMPLES_MIN - 4) // 4 if breaks else SAMPLES_MIN)
        bench.run.finish()
        assert "nothing is shown" in recovery.detail


class Village:
    """Some public peers, of whom the first are super-nodes, and clients behind NATs."""

    def __init__(self, *checkers: Checker, supernodes: int = 2, clients: int = 3, clients_max: int = 100) -> None:
        self.run = Run("test", 1)
        self.swarm: Swarm = self.run.swarm(network=Internet(Chance.seeded(1), survey=None, loss=0.0))
        self.swarm.limits.clients_max = clients_max
        peers = [self.swarm.add(volunteer=number < supernodes) for number in range(8)]
        self.clients = [self.swarm.add(nat=SYMMETRIC) for _ in range(clients)]
        self.supernodes = peers[:supernodes]
        self.swarm.start_all([*peers, *self.clients])
        self.run.for_seconds(self.swarm.grown_at - self.run.now + 60)
        self.run.check(*checkers)

    def flows(self, node: Node) -> int:
        """How many flows a client has."""
        return len(node.core.peer.crossing.rendezvous.flows)


def test_clients_without_a_flow_are_noticed() -> None:
    recovery = Recovery()
    village = Village(recovery, supernodes=0)
    village.run.break_world()
    village.run.heal_world()
    bench_lookups(village.run, SAMPLES_MIN)
    village.run.finish()
    assert "clients with a flow had not recovered" in recovery.detail


def bench_lookups(run: Run, count: int) -> None:
    """So many lookups that succeed, in half a minute."""
    node = run.swarms[0].bootstrap
    for _number in range(count):
        run.observe(node, LookedUp(node, node, cast(Any, None), True, True, False, 0.1), run.now)
    run.for_seconds(31)


def test_a_super_node_over_its_bound_and_one_that_has_ceased_are_noticed() -> None:
    stand = SuperNodesStand()
    village = Village(stand)
    village.run.for_seconds(3)
    assert stand.passed
    crossing = village.supernodes[0].core.peer.crossing
    assert crossing.relaying is not None
    crossing.relaying.clients_max = 0
    village.run.for_seconds(2)
    assert "0 are its bound" in stand.findings[0]
    crossing.relaying = None
    village.run.for_seconds(2)
    assert "has ceased to be a super-node" in stand.findings[-1]


def test_no_super_node_shows_nothing() -> None:
    stand = SuperNodesStand()
    Bench(stand).run.finish()
    assert "nothing is shown" in stand.detail


def test_flows_that_are_lost_to_super_nodes_that_stay_up_are_noticed() -> None:
    lost = NothingLost(bare_seconds_max=5.0)
    village = Village(lost)
    village.run.for_seconds(10)
    assert lost.passed
    assert lost.watched
    client = village.clients[0]
    client.core.peer.crossing.rendezvous.keep(0, village.run.now)
    village.run.for_seconds(20)
    assert f"client {client.number} has lost its flows" in lost.detail


def test_where_room_is_scarce_all_clients_have_a_flow() -> None:
    village = Village(NothingLost(), SuperNodesStand(), supernodes=3, clients=10, clients_max=8)
    village.run.for_seconds(30)
    assert min(village.flows(client) for client in village.clients) >= 1
    late = [village.swarm.add(nat=SYMMETRIC) for _ in range(2)]
    village.swarm.start_all(late)
    village.run.for_seconds(60)
    assert min(village.flows(client) for client in [*village.clients, *late]) >= 1
    village.run.finish()
    assert [each.detail for each in village.run.checkers if not each.passed] == []


def collapse(name: str, **parameters: str) -> Result:
    """A small run of a scenario."""
    return run_scenario(name, {"peers": "24", "minutes": "2", "volunteers": "1.0", **parameters}, 1)


@pytest.mark.parametrize("name", ["mass-restart", "supernode-collapse"])
def test_a_small_network_recovers(name: str) -> None:
    result = collapse(name)
    failed = {check.name: check.detail for check in result.checks if not check.passed}
    assert {"recovery", "nothing-lost", "super-nodes-stand", "bounds"}.isdisjoint(failed), failed
    assert result.tables["recovery"]


def test_the_same_seed_gives_the_same_collapse() -> None:
    assert len({collapse("supernode-collapse", minutes="0.3").trace_hash for _ in range(2)}) == 1
