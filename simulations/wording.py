"""Numbers as a person reads them, and rows of text in columns: for the terminal and for reports. Needs no package."""

import textwrap
from collections.abc import Sequence
from typing import Any

from simulations.results import Figure

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
SIGNIFICANT = 4
FIRST_COLUMN_MAX = 56  # letters; what is longer goes on in the next line
GAP = "  "


def number(value: Any) -> str:
    """`12 345`, `0.03214`, `1.25e-7`, `yes`, or a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", NARROW_SPACE)
    if isinstance(value, float):
        return _float(value)
    return str(value)


def is_number(value: Any) -> bool:
    """Whether this stands to the right in a column."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def goal_words(goal: str | None) -> str:
    """A goal with the signs that print uses."""
    return (goal or "").replace(">=", "≥").replace("<=", "≤")


def goals_first(figures: Sequence[Figure]) -> list[Figure]:
    """Goals that were not met, goals that were, and then the other figures; each in their own order."""
    order = {False: 0, True: 1, None: 2}
    return sorted(figures, key=lambda each: (order[each.met], each.goal is None))


def in_columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """One text for each row, its cells below those of the other rows; the columns in `right` end together.

    A long first cell is broken into lines, the rest of its row stands in the last of them.
    """
    count = max((len(row) for row in rows), default=0)
    first = min(FIRST_COLUMN_MAX, max((len(row[0]) for row in rows), default=0))
    widths = [first, *(_width(rows, place, place in right) for place in range(1, count))]
    texts = []
    for row in rows:
        *above, last = textwrap.wrap(row[0], first) or [""]
        cells = [last, *row[1:]]
        line = GAP.join(
            cell.rjust(widths[place]) if place in right else cell.ljust(widths[place])
            for place, cell in enumerate(cells)
        )
        texts.append("\n".join([*above, line.rstrip()]))
    return texts


def _width(rows: Sequence[Sequence[str]], place: int, is_right: bool) -> int:
    """Of a column; a text with nothing after it takes what room it wants."""
    cells = [row[place] for row in rows if len(row) > place and (is_right or any(row[place + 1 :]))]
    return max(map(len, cells), default=0)


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return number(round(value))
    if size < 1e-4:
        return f"{value:.{SIGNIFICANT - 1}g}"
    return f"{value:.{SIGNIFICANT}g}"
