"""A second implementation as referee: the same nodes crash and look the same keys up in ours and in unmodified `kademlia`."""

from simulations.network.plain import PlainNetwork
from simulations.quantiles import quantile
from simulations.referee.contest import Contest, Score, Tries, draw_contest
from simulations.referee.ours import play_ours
from simulations.referee.theirs import play_theirs
from simulations.results import Row
from simulations.run import Run
from simulations.scenario import ScenarioError, scenario

TABLE = "referee"


@scenario("referee")
def referee(run: Run, *, peers: int = 150, crash_share: float = 0.2, lookups: int = 200, absent: int = 50) -> None:
    """One register each, a share crashes, then lookups: our nodes and unmodified kademlia side by side."""
    chance = run.chance.child("referee")
    try:
        contest = draw_contest(
            chance.child("contest"), peers=peers, crash_share=crash_share, lookups=lookups, absent=absent
        )
    except ValueError as error:
        raise ScenarioError(f"the scenario referee: {error}") from None
    network = PlainNetwork(chance.child("our network"))
    ours = play_ours(contest, run, run.swarm(network=network))
    theirs = play_theirs(contest, PlainNetwork(chance.child("their network")), chance.child("kademlia"))
    for row in compared(contest, ours, theirs):
        run.record(TABLE, **row)
    _sum_up(run, contest, ours, theirs)


def compared(contest: Contest, ours: Score, theirs: Score) -> list[Row]:
    """A row for each thing measured: what, unit, and the value of each side (None where there is none)."""
    kinds = [
        ("live key", ours.live, theirs.live, contest.lookups),
        ("absent key", ours.absent, theirs.absent, contest.absent),
    ]
    rows = [_row("registrations stored", "", ours.stored, theirs.stored)]
    for what, mine, other, asked in kinds:
        count = len(asked)
        rows += [
            _row(f"{what}: right answers of {count}", "%", _percent(mine, count), _percent(other, count)),
            _row(f"{what}: requests, mean", "", _mean(mine.requests), _mean(other.requests)),
            _row(
                f"{what}: requests, 95 % of lookups",
                "",
                _quantile(mine.requests, 0.95),
                _quantile(other.requests, 0.95),
            ),
            _row(f"{what}: median time", "s", _quantile(mine.seconds, 0.5), _quantile(other.seconds, 0.5)),
            _row(f"{what}: time of 95 %", "s", _quantile(mine.seconds, 0.95), _quantile(other.seconds, 0.95)),
        ]
    rows.append(_row("upkeep of a node while nobody asks", "B/s", ours.upkeep, theirs.upkeep))
    rows.append(_row("sent for a node to join and store", "B", ours.joining_bytes, theirs.joining_bytes))
    return rows


def _sum_up(run: Run, contest: Contest, ours: Score, theirs: Score) -> None:
    found, their_found = (_percent(each.live, len(contest.lookups)) for each in (ours, theirs))
    if found is not None and their_found is not None:
        run.figure("live keys found", found, "%", goal="at least kademlia's", met=found >= their_found)
        run.figure("live keys found by kademlia", their_found, "%")
    for name, mine, other in (("live", ours.live, theirs.live), ("absent", ours.absent, theirs.absent)):
        run.figure(f"requests per lookup of a {name} key", _mean(mine.requests), "")
        run.figure(f"requests per lookup of a {name} key by kademlia", _mean(other.requests), "")
        run.figure(f"median time of a lookup of a {name} key", _quantile(mine.seconds, 0.5), "s")
        run.figure(f"median time of a lookup of a {name} key by kademlia", _quantile(other.seconds, 0.5), "s")


def _row(what: str, unit: str, ours: float | None, theirs: float | None) -> Row:
    return {"what": what, "unit": unit, "p2psip": ours, "kademlia": theirs}


def _percent(tries: Tries, asked: int) -> float | None:
    return 100 * tries.right / asked if asked else None


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def _quantile(values: list[int] | list[float], share: float) -> float | None:
    return quantile(sorted(values), share) if values else None
