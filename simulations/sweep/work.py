"""One point of a sweep as a worker does it, in another process or on another machine: a `Task` in, a `Result` out.

Scenarios of the researcher's own travel as source text, so a worker needs nothing but this package installed, in the same version.
"""

import hashlib
import sys
from dataclasses import dataclass
from types import ModuleType

import simulations.scenarios  # noqa: F401  (registers the scenarios of the project)
from simulations.results import Result, Row
from simulations.run import run_scenario
from simulations.sweep.fingerprint import code_fingerprint
from simulations.sweep.plan import Plan, Point, SweepError

STUDY_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Study:
    """A module with scenarios, checkers or hostile peers of the researcher's own."""

    name: str
    source: str

    @property
    def module_name(self) -> str:
        """Under which it is loaded: other sources never share a name."""
        return f"study_{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker must know. `code` is the version that the one who asks has."""

    point: Point
    studies: tuple[Study, ...]
    tables: tuple[str, ...]
    code: str


def read_studies(plan: Plan) -> tuple[Study, ...]:
    """The files that a plan names; raises SweepError."""
    found = []
    for path in plan.files:
        try:
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise SweepError(f"{path}, which the sweep names, cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SweepError(f"{path}, which the sweep names, is no Python source") from None
        if len(source) > STUDY_BYTES_MAX:
            raise SweepError(f"{path} is larger than {STUDY_BYTES_MAX} characters")
        found.append(Study(path.name, source))
    return tuple(found)


def load_studies(studies: tuple[Study, ...]) -> None:
    """Run the studies, which registers their scenarios; each time anew, for another study may have used the same names since."""
    for study in studies:
        module = ModuleType(study.module_name, f"A study from {study.name}.")
        module.__file__ = study.name
        sys.modules[study.module_name] = module
        exec(compile(study.source, study.name, "exec"), module.__dict__)


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
