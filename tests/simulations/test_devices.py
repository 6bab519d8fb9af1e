"""Persons with more devices than an answer has room for: all are found, but not those that have left."""

from simulations.nodes import Node
from simulations.swarm import Swarm
from tests.simulations.town import find, people_of, town

PEOPLE = 12
DEVICES = 5


def found_by(swarm: Swarm, asker: Node, person: Node) -> set[bytes]:
    """The node keys of the devices that this asker finds."""
    return {each.node_key for each in find(swarm, asker, person).registrations}


def test_all_five_devices_of_a_person_are_found_and_one_that_has_left_is_not() -> None:
    swarm = town(3, PEOPLE)
    askers = people_of(swarm)
    devices = [swarm.add(person="family") for _ in range(DEVICES)]
    swarm.start_all(devices, per_second=1.0)
    swarm.world.run(DEVICES + 30)
    keys = {device.key for device in devices}
    assert all(device.registered_at is not None for device in devices)
    assert [found_by(swarm, asker, devices[0]) for asker in askers] == [keys] * PEOPLE
    swarm.leave(devices[2])
    swarm.world.run(20)
    assert [found_by(swarm, asker, devices[0]) for asker in askers] == [keys - {devices[2].key}] * PEOPLE
