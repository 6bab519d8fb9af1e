"""One point of a sweep as a worker does it, in another process or on another machine: a `Task` in, a `Result` out.

Scenarios of the researcher's own travel as source text, so a worker needs nothing but this package installed, in the same version.
"""

from dataclasses import dataclass

import simulations.scenarios  # noqa: F401  (registers the scenarios of the project)
from simulations.results import Result, Row
from simulations.run import run_scenario
from simulations.studies import Study, load_studies, read_study
from simulations.sweep.fingerprint import code_fingerprint
from simulations.sweep.plan import Plan, Point, SweepError


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker must know. `code` is the version that the one who asks has."""

    point: Point
    studies: tuple[Study, ...]
    tables: tuple[str, ...]
    code: str


def read_studies(plan: Plan) -> tuple[Study, ...]:
    """The files that a plan names; raises StudyError."""
    return tuple(read_study(path) for path in plan.files)


def code_of(studies: tuple[Study, ...]) -> str:
    """The version of the code, the researcher's own included."""
    return "+".join([code_fingerprint(), *(study.module_name for study in studies)])


def check_code(task: Task) -> None:
    """Raises SweepError when this worker runs another version of the code than the one who asks."""
    if task.code != code_of(task.studies):
        raise SweepError(
            "a worker has other code than this sweep began with: it was changed meanwhile, or is another version there"
        )


def kept(result: Result, tables: tuple[str, ...]) -> Result:
    """The result with the tables that the plan wants; whole runs of a sweep would fill disks."""
    known: dict[str, list[Row]] = result.tables
    result.tables = {name: known[name] for name in tables if name in known}
    return result


def run_task(task: Task) -> Result:
    """Do one task: what a worker is sent."""
    load_studies(task.studies)
    check_code(task)
    point = task.point
    return kept(run_scenario(point.scenario, dict(point.parameters), point.seed, sealing=point.sealing), task.tables)
