"""People with several devices: a computer, a telephone, a tablet, all registered under the same address.

The average American adult who is online used more than four connected devices in 2016, three quarters a smartphone and more
than half a tablet (Forrester, The State of Consumers and Technology). How many of them would run a node nobody knows: SHARES is
our assumption, 1.6 devices for each person. The devices of a person stand in one home, behind one box, unless it is a
`roaming` share of those after the first.
"""

from typing import Any

from simulations.nodes import Node
from simulations.swarm import Swarm

SHARES = (0.6, 0.25, 0.1, 0.05)
"""The shares of people with one, two, three and four devices."""
ROAMING = 0.3


def settle_people(
    swarm: Swarm, people: int, *, shares: tuple[float, ...] = SHARES, roaming: float = ROAMING, **fields: Any
) -> list[list[Node]]:
    """Add `people`, each with its devices (`fields`: see `Swarm.add`); nothing is started."""
    chance = swarm.world.chance.child(f"people {len(swarm.nodes)}")
    settled = []
    for _ in range(people):
        person = f"p{len(swarm.nodes)}"
        first = swarm.add(person=person, **fields)
        devices = [first]
        for _device in range(1, devices_of(chance.uniform(0, 1), shares)):
            behind = None if chance.uniform(0, 1) < roaming else first
            devices.append(swarm.add(person=person, behind=behind, **fields))
        settled.append(devices)
    return settled


def devices_of(draw: float, shares: tuple[float, ...] = SHARES) -> int:
    """How many devices somebody has whose lot is `draw`, in [0, 1)."""
    total = 0.0
    for count, share in enumerate(shares, start=1):
        total += share
        if draw < total:
            return count
    return len(shares)
