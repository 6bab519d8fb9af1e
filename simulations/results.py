"""What a run of a scenario leaves behind: its parameters, figures, checks and tables; saved as JSON or Parquet and read again.

A path that ends in `.json` is one JSON file. Any other path is a directory: `result.json` for all but the tables, and one Parquet
file per table. Both give back exactly what was saved, with two rules that make it possible: all rows of a table have the same
columns (a column that a row lacks is None), and a float that is no finite number is None. Written whole or not at all.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from p2psip.base.errors import P2psipError
from simulations.extra import load as load_extra

FORMAT = 1
SUMMARY = "result.json"
RESULT_BYTES_MAX = 2 << 30  # of one JSON file: four hours of 10 000 peers fit many times

Cell = int | float | str | bool | None
Row = dict[str, Cell]


class ResultError(P2psipError):
    """A result cannot be written or read; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that sums a run up. `goal` says in words what was to be shown, `met` whether it was; None if nothing was."""

    name: str
    value: float | int | str | None
    unit: str = ""
    goal: str | None = None
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict of one checker; `detail` is its first finding, empty if it passed."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(slots=True)
class Result:
    """One run of one scenario. Times in seconds; `cpu_seconds` and `wall_seconds` are real, `virtual_seconds` is not.

    `commit` names the code (a git id, or the version of the package), `sealing` is "real" or "stand-in", `interrupted` says that
    somebody stopped the run before its end. `tables` maps a name to rows (simulations/recorder.py lists the tables and columns);
    of a table in `kept_one_in` only every n-th row was kept. `study` is the file of a researcher's own scenario, with the digest of
    its text; both are empty for a scenario of the project.
    """

    scenario: str
    seed: int
    commit: str = ""
    version: str = ""
    parameters: dict[str, Cell] = field(default_factory=dict)
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0
    messages: int = 0
    trace_hash: str = ""
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    sealing: str = "real"
    interrupted: bool = False
    study: str = ""
    study_digest: str = ""
    kept_one_in: dict[str, int] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """The scenario as the command line names it."""
        return f"{self.study}:{self.scenario}" if self.study else self.scenario

    @property
    def passed(self) -> bool:
        """Whether no checker failed."""
        return all(check.passed for check in self.checks)

    def save(self, path: Path) -> None:
        """Write to `path`, over an earlier result; brings the tables into their saved form (see the module) first."""
        self.tables = {name: completed(rows) for name, rows in self.tables.items()}
        ensure_writable(path)
        summary = _summary(self)
        if path.suffix == ".json":
            write_atomically(path, _json({**summary, "tables": self.tables}))
            return
        parquet = load_extra("simulations.parquet")
        with _replacing_directory(path) as folder:
            (folder / SUMMARY).write_bytes(_json({**summary, "tables": list(self.tables)}))
            for name, rows in self.tables.items():
                parquet.write_table(folder / f"{name}.parquet", rows)


def load(path: Path) -> Result:
    """Read what `Result.save` wrote; raises ResultError."""
    if not path.exists():
        raise ResultError(f"there is no result at {path}")
    whole = not path.is_dir()
    summary = _read_json(path if whole else path / SUMMARY)
    if summary.pop("format", None) != FORMAT:
        raise ResultError(f"{path} is no result of this version of p2psip simulate: run the scenario again")
    try:
        tables = summary.pop("tables")
        if not whole:
            parquet = load_extra("simulations.parquet")
            tables = {name: parquet.read_table(path / f"{name}.parquet") for name in tables}
        figures = [Figure(**figure) for figure in summary.pop("figures")]
        checks = [Check(**check) for check in summary.pop("checks")]
        return Result(**summary, figures=figures, checks=checks, tables=tables)
    except (AttributeError, KeyError, TypeError) as error:
        raise ResultError(f"{path} is no result of p2psip simulate, or was damaged") from error


def ensure_writable(path: Path) -> None:
    """Raise ResultError, before a long run, if a result could not be saved at `path`."""
    if path.suffix == ".json":
        ensure_file_writable(path)
        return
    if path.exists() and not path.is_dir():
        raise ResultError(f"{path} is a file: name a file that ends in .json, or a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / SUMMARY).exists():
        raise ResultError(f"{path} is a folder with other things in it: name a new one, or a file that ends in .json")
    _ensure_parent_writable(path)


def ensure_file_writable(path: Path) -> None:
    """Raise ResultError if `write_atomically` could not write to `path`."""
    if path.is_dir():
        raise ResultError(f"{path} is a folder: name a file")
    _ensure_parent_writable(path)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with _own_words(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def completed(rows: list[Row]) -> list[Row]:
    """Rows in their saved form: the same columns in the same order, None where there is nothing or no finite number."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return [{column: _finite(row.get(column)) for column in columns} for row in rows]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_all(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite_all(part) for part in value]
    return _finite(value)


def _summary(result: Result) -> dict[str, Any]:
    names = [name for name in Result.__dataclass_fields__ if name not in ("tables", "figures", "checks")]
    summary: dict[str, Any] = {"format": FORMAT, **{name: getattr(result, name) for name in names}}
    summary["figures"] = [asdict(figure) for figure in result.figures]
    summary["checks"] = [asdict(check) for check in result.checks]
    plain: dict[str, Any] = _finite_all(summary)
    return plain


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with _own_words(path):
            if path.stat().st_size > RESULT_BYTES_MAX:
                raise ResultError(f"{path} is too large for a JSON result: save into a folder (Parquet) instead")
            value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is no result of p2psip simulate: it holds no JSON") from error
    if not isinstance(value, dict):
        raise ResultError(f"{path} is no result of p2psip simulate, or was damaged")
    return value


@contextmanager
def _own_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror or error}") from error


@contextmanager
def _replacing_directory(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well."""
    with _own_words(path):
        new = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield new
            new.chmod(0o777 & ~_umask())
            if path.exists():
                old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
                os.replace(path, old / "old")
                os.replace(new, path)
                shutil.rmtree(old)
            else:
                os.replace(new, path)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _ensure_parent_writable(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResultError(f"there is no folder {folder}: make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResultError(f"{folder} cannot be written to: name another place")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
