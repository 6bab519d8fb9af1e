"""How answers are printed: as JSON when asked for, else as short text and tables for a person."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import segno
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from p2psip.app.json_lines import json_line


class Printer:
    """Prints each answer in one of two ways; both show the same facts."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True, emoji=False)

    def answer(self, value: Any, for_a_person: Callable[[], None]) -> None:
        """`value` as one JSON line, or whatever `for_a_person` prints."""
        if self.as_json:
            print(json_line(value), flush=True)
        else:
            for_a_person()

    def text(self, words: str) -> None:
        """One line (rich markup) for a person; nothing with `--json`."""
        if not self.as_json:
            self.console.print(words)

    def facts(self, title: str, facts: Mapping[str, Any]) -> None:
        """Names and values in two columns."""
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, value in facts.items():
            table.add_row(f"[bold]{literal(name)}[/]", literal(value))
        self.console.print(table)

    def rows(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table with headings."""
        table = Table(*headings, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(literal(cell) for cell in row))
        self.console.print(table)

    def qr(self, content: str) -> None:
        """A QR code made of half-block characters; nothing with `--json` or where output is no terminal."""
        if not self.as_json and self.console.is_terminal:
            segno.make(content, error="l").terminal(compact=True)


def literal(value: Any) -> str:
    """Text from elsewhere as it stands: no markup of rich ("[fe80::1]" is none), no control characters to a terminal."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value)))
