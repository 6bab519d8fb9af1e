"""The report of a sweep: one HTML file with a plot for each figure and everything that went wrong. Needs the extra `simulate`."""

import html
from collections.abc import Sequence
from typing import Any

from simulations.report.document import document, heading
from simulations.report.look import LINES, SERIES, Canvas, Grid, Section, label_axes, show_legend
from simulations.report.words import table
from simulations.scenario import Value
from simulations.sweep.curves import ALL, Curve, Line
from simulations.sweep.plan import Plan

MARKERS = "os^Dv*P"
WRONG_SHOWN_MAX = 200


def sweep_page(plan: Plan, curves: Sequence[Curve], summary: str, failures: Sequence[str], code: str) -> str:
    """The page. `failures` are one line each: points that could not be run, checks that failed, notes."""
    lead = f"{summary}. Scenario {plan.scenario}, {len(plan.seeds)} seeds at each point."
    top = "" if curves else "<p>Nothing to draw: no point has ended, or none has such a figure.</p>"
    plots = [_section(plan, curve, number) for number, curve in enumerate(curves, 1)]
    return document(plan.title, html.escape(lead), _wrong(failures) + top, plots, _settings(plan, code))


def _wrong(failures: Sequence[str]) -> str:
    if not failures:
        return ""
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in failures[:WRONG_SHOWN_MAX])
    more = len(failures) - WRONG_SHOWN_MAX
    return heading("wrong", "What went wrong") + f"<ul>{lines}</ul>" + (f"<p>And {more} more.</p>" if more > 0 else "")


def _settings(plan: Plan, code: str) -> str:
    rows: list[tuple[Any, ...]] = [("scenario", plan.scenario), *plan.fixed]
    rows += [(name, ", ".join(map(str, values))) for name, values in plan.grid]
    rows += [("seeds", ", ".join(map(str, plan.seeds))), ("sealing", plan.sealing), ("code", code)]
    return heading("settings", "What was run") + table(("parameter", "values"), [(name, str(at)) for name, at in rows])


def _section(plan: Plan, curve: Curve, number: int) -> Section:
    goal = f" The goal: {curve.goal}." if curve.goal else ""
    spread = " The bars reach from the lowest to the highest seed." if len(plan.seeds) > 1 else ""
    words = f"{curve.figure} over {_words(plan.x)}, the mean of the seeds.{spread}{goal}"
    axis = _words(plan.x)
    headings = ("of", axis, "seeds", "mean", "lowest", "highest", "unit")
    rows = tuple(
        (line.name, spot.x, len(spot.values), spot.mean, min(spot.values), max(spot.values), curve.unit)
        for line in curve.lines
        for spot in line.spots
    )
    title = curve.figure[:1].upper() + curve.figure[1:]
    return Section(f"curve{number}", title, words, _plot(plan, curve, f"curve{number}"), Grid(headings, rows))


def picture(plan: Plan, curve: Curve) -> str:
    """The plot of one figure as an SVG file of its own."""
    canvas = _canvas(plan, curve)
    canvas.axes[0].set_title(curve.figure)
    return canvas.picture()


def _plot(plan: Plan, curve: Curve, name: str) -> str:
    words = f"{curve.figure} over {_words(plan.x)}; {len(curve.lines)} lines."
    return _canvas(plan, curve).svg(name, curve.figure, words)


def _canvas(plan: Plan, curve: Curve) -> Canvas:
    canvas = Canvas(3.6)
    axes: Any = canvas.axes[0]
    order = next(values for parameter, values in plan.grid if parameter == plan.x)
    is_numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in order)
    for place, line in enumerate(curve.lines):
        at = [float(spot.x) if is_numeric else float(order.index(spot.x)) for spot in line.spots]
        _draw(axes, line, at, place)
    if not is_numeric:
        axes.set_xticks(range(len(order)), [str(x) for x in order])
    elif plan.log_x and all(float(x) > 0 for x in order):
        _logarithmic(axes, order)
    label_axes(axes, _words(plan.x), curve.unit or curve.figure)
    show_legend(axes, loc="best", frameon=False)
    return canvas


def _logarithmic(axes: Any, order: Sequence[Value]) -> None:
    axes.set_xscale("log")
    axes.set_xticks([float(x) for x in order], [str(x) for x in order])
    axes.minorticks_off()


def _draw(axes: Any, line: Line, at: Sequence[float], place: int) -> None:
    means = [spot.mean for spot in line.spots]
    below = [spot.mean - min(spot.values) for spot in line.spots]
    above = [max(spot.values) - spot.mean for spot in line.spots]
    axes.errorbar(
        at,
        means,
        yerr=[below, above],
        label=None if line.name == ALL else line.name,
        color=SERIES[place % len(SERIES)],
        linestyle=LINES[(place + place // len(SERIES)) % len(LINES)],
        marker=MARKERS[place % len(MARKERS)],
        markersize=4.5,
        capsize=3,
    )


def _words(parameter: str) -> str:
    return parameter.replace("_", " ")
