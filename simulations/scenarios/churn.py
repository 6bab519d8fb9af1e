"""A network in which people come and go and call one another: the standard scenario."""

from simulations.checkers.bounds import Bounds
from simulations.checkers.calls_answered import CallsAnswered
from simulations.checkers.found_set import FoundSet
from simulations.checkers.load import Load
from simulations.checkers.lookup_time import LookupTime
from simulations.checkers.never_offered import NeverOffered
from simulations.checkers.no_forgery import NoForgery
from simulations.checkers.registration_found import RegistrationFound
from simulations.checkers.traffic import Traffic
from simulations.lookups import Lookups
from simulations.minutes import Minutes
from simulations.populations import internet, stationary
from simulations.run import Run
from simulations.scenario import demand, scenario
from simulations.workloads.calls import Calls
from simulations.workloads.churn import Churn
from simulations.workloads.sessions import SESSIONS, absences, sessions

DRAIN_SECONDS = 60.0


@scenario("churn")
def churn(
    run: Run,
    *,
    peers: int = 1_000,
    minutes: float = 60.0,
    session_minutes: float = 60.0,
    absence_minutes: float = 60.0,
    sessions_like: str = "kad",
    crashes: float = 0.9,
    calling: float = 0.1,
    attempts_per_hour: float = 6.0,
    nats: bool = False,
    volunteers: float = 0.2,
    least: float = 0.0,
) -> None:
    """People come and go as measured and a tenth of them call: lookups, traffic, calls, every table in its bound."""
    demand(sessions_like in SESSIONS, "sessions_like", f"one of {', '.join(SESSIONS)}, not {sessions_like!r}")
    demand(session_minutes > 0, "session_minutes", "more than 0")
    demand(absence_minutes > 0, "absence_minutes", "more than 0")
    swarm = run.swarm(network=internet(run, nats=nats))
    stationary(run, swarm, peers, volunteers=volunteers if nats else 0.0)
    lookups = Lookups(run, swarm)
    calls = Calls(run, swarm, calling=calling, attempts_per_hour=calling * attempts_per_hour, lookups=lookups)
    comings = Churn(swarm, sessions(session_minutes, sessions_like), absences(absence_minutes), crash_share=crashes)
    goal = least or (0.995 if session_minutes >= 60 else 0.99)
    run.check(
        RegistrationFound(goal), NeverOffered(skewed=True), NoForgery(), FoundSet(least_whole=0.9), Bounds(), Load()
    )
    run.check(Traffic(), CallsAnswered(least=0.98), LookupTime())
    minutes_table = Minutes(run, swarm)
    comings.begin()
    calls.begin()
    run.for_minutes(minutes)
    calls.stop()
    run.for_seconds(DRAIN_SECONDS)
    minutes_table.record_nodes()
