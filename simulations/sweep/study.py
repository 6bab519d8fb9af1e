"""A sweep from its file to its curves: plan, run what is missing, keep each finished point at once, draw."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from simulations.extra import load as load_extra
from simulations.results import Result
from simulations.studies import load_studies
from simulations.sweep.curves import curves_csv, curves_json, curves_of, unknown_figures
from simulations.sweep.folder import Folder
from simulations.sweep.plan import Plan, Point, check_points, read_plan
from simulations.sweep.work import Task, code_of, read_studies, run_task

PAGE = "simulations.sweep.page"
ProgressTold = Callable[[int, int, str], None]
"""Told (points done, points in all, what happened) at the start and after each point."""


class Pool(Protocol):
    """Runs tasks somewhere, in whatever order they end; a failed one gives the reason instead of a result."""

    def run(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | None, str]]: ...


PoolOpener = Callable[[], AbstractContextManager[Pool]]


@dataclass(slots=True)
class SweepOutcome:
    """How a sweep ended. `failed` and `broken` are lines for people: points without a result, and checks that failed."""

    points: int
    resumed: int = 0
    ran: int = 0
    failed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    report: Path | None = None
    csv: Path | None = None
    json: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether every point has a result and no checker failed."""
        return not (self.failed or self.broken or self.interrupted) and self.resumed + self.ran == self.points

    def summary(self) -> str:
        """One sentence."""
        said = f"{self.points} points: {self.resumed} finished before, {self.ran} run now, {len(self.failed)} failed"
        said += f", {len(self.broken)} checks failed" if self.broken else ""
        left = self.points - self.resumed - self.ran - len(self.failed)
        return f"{said}, {left} left" if left else said


def main_sweep(
    file: Path, *, scheduler: str | None, out: Path, progress: ProgressTold, pool: PoolOpener | None = None
) -> SweepOutcome:
    """Run the sweep of a TOML file into the folder `out`; raises P2psipError with one sentence if it cannot begin.

    `scheduler` is the address of a Dask scheduler, or None for a process per core of this machine. Points that were finished by
    the same code are not run again. A KeyboardInterrupt ends it early; what is finished is kept and drawn.
    """
    load_extra(PAGE)  # what is missing shall be said before hours of work, not after
    plan = read_plan(file)
    studies = read_studies(plan)
    load_studies(studies)
    points = plan.points()
    check_points(points)
    folder, code = Folder(out), code_of(studies)
    outcome = SweepOutcome(len(points))
    results = {point: found for point in points if (found := folder.read(point, code)) is not None}
    outcome.resumed = len(results)
    _note_strangers(folder, points, code, outcome)
    missing = [Task(point, studies, plan.tables, code) for point in points if point not in results]
    progress(len(results), len(points), f"{len(results)} points were finished before, {len(missing)} to run")
    if missing:
        try:
            with (pool or _pool_of(scheduler))() as opened:
                for task, result, reason in opened.run(run_task, missing):
                    _take(task, result, reason, folder, results, outcome)
                    progress(len(results), len(points), task.point.label() + (f": {reason}" if reason else ""))
        except KeyboardInterrupt:
            outcome.interrupted = True
    _draw(plan, results, folder, outcome, code)
    return outcome


def _pool_of(scheduler: str | None) -> PoolOpener:
    cluster = load_extra("simulations.sweep.cluster")
    return (lambda: cluster.on_scheduler(scheduler)) if scheduler else cluster.on_this_machine


def _take(
    task: Task, result: Result | None, reason: str, folder: Folder, results: dict[Point, Result], outcome: SweepOutcome
) -> None:
    if result is None:
        outcome.failed.append(f"{task.point.label()}: {reason}")
        return
    folder.keep(task.point, task.code, result)
    results[task.point] = result
    outcome.ran += 1


def _note_strangers(folder: Folder, points: Sequence[Point], code: str, outcome: SweepOutcome) -> None:
    count = folder.strangers(points, code)
    if count:
        outcome.notes.append(f"{count} results in {folder.path} are of another grid or version of the code: not used")


def _draw(plan: Plan, results: dict[Point, Result], folder: Folder, outcome: SweepOutcome, code: str) -> None:
    for point, result in results.items():
        outcome.broken += [
            f"FAILED {point.label()} commit {result.commit} checker {check.name}: {check.detail}"
            for check in result.checks
            if not check.passed
        ]
    outcome.notes += [f"no result has a figure {name!r}" for name in unknown_figures(plan, results)]
    curves = curves_of(plan, results)
    outcome.csv = folder.write("curves.csv", curves_csv(plan, curves))
    outcome.json = folder.write("curves.json", curves_json(plan, curves, code))
    page = load_extra(PAGE)
    for number, curve in enumerate(curves, 1):
        folder.write(f"curve{number}.svg", page.picture(plan, curve))
    lines = [*outcome.failed, *outcome.broken, *outcome.notes]
    outcome.report = folder.write("report.html", page.sweep_page(plan, curves, outcome.summary(), lines, code))
