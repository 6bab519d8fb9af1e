"""Distributions: cumulative curves and histograms, of one result or of several laid over one another."""

from collections import Counter
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from simulations.quantiles import numbers, quantile
from simulations.report.look import LINES, SERIES, Canvas, Grid, Section, label_axes, plain_number, show_legend
from simulations.results import Row
from simulations.wording import number

POINTS_MAX = 400  # of one curve
TAIL_SHARE, TAIL_ROOM = (
    0.99,
    1.25,
)  # an axis ends a little after this quantile, else one straggler makes the rest a line
LOG_SPREAD = 50.0  # the 99th percentile over the median from which an axis is logarithmic
HOPS_MAX = 40
HOPS_SHOWN_MIN = 4  # on the axis, so that a bar is no wall
MARKED_MIN = 20  # values of a curve whose median and 95th percentile are marked
QUANTILES = ("count", "mean", "5 %", "median", "90 %", "95 %", "99 %", "largest")

Series = Sequence[tuple[str, list[Row]]]
"""One table of each result, with the name of the result ("" if there is only one)."""
Named = list[tuple[str, list[float]]]


def lookup_latency(series: Series) -> Section | None:
    """Time of lookups that found a live registration, in seconds and in round trips of the median link."""
    found = _select(series, "seconds", _succeeded)
    trips = _select(series, "round_trips", _succeeded)
    panels = [(found, "seconds"), (trips, "round trips of the median link")]
    return _curves(
        "latency",
        "How long lookups take",
        "Cumulative share of the lookups that found a live registration; those answered from the node's own cache are left out.",
        [panel for panel in panels if panel[0]],
    )


def call_setup(series: Series) -> Section | None:
    """Time from dialling to an answered call, by the way of its media if there is one result."""
    if len(series) == 1:
        rows = series[0][1]
        ways = sorted({str(row.get("way")) for row in rows if row.get("way") not in (None, "none")})
        series = [(way, [row for row in rows if row.get("way") == way]) for way in ways] or series
    setup = _select(series, "setup_seconds", lambda row: True)
    words = "Cumulative share of calls by the time until media could flow."
    return _curves("setup", "How long calls take to set up", words, [(setup, "seconds")] if setup else [])


def traffic(series: Series) -> Section | None:
    """Bytes per second of each node, by role if there is one result."""
    if len(series) == 1:
        rows = [row for row in series[0][1] if row.get("role") is not None]
        roles = sorted({str(row["role"]) for row in rows})
        if len(roles) > 1:
            series = [("all", series[0][1]), *((role, [row for row in rows if row["role"] == role]) for role in roles)]
    rates = _select(series, "bytes_per_second", lambda row: True)
    words = "Cumulative share of nodes by the overlay traffic that each sends and receives on average while it is up."
    return _curves("traffic", "What a node sends and receives", words, [(rates, "bytes per second")] if rates else [])


def hops(series: Series) -> Section | None:
    """How many hops lookups needed."""
    found = _select(series, "hops", _succeeded)
    if not found:
        return None
    canvas = Canvas(3.2)
    axes = canvas.axes[0]
    width = 0.8 / len(found)
    shares = []
    for place, (label, values) in enumerate(found):
        counts = Counter(min(round(value), HOPS_MAX) for value in values)
        share = {hop: 100 * counts[hop] / len(values) for hop in range(max(counts) + 1)}
        shares.append(share)
        shift = (place - (len(found) - 1) / 2) * width
        bars = axes.bar(
            [hop + shift for hop in share], list(share.values()), width * 0.94, color=SERIES[place], label=label
        )
        if len(found) == 1:
            axes.bar_label(
                bars, [f"{value:.1f}" if value >= 0.05 else "" for value in share.values()], padding=2, fontsize=9
            )
    label_axes(axes, "hops to the node that answered", "share of lookups, %")
    most = max(HOPS_SHOWN_MIN, *(max(share) for share in shares))
    axes.set_xticks(range(most + 1))
    axes.set_xlim(-0.6, most + 0.6)
    axes.grid(visible=False, axis="x")
    show_legend(axes)
    words = "Hops from the asking node to the one whose answer ended the lookup; those answered from the cache are left out."
    svg = canvas.svg("hops", "Histogram of hops", f"{words} {_spoken(found)}")
    return Section("hops", "How many hops lookups need", words, svg, quantile_grid(found, "hops"))


def quantile_grid(named: Named, unit: str) -> Grid:
    """The quantiles of each list, one row each."""
    rows = []
    for label, values in named:
        places = [quantile(values, share) for share in (0.05, 0.5, 0.9, 0.95, 0.99)]
        rows.append((label or "all", unit, len(values), sum(values) / len(values), *places, values[-1]))
    return Grid(("of", "unit", *QUANTILES), tuple(rows))


def thinned(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """An ascending list as a cumulative curve of at most POINTS_MAX points: (value, share), evenly spaced by share."""
    count = len(values)
    if count < POINTS_MAX:
        return [values[0], *values], [place / count for place in range(count + 1)]
    shares = [place / (POINTS_MAX - 1) for place in range(POINTS_MAX)]
    return [quantile(values, share) for share in shares], shares


def _curves(name: str, title: str, words: str, panels: list[tuple[Named, str]]) -> Section | None:
    if not panels:
        return None
    canvas = Canvas(3.5, columns=len(panels))
    rows: list[tuple[object, ...]] = []
    for axes, (named, unit) in zip(canvas.axes, panels, strict=True):
        _draw(axes, named, unit)
        rows += quantile_grid(named, unit).rows
    canvas.axes[0].set_ylabel("share of lookups, %" if name == "latency" else "share, %")
    spoken = "; ".join(f"in {unit}: {_spoken(named)}" for named, unit in panels)
    svg = canvas.svg(name, title, f"{words} {spoken}")
    count = max(len(values) for named, _ in panels for _, values in named)
    note = "The axis ends soon after the 99th percentile; the largest value stands in the numbers."
    fewest = min(len(values) for named, _ in panels for _, values in named)
    if fewest < MARKED_MIN:
        note += f" A curve of fewer than {MARKED_MIN} values says little: here there are as few as {fewest}."
    if count >= POINTS_MAX:
        note += f" Curves have at most {POINTS_MAX} points, evenly spaced by share."
    return Section(name, title, words, svg, Grid(("of", "unit", *QUANTILES), tuple(rows)), note)


def _draw(axes: Axes, named: Named, unit: str) -> None:
    ends = [min(quantile(values, TAIL_SHARE), values[-1]) for _, values in named]
    for place, (label, values) in enumerate(named):
        x, y = thinned(values)
        axes.step(
            x, [100 * share for share in y], where="post", color=SERIES[place], linestyle=LINES[place], label=label
        )
    if len(named) == 1 and len(named[0][1]) >= MARKED_MIN:
        values = named[0][1]
        for share, word in ((0.5, "median"), (0.95, "95 %")):
            at = quantile(values, share)
            axes.plot([at], [100 * share], "o", color=SERIES[0], markersize=5)
            axes.annotate(
                f"{word} {number(float(f'{at:.3g}'))}",
                (at, 100 * share),
                (7, -11),
                textcoords="offset points",
                fontsize=9.5,
            )
    axes.set_xlabel(unit)
    axes.set_ylim(0, 102)
    spread = [quantile(values, 0.99) / max(quantile(values, 0.5), 1e-9) for _, values in named]
    lowest = min(values[0] for _, values in named)
    if max(spread) > LOG_SPREAD and lowest > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(plain_number)
    else:
        axes.set_xlim(0, max([*ends, 1e-9]) * TAIL_ROOM)
    show_legend(axes, loc="lower right")


def _spoken(named: Named) -> str:
    return "; ".join(
        f"{label + ': ' if label else ''}median {quantile(values, 0.5):.3g}, 95 % below {quantile(values, 0.95):.3g}"
        for label, values in named
    )


def _select(series: Series, column: str, wanted: Callable[[Row], bool]) -> Named:
    named = [(label, numbers(row.get(column) for row in rows if wanted(row))) for label, rows in series]
    return [(label, values) for label, values in named if values][: len(SERIES)]


def _succeeded(row: Row) -> bool:
    return bool(row.get("found")) and row.get("live") is not False and not row.get("cached")
