"""The ring of Node-IDs seen from above: who is where, who is hostile, who is a super-node, and where the records lie."""

import math
from typing import Any

from matplotlib.axes import Axes

from simulations.report.look import FAINT, INK, SERIES, Canvas, Grid, Section
from simulations.results import Row

DOTS_MAX = 1_500  # nodes drawn; the sectors count all
SECTORS = 120
HOSTILE_RADIUS, SUPER_RADIUS, RECORDS_RADIUS, RECORDS_HEIGHT = 0.86, 0.93, 1.05, 0.4


def ring_map(rows: list[Row]) -> Section | None:
    """Nodes by their position in [0, 1), clockwise from the top."""
    placed = sorted((row for row in rows if isinstance(row.get("position"), int | float)), key=_position)
    if not placed:
        return None
    canvas = Canvas(6.0, width=6.6)
    axes = canvas.axes[0]
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.5, 1.5)
    axes.set_ylim(-1.5, 1.5)
    hostile = [row for row in placed if row.get("hostile")]
    supers = [row for row in placed if is_super(row)]
    rest = [row for row in placed if not row.get("hostile")]
    shown = _records(axes, placed)
    _dots(axes, rest, 1.0, {"color": SERIES[0], "marker": "o", "ms": 2.6}, f"{len(rest)} honest nodes")
    _dots(axes, supers, SUPER_RADIUS, {"color": SERIES[2], "marker": "^", "ms": 5}, f"{len(supers)} super-nodes")
    _dots(
        axes, hostile, HOSTILE_RADIUS, {"color": SERIES[1], "marker": "x", "ms": 4.5}, f"{len(hostile)} hostile nodes"
    )
    if shown:
        axes.plot([], [], color=SERIES[5], alpha=0.5, linewidth=7, label="records held, by sector")
    axes.legend(loc="center", fontsize=10, handletextpad=0.7, labelspacing=0.8)
    for angle, text in ((0, "0"), (0.25, "¼"), (0.5, "½"), (0.75, "¾")):
        axes.text(*_at(angle, 1.47), text, ha="center", va="center", color=INK, fontsize=9.5)
    words = "Each node at its Node-ID, clockwise from the top; super-nodes and hostile nodes on rings of their own further in."
    if shown:
        words += " The outer band shows the records that nodes hold, summed over 1/120 of the ring."
    spoken = f"{words} {len(rest)} honest nodes, {len(supers)} super-nodes, {len(hostile)} hostile nodes."
    svg = canvas.svg("ring", "Ring map", spoken)
    most = max(len(rest), len(supers), len(hostile))
    step = -(-most // DOTS_MAX)
    note = (
        f"Of each kind of more than {DOTS_MAX} nodes, every {step}th by position is drawn; the band counts all."
        if step > 1
        else ""
    )
    return Section("ring", "Where nodes and records are", words, svg, _by_eighths(placed), note)


def is_super(row: Row) -> bool:
    """Whether this node relays for others, by its role."""
    return "super" in str(row.get("role", "")).lower()


def _position(row: Row) -> float:
    return float(row["position"] or 0)


def _at(position: float, radius: float) -> tuple[float, float]:
    angle = math.pi / 2 - 2 * math.pi * position
    return radius * math.cos(angle), radius * math.sin(angle)


def _dots(axes: Axes, rows: list[Row], radius: float, style: dict[str, Any], label: str) -> None:
    if not rows:
        return
    step = -(-len(rows) // DOTS_MAX)
    points = [_at(_position(row), radius) for row in rows[::step]]
    axes.plot([x for x, _ in points], [y for _, y in points], linestyle="", label=label, **style)


def _records(axes: Axes, rows: list[Row]) -> bool:
    sums = _sectors(rows, "held", SECTORS)
    highest = max(sums)
    if not highest:
        return False
    inner, outer = [], []
    for sector, value in enumerate(sums):
        radius = RECORDS_RADIUS + RECORDS_HEIGHT * value / highest
        for step in range(4):
            position = (sector + step / 3) / SECTORS
            outer.append(_at(position, radius))
            inner.append(_at(position, RECORDS_RADIUS))
    outline = outer + inner[::-1]
    axes.fill([x for x, _ in outline], [y for _, y in outline], color=SERIES[5], alpha=0.5, linewidth=0)
    circle = [_at(step / 180, RECORDS_RADIUS) for step in range(181)]
    axes.plot([x for x, _ in circle], [y for _, y in circle], color=FAINT, linewidth=0.8)
    return True


def _sectors(rows: list[Row], column: str, count: int) -> list[float]:
    sums = [0.0] * count
    for row in rows:
        value = row.get(column)
        if isinstance(value, int | float):
            sums[min(int(_position(row) * count), count - 1)] += value
    return sums


def _by_eighths(rows: list[Row]) -> Grid:
    held = _sectors(rows, "held", 8)
    lines = []
    for eighth in range(8):
        inside = [row for row in rows if min(int(_position(row) * 8), 7) == eighth]
        hostile = sum(bool(row.get("hostile")) for row in inside)
        supers = sum(is_super(row) for row in inside)
        lines.append((f"{eighth}/8 to {eighth + 1}/8", len(inside), supers, hostile, round(held[eighth])))
    return Grid(("part of the ring", "nodes", "super-nodes", "hostile", "records held"), tuple(lines))
