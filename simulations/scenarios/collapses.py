"""Skype's two collapses (`simulations.workloads.restart`): does this network come back, and is nobody lost who was not hit?"""

from simulations.checkers.bounds import Bounds
from simulations.checkers.calls_answered import CallsAnswered
from simulations.checkers.never_offered import NeverOffered
from simulations.checkers.recovery import NothingLost, Recovery
from simulations.checkers.supernodes_stand import SuperNodesStand
from simulations.lookups import Lookups
from simulations.minutes import Minutes
from simulations.nodes import Node
from simulations.populations import internet, people, settled
from simulations.run import Run
from simulations.scenario import scenario
from simulations.swarm import Swarm
from simulations.workloads.calls import Calls
from simulations.workloads.looking import Looking
from simulations.workloads.restart import crash_supernodes, is_supernode, mass_restart

LOOKUPS_PER_SECOND = 4.0
BEFORE_MINUTES = 3.0


def _prepare(run: Run, swarm: Swarm) -> tuple[Minutes, Calls]:
    lookups = Lookups(run, swarm)
    calls = Calls(run, swarm, calling=0.3, attempts_per_hour=2.0)
    run.check(
        Recovery(),
        NothingLost(),
        SuperNodesStand(),
        NeverOffered(skewed=True),
        Bounds(),
        CallsAnswered(least=0.9, converge_seconds=300),
    )
    table = Minutes(run, swarm)
    Looking(swarm, lookups, LOOKUPS_PER_SECOND).begin()
    calls.begin()
    run.for_minutes(BEFORE_MINUTES)
    return table, calls


def _scarce(swarm: Swarm, nodes: list[Node], spare: float) -> None:
    """Each super-node keeps so many flows that all together have room for all clients' three flows, times `spare`."""
    clients = sum(not node.endpoint.kind.is_public for node in nodes)
    supernodes = max(1, sum(node.volunteer for node in nodes))
    swarm.limits.clients_max = max(1, round(3 * clients * spare / supernodes))


@scenario("mass-restart")
def mass_reboot(
    run: Run,
    *,
    peers: int = 600,
    share: float = 0.7,
    within_seconds: float = 30.0,
    volunteers: float = 0.5,
    stay_away: float = 0.5,
    minutes: float = 12.0,
) -> None:
    """Skype 2007: most nodes restart at once, and of the super-nodes among them some do not come back as such."""
    swarm = run.swarm(network=internet(run, nats=True))
    nodes = settled(run, swarm, peers, volunteers=volunteers)
    table, calls = _prepare(run, swarm)
    chance = run.chance.child("mass restart")
    before = sum(map(is_supernode, nodes))
    run.break_world()
    hit = mass_restart(swarm, share, within_seconds=within_seconds)
    for node in hit:
        if node.volunteer and chance.uniform(0, 1) < stay_away:
            node.volunteer = False
    run.for_seconds(within_seconds)
    run.heal_world()
    run.for_minutes(minutes)
    calls.stop()
    run.figure("nodes that restarted", len(hit))
    run.figure("super-nodes before", before)
    run.figure("super-nodes after", sum(map(is_supernode, nodes)))
    table.record_nodes()


@scenario("supernode-collapse")
def supernode_collapse(
    run: Run,
    *,
    peers: int = 600,
    share: float = 0.275,
    volunteers: float = 0.5,
    spare: float = 1.1,
    minutes: float = 10.0,
) -> None:
    """Skype 2010: a quarter of the super-nodes crash, and the others have not room for three flows of every client."""
    swarm = run.swarm(network=internet(run, nats=True))
    nodes = people(run, swarm, peers, volunteers=volunteers)
    _scarce(swarm, nodes, spare)
    swarm.start_all(nodes)
    run.for_seconds(swarm.grown_at - run.now + 120.0)
    table, calls = _prepare(run, swarm)
    run.break_world()
    hit = crash_supernodes(swarm, share)
    run.for_seconds(5.0)
    run.heal_world()
    run.for_minutes(minutes)
    calls.stop()
    run.figure("super-nodes that crashed", len(hit))
    run.figure("flows that each super-node keeps at most", swarm.limits.clients_max)
    table.record_nodes()
