"""Collects the tables and figures of a run while it goes on; `tables()` gives the rows of `simulations.results.Result`.

Columns that the report knows (t is the time of the world, which begins at START_SECONDS; a table may have more columns, and a run
more tables):

- `lookups`: t, node, target, live, found, stale, seconds, round_trips, hops, messages, nat, target_nat
- `calls`: t, caller, callee, nat, callee_nat, outcome, cause, setup_seconds, way (direct, relayed, tls, none)
- `minutes`: minute, alive, joined, joins, leaves, lookups, found, messages, bytes, relays_in_use
- `nodes`: node, position (0 to 1 on the ring), role, nat, hostile, up_seconds, sent_bytes, received_bytes, bytes_per_second,
  messages, held, contacts, served, relayed
- `curve`: x, series, y
- `ladder`: t, from, to, what, bytes
"""

from simulations.results import Cell, Figure, Row

ROWS_MAX = 400_000  # of one table
TABLES_MAX = 32
FIGURES_MAX = 200
LATE_COLUMN = "a table is not given new columns after its first row"


class Recorder:
    """Tables column by column, which takes a fifth of the memory of rows.

    A table that is full keeps every second row from then on, so it stays an even sample of the whole run; `kept_one_in` tells.
    """

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self._columns: dict[str, dict[str, list[Cell]]] = {}
        self._strides: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def record(self, table: str, /, **row: Cell) -> None:
        """Add a row. The first row of a table settles its columns; a later row may lack some (None), not have new ones."""
        columns = self._columns.get(table)
        if columns is None:
            if len(self._columns) >= TABLES_MAX:
                raise ValueError(f"a result has at most {TABLES_MAX} tables")
            columns = self._columns[table] = {name: [] for name in row}
            self._strides[table], self._seen[table] = 1, 0
        elif not row.keys() <= columns.keys():
            raise ValueError(f"{LATE_COLUMN}: {table} has {', '.join(columns)}")
        number = self._seen[table]
        self._seen[table] = number + 1
        if number % self._strides[table]:
            return
        for name, cells in columns.items():
            cells.append(row.get(name))
        if len(cells) > ROWS_MAX:
            self._strides[table] *= 2
            for cells in columns.values():
                del cells[1::2]

    def figure(
        self,
        name: str,
        value: float | int | str | None,
        unit: str = "",
        *,
        goal: str | None = None,
        met: bool | None = None,
    ) -> None:
        """Add a figure, or replace the one of that name."""
        figure = Figure(name, value, unit, goal, met)
        for place, other in enumerate(self.figures):
            if other.name == name:
                self.figures[place] = figure
                return
        if len(self.figures) >= FIGURES_MAX:
            raise ValueError(f"a result has at most {FIGURES_MAX} figures")
        self.figures.append(figure)

    def column(self, table: str, name: str) -> list[Cell]:
        """The cells of a column so far (not to be changed); empty if there are none."""
        return self._columns.get(table, {}).get(name, [])

    def kept_one_in(self, table: str) -> int:
        """1, or n if only every n-th row of that table is kept."""
        return self._strides.get(table, 1)

    def thinned(self) -> dict[str, int]:
        """The tables that were full, with `kept_one_in` of each."""
        return {table: stride for table, stride in self._strides.items() if stride > 1}

    def tables(self) -> dict[str, list[Row]]:
        """All rows."""
        return {table: _rows(columns) for table, columns in self._columns.items()}


def _rows(columns: dict[str, list[Cell]]) -> list[Row]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
