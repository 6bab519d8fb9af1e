"""One HTML file around sections: the head that forbids every request, the style, contents, and the numbers under each plot."""

import html
from collections.abc import Sequence
from pathlib import Path

from simulations.report.look import Section
from simulations.report.words import table

REPORT_BYTES_MAX = 2_000_000
ROWS_SHOWN_MAX = 200  # of one table

_STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, lead: str, top: str, sections: Sequence[Section], bottom: str) -> str:
    """The whole page. `title` is plain text; `lead`, `top` and `bottom` are HTML."""
    contents = "".join(f'<li><a href="#{each.name}">{html.escape(each.title)}</a></li>' for each in sections)
    nav = f'<nav aria-label="Plots"><ul>{contents}</ul></nav>' if len(sections) > 2 else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n<body>'
        f'<header><h1>{html.escape(title)}</h1><p class="lead">{lead}</p></header>\n'
        f"<main>{top}{nav}\n{''.join(map(_section, sections))}{bottom}</main>\n"
        "<footer>Made by p2psip simulate. This file holds everything it shows.</footer></body></html>\n"
    )


def heading(name: str, title: str) -> str:
    """A heading that links can lead to."""
    return f'<h2 id="{name}">{html.escape(title)}</h2>'


def _section(section: Section) -> str:
    rows = section.grid.rows[:ROWS_SHOWN_MAX]
    more = len(section.grid.rows) - len(rows)
    left_out = f'<p class="note">{more} more rows are in the result.</p>' if more else ""
    note = f'<p class="note">{html.escape(section.note)}</p>' if section.note else ""
    numbers = f"<details><summary>Numbers</summary>{table(section.grid.headings, rows)}{left_out}</details>"
    return (
        f"<section>{heading(section.name, section.title)}<p>{html.escape(section.words)}</p>"
        f"<figure>{section.svg}</figure>{note}{numbers if rows else ''}</section>\n"
    )
