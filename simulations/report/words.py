"""Cells and tables of a page."""

import html
from typing import Any

from simulations.wording import NARROW_SPACE, is_number, number


def share(value: float | None) -> str:
    """A share as a percentage, with more digits close to 100 %."""
    if value is None:
        return "–"
    percent = 100 * value
    digits = 2 if 99 <= percent < 100 else 1
    return f"{percent:.{digits}f}{NARROW_SPACE}%"


def cell(value: Any) -> str:
    """A cell of a table as HTML."""
    kind = ' class="n"' if is_number(value) else ""
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
    right = ' class="n"' if 2 * sum(map(is_number, column)) > len(column) else ""
    return f'<th scope="col"{right}>{html.escape(text)}</th>'


def _given(value: Any) -> str:
    return str(value) if isinstance(value, Markup) else cell(value)


class Markup(str):
    """A cell that is HTML already."""

    __slots__ = ()
