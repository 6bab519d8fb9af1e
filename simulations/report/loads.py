"""How evenly nodes bear the load: Lorenz curves of records held, requests served and calls relayed."""

from itertools import accumulate

from matplotlib.ticker import NullFormatter

from simulations.quantiles import gini, numbers, quantile
from simulations.report.look import (
    FAINT,
    INK,
    LINES,
    SERIES,
    Canvas,
    Grid,
    Section,
    label_axes,
    plain_number,
    show_legend,
)
from simulations.results import Row

POINTS_MAX = 300
BUSIEST_MAX = 200  # nodes of the right plot
LOADS = (("held", "records held"), ("served", "requests served"), ("relayed", "relayed for others"))


def load(rows: list[Row]) -> Section | None:
    """Lorenz curves, and the busiest nodes as multiples of the mean."""
    loads = []
    for column, words in LOADS:
        values = numbers(row.get(column) for row in rows if not row.get("hostile"))
        if sum(values) > 0:
            loads.append((words, values))
    if not loads:
        return None
    canvas = Canvas(3.7, columns=2)
    left, right = canvas.axes
    left.plot([0, 100], [0, 100], color=FAINT, linewidth=1.2)
    left.annotate(
        "all bear the same",
        (50, 50),
        (0, 4),
        textcoords="offset points",
        rotation=45,
        ha="center",
        color=INK,
        fontsize=9,
    )
    for place, (words, values) in enumerate(loads):
        x, y = _lorenz(values)
        left.plot(x, y, color=SERIES[place], linestyle=LINES[place], label=words)
        mean = sum(values) / len(values)
        top = [value / mean for value in values[::-1][:BUSIEST_MAX]]
        right.plot(range(1, len(top) + 1), top, color=SERIES[place], linestyle=LINES[place], label=words)
    left.set_xlim(0, 100)
    left.set_ylim(0, 100)
    label_axes(left, "nodes from idle to busy, %", "their share of the load, %")
    label_axes(right, "rank of the node, busiest first", "load, multiples of the mean")
    right.set_xscale("log")
    right.xaxis.set_major_formatter(plain_number)
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_ylim(bottom=0)
    left.legend(loc="upper left", fontsize=9.5)
    show_legend(right, loc="upper right", fontsize=9.5)
    words = (
        "Left: Lorenz curves; far below the diagonal, few nodes bear much. Right: the busiest nodes. Honest nodes only."
    )
    spoken = "; ".join(
        f"{name}: busiest node {values[-1] * len(values) / sum(values):.1f} times the mean" for name, values in loads
    )
    svg = canvas.svg("load", "Load of the busiest nodes", f"{words} {spoken}")
    grid = Grid(
        ("load", "nodes", "mean", "median", "99 %", "busiest", "busiest / mean", "Gini"),
        tuple(_line(name, values) for name, values in loads),
    )
    return Section("load", "Who bears the load", words, svg, grid)


def _lorenz(values: list[float]) -> tuple[list[float], list[float]]:
    sums = [0.0, *accumulate(values)]
    count = len(values)
    points = min(POINTS_MAX, count)
    places = sorted({round(count * step / points) for step in range(points + 1)})
    return [100 * place / count for place in places], [100 * sums[place] / sums[-1] for place in places]


def _line(name: str, values: list[float]) -> tuple[object, ...]:
    mean, busiest = sum(values) / len(values), values[-1]
    middle, late = quantile(values, 0.5), quantile(values, 0.99)
    return name, len(values), mean, middle, late, busiest, busiest / mean, gini(values)
