"""Numbers and cells as a person reads them."""

import html
from typing import Any

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
SIGNIFICANT = 4


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


def share(value: float | None) -> str:
    """A share as a percentage, with more digits close to 100 %."""
    if value is None:
        return "–"
    percent = 100 * value
    digits = 2 if 99 <= percent < 100 else 1
    return f"{percent:.{digits}f}{NARROW_SPACE}%"


def cell(value: Any) -> str:
    """A cell of a table as HTML."""
    kind = ' class="n"' if _is_number(value) else ""
    return f"<td{kind}>{html.escape(number(value))}</td>"


def table(headings: Any, rows: Any, kind: str = "") -> str:
    """An HTML table; a cell that begins with `<td` is taken as it is."""
    rows = list(rows)
    head = "".join(_heading(str(each), [row[place] for row in rows]) for place, each in enumerate(headings))
    body = "".join(f"<tr>{''.join(_given(each) for each in row)}</tr>" for row in rows)
    attribute = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{attribute}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _heading(text: str, column: list[Any]) -> str:
    """Over numbers the heading stands to the right, as they do."""
    right = ' class="n"' if column and all(_is_number(value) or value is None for value in column) else ""
    return f'<th scope="col"{right}>{html.escape(text)}</th>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _given(value: Any) -> str:
    return str(value) if isinstance(value, Markup) else cell(value)


class Markup(str):
    """A cell that is HTML already."""

    __slots__ = ()


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
    text = f"{value:.{SIGNIFICANT}g}"
    return text
