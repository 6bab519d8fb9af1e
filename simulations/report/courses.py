"""What changes with time, and the curves of a sweep: success of lookups, the minutes of a run, y over x by series."""

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import EngFormatter, MaxNLocator

from simulations.quantiles import numbers, wilson
from simulations.report.look import LINES, SERIES, Canvas, Grid, Section, label_axes, show_legend
from simulations.results import Row
from simulations.world import START_SECONDS

BINS_MAX = 60
BIN_LOOKUPS = 50  # on average at least, else points are noise
MINUTES_SHOWN_MAX = 60  # rows of a table
PANELS = (
    (("alive", "joined"), "nodes"),
    (("joins", "leaves"), "nodes per minute"),
    (("lookups", "found"), "lookups per minute"),
    (("messages",), "datagrams per minute"),
    (("bytes",), "bytes per minute"),
    (("relays_in_use",), "relays in use"),
)


def success(series: Sequence[tuple[str, list[Row]]]) -> Section | None:
    """The share of lookups of live registrations that succeeded, over virtual time, with its 95 % interval."""
    live = [(label, [row for row in rows if row.get("live")]) for label, rows in series]
    live = [(label, rows) for label, rows in live if numbers(row.get("t") for row in rows)][: len(SERIES)]
    if not live:
        return None
    binned = [(label, _bins(rows)) for label, rows in live]
    if all(len(bins) < 2 for _, bins in binned):
        return None  # one point is no course: the share stands among the figures
    canvas = Canvas(3.3)
    axes = canvas.axes[0]
    grid: list[tuple[Any, ...]] = []
    lowest = 100.0
    for place, (label, bins) in enumerate(binned):
        middles = [(begin + end) / 2 for begin, end, _, _ in bins]
        shares = [100 * hits / tries for _, _, hits, tries in bins]
        bounds = [wilson(hits, tries) for _, _, hits, tries in bins]
        colour, line = SERIES[place], LINES[place]
        low, high = [100 * low for low, _ in bounds], [100 * high for _, high in bounds]
        axes.fill_between(middles, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            middles, shares, color=colour, linestyle=line, label=label, marker="o" if len(bins) < 30 else "", ms=3.5
        )
        lowest = min(lowest, *shares)
        for (begin, end, hits, tries), (least, most) in zip(bins, bounds, strict=True):
            row = (round(begin, 2), round(end, 2), tries, hits, 100 * hits / tries, 100 * least, 100 * most)
            grid.append((label, *row) if len(live) > 1 else row)
    axes.set_ylim(min(95.0, lowest - 1), 100.15)
    label_axes(axes, "virtual minutes since the run began", "found, %")
    show_legend(axes, loc="lower left")
    words = "Share of the lookups of live registrations that found one. The band is the 95 % interval of each point (Wilson)."
    spoken = f"{words} The lowest point is {lowest:.1f} %."
    svg = canvas.svg("success", "Lookups that succeed, over time", spoken)
    headings: tuple[str, ...] = ("from minute", "to minute", "lookups", "found", "found, %", "95 % from", "95 % to")
    headings = ("of", *headings) if len(live) > 1 else headings
    return Section("success", "Whether lookups succeed, over time", words, svg, Grid(headings, tuple(grid)))


def minutes(rows: list[Row]) -> Section | None:
    """Whatever the table `minutes` holds, one small plot for each kind of number."""
    shown = [
        (names, unit) for names, unit in PANELS if any(any(numbers(row.get(name) for row in rows)) for name in names)
    ]
    if not shown or len(rows) < 2:
        return None
    canvas = Canvas(2.1 * ((len(shown) + 1) // 2), columns=2, rows=(len(shown) + 1) // 2, sharex=True)
    for axes, (names, unit) in zip(canvas.axes, shown, strict=False):
        for place, name in enumerate(names):
            points = [(row["minute"], row.get(name)) for row in rows]
            kept = [(x, y) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]
            x, y = [x for x, _ in kept], [y for _, y in kept]
            axes.plot(x, y, color=SERIES[place], linestyle=LINES[place], label=name.replace("_", " "))
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        show_legend(axes, loc="best", fontsize=9)
    for axes in canvas.axes[len(shown) :]:
        axes.set_visible(False)
    for axes in canvas.axes[: len(shown)][-2:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("virtual minutes since the measurement began")
    empty = [unit for names, unit in PANELS if (names, unit) not in shown]
    words = "What was counted in each virtual minute of the measurement; the time that the network took to settle is not in it."
    svg = canvas.svg("minutes", "The run minute by minute", f"Time series of {', '.join(unit for _, unit in shown)}.")
    step = -(-len(rows) // MINUTES_SHOWN_MAX)
    columns = list(rows[0])
    grid = Grid(
        tuple(name.replace("_", " ") for name in columns),
        tuple(tuple(row.get(c) for c in columns) for row in rows[::step]),
    )
    note = f"Nothing happened, and nothing is drawn: {', '.join(empty)}. " if empty else ""
    note += f"The table shows one minute in {step}." if step > 1 else ""
    return Section("minutes", "Minute by minute", words, svg, grid, note)


def curves(rows: list[Row], *, log_x: bool = False) -> Section | None:
    """The table `curve`: y over x, a line through the means of each series."""
    points: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        x, y = row.get("x"), row.get("y")
        if isinstance(x, int | float) and isinstance(y, int | float):
            points.setdefault(str(row.get("series", "")), {}).setdefault(x, []).append(y)
    if not points:
        return None
    canvas = Canvas(3.8)
    axes = canvas.axes[0]
    grid: list[tuple[Any, ...]] = []
    for place, (name, by_x) in enumerate(sorted(points.items())):
        xs = sorted(by_x)
        means = [sum(by_x[x]) / len(by_x[x]) for x in xs]
        colour = SERIES[place % len(SERIES)]
        axes.plot(xs, means, color=colour, linestyle=LINES[place % len(LINES)], label=name, marker="o", ms=4)
        axes.plot(
            [x for x in xs for _ in by_x[x]], [y for x in xs for y in by_x[x]], "o", color=colour, ms=3, alpha=0.4
        )
        grid += [(name, x, mean, len(by_x[x]), min(by_x[x]), max(by_x[x])) for x, mean in zip(xs, means, strict=True)]
    if log_x:
        axes.set_xscale("log")
    label_axes(axes, "x", "y")
    show_legend(axes)
    svg = canvas.svg("curve", "Curves", f"{len(points)} series over {len(grid)} points.")
    headings = ("series", "x", "mean", "runs", "smallest", "largest")
    return Section(
        "curve", "Curves", "Lines go through the means; each run is a dot.", svg, Grid(headings, tuple(grid))
    )


def _bins(rows: list[Row]) -> list[tuple[float, float, int, int]]:
    """(from minute, to minute, found, tried), at most BINS_MAX, without those in which nothing was tried."""
    times = [((float(row["t"] or 0) - START_SECONDS) / 60, bool(row.get("found"))) for row in rows]
    first, last = min(t for t, _ in times), max(t for t, _ in times)
    span = last - first
    count = max(1, min(BINS_MAX, int(span), len(times) // BIN_LOOKUPS))
    width = max(span / count, 1e-9)
    counts: dict[int, list[int]] = {}
    for t, found in times:
        tally = counts.setdefault(min(int((t - first) / width), count - 1), [0, 0])
        tally[0] += found
        tally[1] += 1
    return [(first + n * width, first + (n + 1) * width, hits, tries) for n, (hits, tries) in sorted(counts.items())]
