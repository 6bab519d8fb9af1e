"""Several devices of a person: how many, where they stand, and that a caller finds them all."""

import pytest

from simulations.network.nat import PUBLIC
from simulations.workloads.devices import SHARES, devices_of, settle_people
from tests.simulations.town import empty_town, find, town


def test_the_shares_add_up_and_are_kept() -> None:
    assert sum(SHARES) == pytest.approx(1.0)
    counts = [devices_of(number / 1_000) for number in range(1_000)]
    assert [counts.count(each) / 1_000 for each in (1, 2, 3, 4)] == pytest.approx(list(SHARES), abs=0.002)
    assert devices_of(0.9999999999999999, (0.3, 0.3)) == 2


def test_devices_of_a_person_have_one_address_and_keys_of_their_own() -> None:
    swarm = empty_town(1)
    people = settle_people(swarm, 30)
    assert 35 <= sum(len(devices) for devices in people) <= 65
    for devices in people:
        assert len({device.address for device in devices}) == 1
        assert len({device.key for device in devices}) == len(devices)
    assert len({devices[0].person for devices in people}) == 30


def test_devices_at_home_share_its_line() -> None:
    swarm = empty_town(2)
    people = settle_people(swarm, 20, shares=(0.0, 1.0), roaming=0.5)
    at_home = [one.endpoint.line is other.endpoint.line for one, other in people]
    assert 4 <= sum(at_home) <= 16


def test_a_caller_finds_both_devices_of_a_person() -> None:
    swarm = town(3, 10)
    devices = settle_people(swarm, 1, shares=(0.0, 1.0), roaming=1.0, nat=PUBLIC)[0]
    for device in devices:
        swarm.start(device)
    swarm.world.run(40.0)
    found = find(swarm, swarm.nodes[1], devices[0])
    assert {each.node_key for each in found.registrations} == {device.key for device in devices}
