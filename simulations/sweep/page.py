"""The report of a sweep: one HTML file with a plot for each figure and everything that went wrong. Needs the extra `simulate`."""

import html
import io
from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas

from simulations.sweep.curves import ALL, Curve, Line
from simulations.sweep.plan import Plan

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
figure { margin: 2rem 0 } svg { max-width: 100%; height: auto; background: white; border-radius: .4rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left; font-variant-numeric: tabular-nums }
.bad { color: #b3261e }
"""
MARKERS = "os^Dv*Px"


def sweep_page(plan: Plan, curves: Sequence[Curve], summary: str, failures: Sequence[str], code: str) -> str:
    """The page. `failures` are one line each: points that could not be run, checks that failed."""
    wrong = "".join(f'<li class="bad">{html.escape(line)}</li>' for line in failures)
    plots = "".join(_figure(plan, curve) for curve in curves) or "<p>Nothing to draw: no point has ended.</p>"
    title = html.escape(plan.title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{html.escape(summary)}</p>"
        f"{f'<h2>What went wrong</h2><ul>{wrong}</ul>' if wrong else ''}"
        f"{_settings(plan, code)}{plots}</html>\n"
    )


def _settings(plan: Plan, code: str) -> str:
    rows = [("scenario", plan.scenario), *plan.fixed]
    rows += [(name, ", ".join(map(str, values))) for name, values in plan.grid]
    rows += [("seeds", ", ".join(map(str, plan.seeds))), ("sealing", plan.sealing), ("code", code)]
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _figure(plan: Plan, curve: Curve) -> str:
    goal = f" (goal: {curve.goal})" if curve.goal else ""
    return f"<figure>{_plot(plan, curve)}<figcaption>{html.escape(curve.figure + goal)}</figcaption></figure>"


def _plot(plan: Plan, curve: Curve) -> str:
    canvas = Canvas(figsize=(9, 4.5), layout="constrained")
    axes = canvas.subplots()
    order = next(values for name, values in plan.grid if name == plan.x)
    numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in order)
    for number, line in enumerate(curve.lines):
        at = [float(spot.x) if numeric else float(order.index(spot.x)) for spot in line.spots]
        _draw(axes, line, at, MARKERS[number % len(MARKERS)])
    if not numeric:
        axes.set_xticks(range(len(order)), [str(x) for x in order])
    elif plan.log_x and all(float(x) > 0 for x in order):
        axes.set_xscale("log")
        axes.set_xticks([float(x) for x in order], [str(x) for x in order])
        axes.minorticks_off()
    axes.set_xlabel(plan.x.replace("_", " "))
    axes.set_ylabel(f"{curve.figure} ({curve.unit})" if curve.unit else curve.figure)
    axes.grid(visible=True, alpha=0.3)
    if [line.name for line in curve.lines] != [ALL]:
        axes.legend(frameon=False)
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _draw(axes: object, line: Line, at: Sequence[float], marker: str) -> None:
    means = [spot.mean for spot in line.spots]
    below = [spot.mean - min(spot.values) for spot in line.spots]
    above = [max(spot.values) - spot.mean for spot in line.spots]
    axes.errorbar(at, means, yerr=[below, above], label=line.name, marker=marker, capsize=3, markersize=5)  # type: ignore[attr-defined]
