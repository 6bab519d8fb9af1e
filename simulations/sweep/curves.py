"""From the results of a sweep to its curves: for each figure one line per combination of the other parameters, over the x axis.

At each x stand the mean over the seeds and its spread (lowest and highest).
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from simulations.results import Result
from simulations.scenario import Value
from simulations.sweep.plan import FIGURES_MAX, Plan, Point

ALL = "all"
"""The name of the only line when the grid has no other parameter than x."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What the seeds gave at one x."""

    x: Value
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class Line:
    """One combination of the other parameters, in the order of the grid's x."""

    name: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the x axis."""

    figure: str
    unit: str
    goal: str
    lines: tuple[Line, ...]


def curves_of(plan: Plan, results: Mapping[Point, Result]) -> list[Curve]:
    """The curves of the plan's figures, or of all that are numbers (FIGURES_MAX at most)."""
    units = _units(results)
    wanted = plan.figures or tuple(units)[:FIGURES_MAX]
    return [_curve(plan, results, figure, *units[figure]) for figure in wanted if figure in units]


def unknown_figures(plan: Plan, results: Mapping[Point, Result]) -> list[str]:
    """Figures of the plan that no result has as a number."""
    units = _units(results)
    return [figure for figure in plan.figures if figure not in units] if results else []


def curves_csv(plan: Plan, curves: Sequence[Curve]) -> str:
    """A row for each figure, line and x: figure, unit, line, x, seeds, mean, lowest, highest."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["figure", "unit", "line", plan.x, "seeds", "mean", "lowest", "highest"])
    for curve in curves:
        for line in curve.lines:
            for spot in line.spots:
                values = (len(spot.values), spot.mean, min(spot.values), max(spot.values))
                rows.writerow([curve.figure, curve.unit, line.name, spot.x, *values])
    return text.getvalue()


def curves_json(plan: Plan, curves: Sequence[Curve], code: str) -> str:
    """The same with the value of each seed, for programs."""
    said = {
        "title": plan.title,
        "scenario": plan.scenario,
        "code": code,
        "x": plan.x,
        "seeds": plan.seeds,
        "parameters": dict(plan.fixed),
        "curves": [asdict(curve) for curve in curves],
    }
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _units(results: Mapping[Point, Result]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for result in results.values():
        for figure in result.figures:
            if _is_number(figure.value):
                found.setdefault(figure.name, (figure.unit, figure.goal or ""))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(plan: Plan, results: Mapping[Point, Result], figure: str, unit: str, goal: str) -> Curve:
    spots: dict[str, dict[Value, list[float]]] = {}
    for point in plan.points():
        value = _value(results.get(point), figure)
        if value is not None:
            at = spots.setdefault(line_name(plan, point), {})
            at.setdefault(dict(point.parameters)[plan.x], []).append(value)
    order = next(values for name, values in plan.grid if name == plan.x)
    lines = [Line(name, tuple(Spot(x, tuple(at[x])) for x in order if x in at)) for name, at in spots.items()]
    return Curve(figure, unit, goal, tuple(lines))


def line_name(plan: Plan, point: Point) -> str:
    """The other parameters of the grid, as `minutes=5 disjoint=True`."""
    said = dict(point.parameters)
    others = [f"{name}={said[name]}" for name, _ in plan.grid if name != plan.x]
    return " ".join(others) or ALL


def _value(result: Result | None, figure: str) -> float | None:
    found = [each.value for each in result.figures if each.name == figure] if result else []
    return float(found[0]) if found and isinstance(found[0], int | float) and _is_number(found[0]) else None
