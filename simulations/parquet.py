"""Tables of a result as Parquet files, exactly: a column of one kind is typed, one of mixed kinds is JSON text and marked so."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simulations.results import ResultError, Row

_KIND = b"p2psip"
_AS_JSON = {_KIND: b"json"}
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_INT64_MAX = (1 << 63) - 1


def write_table(path: Path, rows: list[Row]) -> None:
    """Write rows that all have the same columns."""
    columns = list(rows[0]) if rows else []
    fields, arrays = [], []
    for name in columns:
        values: list[Any] = [row[name] for row in rows]
        kind = _kind(values)
        if kind is None:
            values = [json.dumps(value) for value in values]
            fields.append(pa.field(name, pa.string(), metadata=_AS_JSON))
        else:
            fields.append(pa.field(name, kind))
        arrays.append(pa.array(values, type=fields[-1].type))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path, compression="zstd")


def read_table(path: Path) -> list[Row]:
    """The rows of a file that `write_table` wrote; raises ResultError."""
    try:
        table = pq.read_table(path)
        columns = {field.name: _values(table.column(field.name), field) for field in table.schema}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ResultError(f"{path} cannot be read: it is missing or damaged") from error
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _values(column: Any, field: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if (field.metadata or {}).get(_KIND) == _AS_JSON[_KIND]:
        return [json.loads(value) for value in values]
    return values


def _kind(values: list[Any]) -> Any:
    """The Parquet type that holds all values exactly, or None if there is none."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.null()
    kind = kinds.pop()
    if kinds or kind not in _TYPES:
        return None
    if kind is int and any(value is not None and abs(value) > _INT64_MAX for value in values):
        return None
    return _TYPES[kind]
