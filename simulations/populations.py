"""How a scenario gets its people: an overlay that has settled, of public peers only or behind NATs in the shares of surveys."""

from p2psip.base.chance import Chance
from simulations.network.internet import Internet
from simulations.network.survey import SURVEY
from simulations.nodes import Node
from simulations.run import Run
from simulations.swarm import Swarm

SETTLE_SECONDS = 60.0


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
