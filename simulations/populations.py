"""How a scenario gets its people: an overlay that has settled, of public peers only or behind NATs in the shares of surveys."""

from collections.abc import Callable

from p2psip.base.chance import Chance
from simulations.network.internet import Internet
from simulations.network.survey import SURVEY
from simulations.nodes import Node
from simulations.run import Run
from simulations.swarm import Swarm

SETTLE_SECONDS = 60.0
REGISTRATIONS_PER_SECOND = 50.0
REGISTERING_SECONDS_MIN = 60.0
STATIONARY_SECONDS = 300.0
"""As long as the time between two registrations of a node."""


def internet(run: Run, *, nats: bool) -> Internet:
    """The network of a scenario; without `nats` all nodes are reached by anybody."""
    return Internet(Chance.seeded(run.seed).child("internet"), survey=SURVEY if nats else None)


def people(run: Run, swarm: Swarm, peers: int, *, volunteers: float) -> list[Node]:
    """So many people's nodes, not started; the share `volunteers` of those that are public are super-nodes."""
    chance = run.chance.child("population")
    nodes = [swarm.add() for _ in range(peers)]
    for node in nodes:
        node.volunteer = node.endpoint.kind.is_public and chance.uniform(0, 1) < volunteers
    return nodes


def settled(run: Run, swarm: Swarm, peers: int, *, volunteers: float = 0.0) -> list[Node]:
    """The same, joined and registered."""
    nodes = people(run, swarm, peers, volunteers=volunteers)
    swarm.start_all(nodes)
    run.for_seconds(swarm.grown_at - run.now + SETTLE_SECONDS)
    return nodes


def stationary(run: Run, swarm: Swarm, peers: int, *, volunteers: float = 0.0) -> list[Node]:
    """The same, but nobody registers before all have joined, and then a registration's time passes.

    A network that has grown a hundredfold within a minute stores every record anew at each doubling, and all of its nodes
    register at the same time for ever after. No real one does that, nor does it tell what an hour of an old network costs.
    """
    nodes = people(run, swarm, peers, volunteers=volunteers)
    chance = run.chance.child("registering")
    for node in nodes:
        node.wants_registration = False
    swarm.start_all(nodes)
    seconds = max(peers / REGISTRATIONS_PER_SECOND, REGISTERING_SECONDS_MIN)
    for node in nodes:
        swarm.world.at(swarm.grown_at + SETTLE_SECONDS + chance.uniform(0.0, seconds), _registering(swarm, node))
    run.for_seconds(swarm.grown_at - run.now + SETTLE_SECONDS + seconds + STATIONARY_SECONDS)
    return nodes


def _registering(swarm: Swarm, node: Node) -> Callable[[], None]:
    return lambda: swarm.register(node)
