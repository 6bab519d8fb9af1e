"""The one table that all benchmarks are printed in."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows (name, value, unit, peer, peer_value, ratio, goal) as a table."""
    table = Table(title=title, title_justify="left")
    for heading, justify in (("measured", "left"), ("p2psip", "right"), ("unit", "left"), ("peer", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for heading in ("peer's", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("goal")
    for row in rows:
        table.add_row(
            str(row["name"]),
            _number(row.get("value")),
            str(row.get("unit") or ""),
            str(row.get("peer") or ""),
            _number(row.get("peer_value")),
            _number(row.get("ratio")),
            str(row.get("goal") or ""),
        )
    Console(width=160).print(table)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
