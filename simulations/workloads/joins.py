"""How newcomers arrive: spread over a time as a Poisson process, or in a crowd that runs up at once and fades.

Peers arrive as a Poisson process (Stutzbach and Rejaie, Characterizing Churn in Peer-to-Peer Networks, TR-2005-03). A flash
crowd is a Poisson process whose rate falls exponentially from its first moment on, as after a link on a much read page.
"""

from typing import Any

from p2psip.base.chance import Chance
from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.durations import exponential


def arrivals(swarm: Swarm, count: int, seconds: float, **fields: Any) -> list[Node]:
    """`count` newcomers (`fields`: see `Swarm.add`) who start within the next `seconds`: given their number, uniformly so."""
    chance = swarm.world.chance.child(f"arrivals {len(swarm.nodes)}")
    return _start_at(swarm, [chance.uniform(0, seconds) for _ in range(count)], fields)


def flash_crowd(swarm: Swarm, count: int, half_seconds: float, **fields: Any) -> list[Node]:
    """`count` newcomers, half of whom start within `half_seconds`, half of the rest in the next, and so on."""
    chance = swarm.world.chance.child(f"crowd {len(swarm.nodes)}")
    return _start_at(swarm, flash_times(chance, count, half_seconds), fields)


def flash_times(chance: Chance, count: int, half_seconds: float) -> list[float]:
    """When the members of a crowd come, in seconds from its begin."""
    return [half_seconds / 0.693147 * exponential(chance) for _ in range(count)]


def _start_at(swarm: Swarm, times: list[float], fields: dict[str, Any]) -> list[Node]:
    nodes = []
    for when in sorted(times):
        node = swarm.add(**fields)
        nodes.append(node)
        swarm.world.after(when, lambda node=node: swarm.start(node))  # type: ignore[misc]
    return nodes
