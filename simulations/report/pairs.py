"""Which way the media of calls took, for each pair of NATs: heat maps with the numbers in them."""

from collections import Counter

import matplotlib as mpl
from matplotlib.axes import Axes

from simulations.report.look import Canvas, Grid, Section
from simulations.results import Row

KINDS_MAX = 10  # kinds of NAT on an axis; the rarest beyond are left out
WAYS = (
    ("direct", "direct"),
    ("relayed", "relayed by a super-node"),
    ("tls", "relayed over TLS"),
    ("none", "no media"),
)
ORDER = (
    "public",
    "firewall",
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric",
    "carrier-grade",
    "carrier-grade-symmetric",
    "udp-blocked",
)
_COLOURS = mpl.colormaps["cividis"]
Pair = tuple[str, str]


def ways(rows: list[Row]) -> Section | None:
    """Shares of direct, relayed, TLS and none by the NATs of caller (rows) and callee (columns)."""
    calls = [row for row in rows if row.get("way") is not None and row.get("nat") and row.get("callee_nat")]
    if not calls:
        return None
    seen = Counter(str(row[end]) for row in calls for end in ("nat", "callee_nat"))
    common = sorted(seen, key=lambda kind: (-seen[kind], kind))[:KINDS_MAX]
    kinds = sorted(common, key=lambda kind: (ORDER.index(kind) if kind in ORDER else len(ORDER), kind))
    counts = Counter((str(row["nat"]), str(row["callee_nat"]), str(row["way"])) for row in calls)
    totals: Counter[Pair] = Counter()
    for (caller, callee, _), count in counts.items():
        totals[caller, callee] += count
    shown = [(way, title) for way, title in WAYS if any(key[2] == way for key in counts)]
    size = max(2.2, 0.46 * len(kinds) + 1.2)
    columns = min(2, len(shown))
    canvas = Canvas(size * -(-len(shown) // columns), columns=columns, rows=-(-len(shown) // columns))
    for axes, (way, title) in zip(canvas.axes, shown, strict=False):
        share = {pair: 100 * counts[*pair, way] / total for pair, total in totals.items()}
        _heat(axes, kinds, share, f"{title}, %")
    for axes in canvas.axes[len(shown) :]:
        axes.set_visible(False)
    words = "Rows are the caller's NAT, columns the callee's. A cell is the share of their calls; empty where none was made."
    overall = Counter(str(row["way"]) for row in calls)
    spoken = ", ".join(f"{title} {100 * overall[way] / len(calls):.1f} %" for way, title in shown)
    svg = canvas.svg("ways", "Ways of media by pair of NATs", f"{words} Of all calls: {spoken}.")
    lines = []
    for caller in kinds:
        for callee in kinds:
            if total := totals[caller, callee]:
                lines.append((caller, callee, total, *(100 * counts[caller, callee, way] / total for way, _ in shown)))
    grid = Grid(("caller", "callee", "calls", *(f"{way}, %" for way, _ in shown)), tuple(lines))
    note = f"The {KINDS_MAX} most frequent kinds of NAT are shown." if len(seen) > KINDS_MAX else ""
    return Section("ways", "Which way calls take, by pair of NATs", f"{words} Of all calls: {spoken}.", svg, grid, note)


def _heat(axes: Axes, kinds: list[str], share: dict[Pair, float], title: str) -> None:
    count = len(kinds)
    for row, caller in enumerate(kinds):
        for column, callee in enumerate(kinds):
            if (caller, callee) not in share:
                continue
            value = share[caller, callee]
            colour = mpl.colors.to_hex(_COLOURS(value / 100))
            axes.fill([column, column + 0.96, column + 0.96, column], [row, row, row + 0.96, row + 0.96], color=colour)
            ink = "#ffffff" if value < 55 else "#000000"
            axes.text(column + 0.48, row + 0.5, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_title(title)
    axes.set_xlim(0, count)
    axes.set_ylim(count, 0)
    axes.set_xticks([place + 0.48 for place in range(count)], kinds, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks([place + 0.48 for place in range(count)], kinds)
    axes.tick_params(length=0, labelsize=9)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
