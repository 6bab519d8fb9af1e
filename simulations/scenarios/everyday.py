"""Ordinary days: arrivals, hours of the day, people on the move and with several devices, and a network that is cut in two."""

from simulations.checkers.bounds import Bounds
from simulations.checkers.calls_answered import CallsAnswered
from simulations.checkers.found_set import FoundSet
from simulations.checkers.load import Load
from simulations.checkers.lookup_time import LookupTime
from simulations.checkers.never_offered import NeverOffered
from simulations.checkers.registration_found import RegistrationFound
from simulations.checkers.traffic import Traffic
from simulations.lookups import Lookups
from simulations.minutes import Minutes
from simulations.populations import internet, settled, stationary
from simulations.run import Run
from simulations.scenario import demand, scenario
from simulations.workloads.calls import Calls
from simulations.workloads.devices import settle_people
from simulations.workloads.diurnal import HOME, ONLINE_TROUGH, REGION_HOURS, Diurnal, Tide
from simulations.workloads.joins import flash_crowd
from simulations.workloads.looking import Looking
from simulations.workloads.moving import Moving

DRAIN_SECONDS = 60.0
QUIET = "lookups"
"""The name of the scenario whose trace `benchmarks.simulator` prints."""


@scenario(QUIET)
def lookups_only(run: Run, *, peers: int = 1_000, minutes: float = 5.0, per_second: float = 10.0) -> None:
    """A quiet network of public peers: how long lookups take, and whether the true closest are found."""
    demand(per_second > 0, "per_second", "more than 0")
    swarm = run.swarm(network=internet(run, nats=False))
    stationary(run, swarm, peers)
    run.check(RegistrationFound(0.998), LookupTime(), FoundSet(every=5.0, least_whole=0.95), Bounds(), Traffic())
    table = Minutes(run, swarm)
    Looking(swarm, Lookups(run, swarm), per_second).begin()
    run.for_minutes(minutes)
    table.record_nodes()


@scenario("flash-crowd")
def crowd(
    run: Run, *, peers: int = 200, newcomers: int = 600, half_seconds: float = 20.0, minutes: float = 8.0
) -> None:
    """Three times as many newcomers as there are members run up within a minute."""
    demand(newcomers > 0, "newcomers", "more than 0")
    demand(half_seconds > 0, "half_seconds", "more than 0")
    swarm = run.swarm(network=internet(run, nats=True))
    settled(run, swarm, peers, volunteers=0.3)
    run.check(RegistrationFound(0.99), NeverOffered(skewed=True), Bounds(), Load(held_max_ratio=20.0))
    table = Minutes(run, swarm)
    crowd_nodes = flash_crowd(swarm, newcomers, half_seconds)
    Looking(swarm, Lookups(run, swarm), 4.0).begin()
    run.for_minutes(minutes)
    joined = sum(node.registered_at is not None for node in crowd_nodes)
    run.figure("newcomers that are registered", round(100 * joined / newcomers, 2), "%")
    table.record_nodes()


@scenario("day")
def day(run: Run, *, peers: int = 300, minutes: float = 60.0, movers: float = 0.3) -> None:
    """People with several devices behind all kinds of NATs, who move between networks and call one another."""
    swarm = run.swarm(network=internet(run, nats=True))
    people = settle_people(swarm, peers)
    nodes = [device for devices in people for device in devices]
    chance = run.chance.child("volunteers")
    for node in nodes:
        node.volunteer = node.endpoint.kind.is_public and chance.uniform(0, 1) < 0.5
    swarm.start_all(nodes)
    run.for_seconds(swarm.grown_at - run.now + DRAIN_SECONDS)
    run.check(RegistrationFound(0.98), NeverOffered(skewed=True), Bounds(), Traffic(), CallsAnswered(least=0.97))
    table = Minutes(run, swarm)
    lookups = Lookups(run, swarm)
    calls = Calls(run, swarm, calling=0.3, attempts_per_hour=2.0, lookups=lookups)
    moving = Moving(swarm, movers=movers)
    moving.begin()
    calls.begin()
    run.for_minutes(minutes)
    calls.stop()
    run.for_seconds(DRAIN_SECONDS)
    run.figure("changes of network", moving.moves)
    table.record_nodes()


@scenario("partition")
def partition(run: Run, *, peers: int = 300, cut_minutes: float = 5.0, minutes: float = 12.0) -> None:
    """A random half of the network cannot reach the other for some minutes: afterwards all find one another again."""
    network = internet(run, nats=False)
    swarm = run.swarm(network=network)
    settled(run, swarm, peers)
    run.check(RegistrationFound(0.99, least_whole=0.99, converge_seconds=300.0), NeverOffered(skewed=True), Bounds())
    run.check(FoundSet(every=10.0, least=0.0, least_whole=0.9, converge_seconds=300.0))
    table = Minutes(run, swarm)
    Looking(swarm, Lookups(run, swarm), 4.0).begin()
    run.break_world()
    network.partitions.cut_share(0.5, run.now, run.now + 60.0 * cut_minutes)
    run.for_minutes(cut_minutes)
    run.heal_world()
    run.for_minutes(minutes)
    table.record_nodes()


@scenario("around-the-clock")
def around_the_clock(run: Run, *, peers: int = 60, minutes: float = 1_440.0, volunteers: float = 0.6) -> None:
    """A day and a night: people in ten regions switch on and off and call by the hour of their own clocks."""
    swarm = run.swarm(network=internet(run, nats=True))
    nodes = settled(run, swarm, peers, volunteers=volunteers)
    run.check(RegistrationFound(0.98), NeverOffered(skewed=True), Bounds(), Traffic(), CallsAnswered(least=0.95))
    table = Minutes(run, swarm)
    online = Diurnal(HOME, REGION_HOURS).squeezed(ONLINE_TROUGH)
    Tide(swarm, online).begin(nodes)
    calling = Diurnal(HOME, REGION_HOURS)
    Calls(run, swarm, calling=0.5, diurnal=calling, lookups=Lookups(run, swarm)).begin()
    run.for_minutes(minutes)
    table.record_nodes()
