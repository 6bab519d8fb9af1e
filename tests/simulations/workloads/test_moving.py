"""Moving users: how many, how often, and that they are found where they are now."""

import pytest

from simulations.network.nat import PUBLIC
from simulations.workloads.durations import Weibull
from simulations.workloads.moving import STAYS, Moving
from tests.simulations.town import find, people_of, town


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


def test_who_has_moved_is_found_at_the_new_address() -> None:
    swarm = town(3, 20)
    caller, mover = people_of(swarm)[:2]
    old = mover.endpoint.address
    swarm.move(mover, nat=PUBLIC)
    swarm.world.run(30.0)
    assert mover.endpoint.address != old
    registrations = find(swarm, caller, mover).registrations
    assert mover.endpoint.address in registrations[0].addresses
    assert old not in registrations[0].addresses
