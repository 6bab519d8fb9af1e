"""Moving users: how many, how often, and that they are found where they are now."""

import pytest

from simulations.network.nat import PUBLIC
from simulations.workloads.durations import Weibull
from simulations.workloads.moving import STAYS, Moving
from tests.simulations.town import find, people_of, town

MOVING_SECONDS = 10.0
"""After so long who has moved is found there."""


def test_people_stay_two_hours_on_average() -> None:
    assert STAYS.mean == pytest.approx(7_200.0)


def test_movers_move_and_the_others_stay() -> None:
    swarm = town(1, 30)
    before = {node.number: node.endpoint.address for node in people_of(swarm)}
    moving = Moving(swarm, movers=0.3, stays=Weibull(1.0, 60.0))
    moving.begin()
    swarm.world.run(240.0)
    moved = [node for node in people_of(swarm) if node.endpoint.address != before[node.number]]
    assert 3 <= len(moved) <= 16
    assert moving.moves == pytest.approx(4 * len(moved), rel=0.6)
    assert swarm.bootstrap not in moved


@pytest.mark.slow
def test_who_has_moved_is_found_at_the_new_address_by_all_whoever_has_come_and_gone_before() -> None:
    """Holders hand copies to newcomers, of whom the author knows nothing: these show the old address until they expire."""
    asked, found = 0, 0
    for seed in range(1, 11):
        swarm = town(seed, 20)
        people = people_of(swarm)
        for node in people[-6:]:
            swarm.crash(node)
        swarm.grow(9, nat=PUBLIC, per_second=1.0)
        swarm.world.run(60.0)
        for mover in people[:2]:
            old = mover.endpoint.address
            swarm.move(mover, nat=PUBLIC)
            swarm.world.run(MOVING_SECONDS)
            assert mover.endpoint.address != old
            for caller in people_of(swarm):
                if caller.alive and caller is not mover:
                    asked += 1
                    found += [each.addresses for each in find(swarm, caller, mover).registrations] == [
                        (mover.endpoint.address,)
                    ]
    assert asked == 10 * 2 * 22
    assert found >= 0.99 * asked
