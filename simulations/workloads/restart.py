"""What Skype's network went through twice: a mass of nodes that restart at once, and super-nodes that are suddenly gone.

**2007.** On 16 August "a massive restart of our users' computers across the globe within a very short timeframe", after a
routine set of patches, caused "a flood of log-in requests, which, combined with the lack of peer-to-peer network resources,
prompted a chain reaction"; most users were out for two days (Skype Heartbeat, 20 August 2007).

**2010.** On 22 December clients of one version crashed, among them 25 to 30 % of all super-nodes; the load of the others grew to
a hundred times the usual one, and they switched themselves off one after the other, for a day (Rabbe, CIO update, 29 December
2010).

How long a computer takes to boot and a program to start is drawn log-normally, with a median of BOOT_SECONDS: our assumption.
"""

from collections.abc import Callable, Iterable

from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.churn import is_person
from simulations.workloads.durations import Duration, LogNormal

BOOT_SECONDS = 60.0
BOOTS = LogNormal(0.5, BOOT_SECONDS)
SUPERNODES_CRASHED = 0.275
"""The middle of 25 and 30 %."""


def mass_restart(
    swarm: Swarm,
    share: float,
    *,
    within_seconds: float = 5.0,
    boots: Duration | None = BOOTS,
    takes_part: Callable[[Node], bool] = is_person,
) -> list[Node]:
    """Crash a share of those nodes within so many seconds; each is back after its boot time (None: not by itself). Gives
    those that are hit."""
    chance = swarm.world.chance.child(f"restart {swarm.now}")
    candidates = [node for node in swarm.alive if takes_part(node)]
    hit = chance.sample(candidates, round(share * len(candidates)))
    for node in hit:
        when = chance.uniform(0, within_seconds)
        swarm.world.after(when, _crasher(swarm, node))
        if boots is not None:
            swarm.world.after(when + boots.draw(chance), _starter(swarm, node))
    return hit


def crash_supernodes(swarm: Swarm, share: float = SUPERNODES_CRASHED, *, within_seconds: float = 5.0) -> list[Node]:
    """Crash a share of the super-nodes, who do not come back by themselves. Gives those that are hit."""
    return mass_restart(swarm, share, within_seconds=within_seconds, boots=None, takes_part=is_supernode)


def bring_back(swarm: Swarm, nodes: Iterable[Node], *, boots: Duration = BOOTS) -> None:
    """Start nodes again, each after its boot time."""
    chance = swarm.world.chance.child(f"back {swarm.now}")
    for node in nodes:
        swarm.world.after(boots.draw(chance), _starter(swarm, node))


def is_supernode(node: Node) -> bool:
    """Whether a node is an honest volunteer."""
    return node.volunteer and not node.hostile


def _crasher(swarm: Swarm, node: Node) -> Callable[[], None]:
    return lambda: swarm.crash(node)


def _starter(swarm: Swarm, node: Node) -> Callable[[], None]:
    return lambda: swarm.start(node)
