"""One exchange as a ladder: time downwards, a column for each node, an arrow for each datagram; as text and as SVG.

Takes rows of the table `ladder`: t (seconds since the begin), from, to, what, bytes, and maybe lost (a truth).
"""

import html

from simulations.results import Row

COLUMNS_MAX = 12  # nodes with a column of their own; the others share the last
ROWS_MAX = 200
OTHERS = "others"
_TEXT_STEP = 14
_STEP, _ROW, _LEFT, _TOP = 108, 24, 74, 54


def ladder_text(rows: list[Row], width: int = 120) -> str:
    """A ladder for the terminal, or a list of datagrams where the columns would not fit in `width` letters."""
    columns = _columns(rows)
    if 12 + _TEXT_STEP * len(columns) + 24 > width:
        return "\n".join([_listed(row) for row in rows[:ROWS_MAX]] + _rest(rows))
    lines = [" " * 12 + "".join(name[: _TEXT_STEP - 2].center(_TEXT_STEP) for name in columns)]
    for row in rows[:ROWS_MAX]:
        source, target = _place(columns, row["from"]), _place(columns, row["to"])
        arrow = _text_arrow(len(columns), source, target, lost=bool(row.get("lost")))
        lines.append(f"{_seconds(row)} {arrow}  {row.get('what', '')} {_size(row)}".rstrip())
    return "\n".join(lines + _rest(rows))


def ladder_svg(rows: list[Row], *, name: str = "ladder", description: str = "") -> str:
    """The ladder as an SVG element that takes its colours from the page."""
    columns = _columns(rows)
    shown = rows[:ROWS_MAX]
    width = _LEFT + _STEP * len(columns)
    height = _TOP + _ROW * len(shown) + 16
    parts = [
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width} {height}" '
        f'style="width:{width}px;max-width:100%;height:auto;font:11px var(--face)">'
        f'<title id="{name}-title">Ladder of one lookup</title><desc id="{name}-desc">{html.escape(description)}</desc>'
        f'<defs><marker id="{name}-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:var(--s1)"/></marker></defs>'
    ]
    for place, column in enumerate(columns):
        x = _middle(place)
        parts.append(f'<path d="M{x} {_TOP - 12}V{height - 8}" style="stroke:var(--grid)"/>')
        parts.append(
            f'<text x="{x}" y="{_TOP - 20}" text-anchor="middle" style="fill:var(--ink);font-weight:600">'
            f"{html.escape(column)}</text>"
        )
    for number, row in enumerate(shown):
        parts.append(_svg_arrow(columns, row, _TOP + _ROW * number + 12, name))
    return "".join(parts) + "</svg>"


def _svg_arrow(columns: list[str], row: Row, y: int, name: str) -> str:
    source, target = _middle(_place(columns, row["from"])), _middle(_place(columns, row["to"]))
    dashes = ";stroke-dasharray:3 4" if row.get("lost") else ""
    label = html.escape(f"{row.get('what', '')} {_size(row)}".strip())
    middle = (source + target) / 2
    return (
        f'<text x="4" y="{y + 4}" style="fill:var(--soft)">{_seconds(row).strip()}</text>'
        f'<path d="M{source} {y}H{target}" style="stroke:var(--s1);stroke-width:1.4{dashes}" marker-end="url(#{name}-head)"/>'
        f'<text x="{middle:g}" y="{y - 4}" text-anchor="middle" '
        f'style="fill:var(--ink);stroke:var(--paper);stroke-width:3;paint-order:stroke;font-size:9.5px">{label}</text>'
    )


def _columns(rows: list[Row]) -> list[str]:
    """The nodes in the order in which they appear; the asker first."""
    names = list(dict.fromkeys(str(row[end]) for row in rows[:ROWS_MAX] for end in ("from", "to")))
    return names if len(names) <= COLUMNS_MAX else [*names[: COLUMNS_MAX - 1], OTHERS]


def _place(columns: list[str], name: object) -> int:
    return columns.index(str(name)) if str(name) in columns else len(columns) - 1


def _middle(place: int) -> int:
    return _LEFT + _STEP * place + _STEP // 2


def _text_arrow(count: int, source: int, target: int, *, lost: bool) -> str:
    line = list(" " * (_TEXT_STEP * count))
    for place in range(count):
        line[place * _TEXT_STEP + _TEXT_STEP // 2] = "│"
    left, right = (place * _TEXT_STEP + _TEXT_STEP // 2 for place in sorted((source, target)))
    for place in range(left + 1, right):
        line[place] = "╌" if lost else "─"
    if source != target:
        line[right - 1 if target > source else left + 1] = "×" if lost else ("▶" if target > source else "◀")
    return "".join(line)


def _listed(row: Row) -> str:
    arrow = "-x" if row.get("lost") else "->"
    return f"{_seconds(row)}  {row['from']} {arrow} {row['to']}  {row.get('what', '')} {_size(row)}".rstrip()


def _rest(rows: list[Row]) -> list[str]:
    return [f"and {len(rows) - ROWS_MAX} more"] if len(rows) > ROWS_MAX else []


def _seconds(row: Row) -> str:
    t = row.get("t")
    return f"{t:9.3f} s" if isinstance(t, int | float) else " " * 11


def _size(row: Row) -> str:
    return f"({row['bytes']} bytes)" if row.get("bytes") is not None else ""
