"""The whole overlay on virtual time: what every lookup must find, and what no holder may take."""

import pytest

from overlay.records import REGISTRATION
from tests.overlay.world import World


def found_sequences(world: World, address: str) -> list[list[int]]:
    """For each living node: the sequences of the registrations that its lookup found."""
    return [
        [record.sequence for record, _author in world.find(node, address).records if record.kind == REGISTRATION]
        for node in world.alive
    ]


@pytest.mark.parametrize("count", [50, 200])
def test_every_lookup_of_every_node_finds_the_record(count: int) -> None:
    world = World(seed=count)
    world.populate(count)
    owner = world.nodes[count // 2]
    assert world.register(owner).holders >= 8
    assert found_sequences(world, owner.device.certificate.addresses[0]) == [[1]] * count
