"""Hostile members: enrolled nodes that lie, alone or together."""

from overlay.records import registration_key
from overlay.searches import SearchPolicy
from simulations.checkers.bounds import Bounds
from simulations.checkers.never_offered import NeverOffered
from simulations.checkers.no_forgery import NoForgery
from simulations.checkers.registration_found import RegistrationFound
from simulations.checkers.traffic import Traffic
from simulations.hostile.amplifier import amplify
from simulations.hostile.forger import Forger
from simulations.hostile.hoarder import BlackHole, Hoarder
from simulations.hostile.hostile import Gang, Hostile
from simulations.hostile.poison import Conspirator, Inventor, Poisoner, eclipse, sybils
from simulations.hostile.silent import Dropper, Staler, Suppressor
from simulations.lookups import Lookups
from simulations.minutes import Minutes
from simulations.network.nat import PUBLIC
from simulations.populations import internet, settled
from simulations.run import Run
from simulations.scenario import demand, scenario
from simulations.workloads.churn import Churn
from simulations.workloads.looking import Looking
from simulations.workloads.sessions import absences, sessions

KINDS: dict[str, tuple[type[Hostile], ...]] = {
    "drop": (Dropper,),
    "suppress": (Suppressor,),
    "stale": (Staler,),
    "poison": (Poisoner,),
    "invent": (Inventor,),
    "conspire": (Conspirator,),
    "forge": (Forger,),
    "all": (Dropper, Suppressor, Staler, Poisoner, Inventor, Conspirator, Forger),
}
CLASSICAL = SearchPolicy(paths=1, regions=False)
LOOKUPS_PER_SECOND = 4.0


def policy(*, paths: bool, regions: bool) -> SearchPolicy:
    """The policy with and without each of the two defences."""
    best = SearchPolicy()
    return SearchPolicy(paths=best.paths if paths else CLASSICAL.paths, regions=regions)


@scenario("hostile")
def hostile(
    run: Run,
    *,
    peers: int = 500,
    share: float = 0.2,
    attack: str = "conspire",
    paths: bool = True,
    regions: bool = True,
    settle_minutes: float = 12.0,
    minutes: float = 10.0,
    session_minutes: float = 0.0,
    least: float = 0.99,
) -> None:
    """A share of all members drop, suppress, poison, invent, serve stale records, forge or conspire: are people still found?"""
    demand(attack in KINDS, "attack", f"one of {', '.join(KINDS)}, not {attack!r}")
    demand(share < 1, "share", "less than 1: somebody must be honest")
    swarm = run.swarm(network=internet(run, nats=False), policy=policy(paths=paths, regions=regions))
    honest = round(peers * (1 - share))
    settled(run, swarm, honest)
    gang, kinds = Gang(swarm), KINDS[attack]
    liars = [swarm.add(node_class=gang.of(kinds[number % len(kinds)]), nat=PUBLIC) for number in range(peers - honest)]
    swarm.start_all(liars)
    if session_minutes:
        Churn(swarm, sessions(session_minutes), absences(session_minutes)).begin()
    run.for_minutes(settle_minutes)
    run.check(RegistrationFound(least), NeverOffered(skewed=True), NoForgery(), Bounds())
    table = Minutes(run, swarm)
    Looking(swarm, Lookups(run, swarm), LOOKUPS_PER_SECOND).begin()
    run.for_minutes(minutes)
    run.figure("lies told", sum(gang.deeds.values()))
    table.record_nodes()


@scenario("sybil")
def sybil(
    run: Run,
    *,
    peers: int = 500,
    identities: int = 60,
    victims: int = 3,
    paths: bool = True,
    regions: bool = True,
    minutes: float = 10.0,
    least: float = 0.99,
) -> None:
    """Identities ground out next to a person's key hide nobody's registration."""
    demand(victims > 0, "victims", "more than 0")
    swarm = run.swarm(network=internet(run, nats=False), policy=policy(paths=paths, regions=regions))
    nodes = settled(run, swarm, peers)
    targets = nodes[:: max(1, len(nodes) // victims)][:victims]
    for number, victim in enumerate(targets):
        sybils(Gang(swarm, f"gang{number}"), registration_key(victim.address), identities)
    run.for_minutes(12.0)  # every registration was written anew since, and all Sybils are in tables
    run.check(RegistrationFound(least), NoForgery(), Bounds())
    table = Minutes(run, swarm)
    Looking(swarm, Lookups(run, swarm), 1.0, targets=targets).begin()
    run.for_minutes(minutes)
    table.record_nodes()


@scenario("eclipse")
def eclipsed(run: Run, *, peers: int = 400, identities: int = 200, minutes: float = 10.0, least: float = 0.99) -> None:
    """A gang crowds into one victim's routing table: the victim finds others, and is found."""
    swarm = run.swarm(network=internet(run, nats=False))
    nodes = settled(run, swarm, peers)
    victim = nodes[len(nodes) // 2]
    eclipse(Gang(swarm), victim, identities)
    run.for_minutes(12.0)
    run.check(RegistrationFound(least), Bounds())
    lookups, chance = Lookups(run, swarm), run.chance.child("eclipse")

    def look() -> None:
        other = chance.choice(nodes)
        if other is not victim:
            lookups.look_up(victim, other)
            lookups.look_up(other, victim)

    swarm.world.every(2.0, look)
    run.for_minutes(minutes)
    table = victim.core.peer.table
    held = [node for node in (swarm.node_of(contact.node_key) for contact in table) if node is not None]
    run.figure(
        "share of the gang in the victim's table", round(100 * sum(node.hostile for node in held) / len(held), 1), "%"
    )


@scenario("hoarding")
def hoarding(
    run: Run, *, peers: int = 300, hoarders: int = 40, black_holes: int = 5, minutes: float = 10.0, least: float = 0.98
) -> None:
    """Members that take all the relay capacity there is, and super-nodes that swallow what they should pass on."""
    swarm = run.swarm(network=internet(run, nats=True))
    settled(run, swarm, peers, volunteers=0.5)
    gang = Gang(swarm)
    gang.recruit(Hoarder, hoarders)
    gang.recruit(BlackHole, black_holes)
    run.for_minutes(6.0)
    run.check(RegistrationFound(least), Bounds(), Traffic(1_500.0))
    table = Minutes(run, swarm)
    Looking(swarm, Lookups(run, swarm), LOOKUPS_PER_SECOND).begin()
    run.for_minutes(minutes)
    clients = [node for node in swarm.alive if node.core.peer.reach.is_client and not node.hostile]
    served = sum(bool(node.core.peer.crossing.rendezvous.flows) for node in clients)
    run.figure("honest clients with a flow", round(100 * served / max(1, len(clients)), 1), "%")
    table.record_nodes()


@scenario("amplification")
def amplification(run: Run, *, peers: int = 100, minutes: float = 5.0, factor_max: float = 3.0) -> None:
    """A member sends requests with a bystander's source address: how much comes down on the bystander?"""
    swarm = run.swarm(network=internet(run, nats=False))
    settled(run, swarm, peers)
    amplifier = amplify(Gang(swarm))
    run.for_minutes(minutes)
    factor = amplifier.factor
    run.figure(
        "bytes at the bystander for each byte of the attacker",
        round(factor, 3),
        goal=f"<= {factor_max:g}",
        met=factor <= factor_max,
    )
