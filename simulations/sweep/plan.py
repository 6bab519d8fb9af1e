"""What a sweep file says: a scenario, fixed parameters, a grid, seeds, and the curves to draw. Read here, run elsewhere.

The file is TOML:

    scenario = "churn"                # a name of `p2psip simulate`
    title = "Lookups under churn"     # heading of the report; the scenario's name when left out
    files = ["my_study.py"]           # modules with scenarios of your own, relative to this file
    x = "session_minutes"             # the parameter on the x axis; the first of the grid when left out
    log_x = true
    figures = ["lookups found"]       # the figures to draw; all of the results' when left out
    seeds = [1, 2, 3]                 # or a number: seeds = 3
    tables = ["minutes"]              # tables to keep with each point, beside its figures; none when left out
    sealing = "stand-in"              # or "real": production's ciphers, slower, the same words on the wire

    [parameters]                      # the same at every point
    peers = 1000

    [grid]                            # every combination is run, with every seed
    session_minutes = [10, 20, 60]
"""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2psip.base.errors import P2psipError
from simulations.scenario import Value, find_scenario

SEALINGS = ("stand-in", "real")
POINTS_MAX = 10_000
FIGURES_MAX = 32
FILE_BYTES_MAX = 1_000_000
KEYS = {"scenario", "title", "files", "x", "log_x", "figures", "seeds", "tables", "sealing", "parameters", "grid"}
IDENTITY_DIGITS = 16


class SweepError(P2psipError):
    """A sweep that cannot be run: one sentence for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a sweep: where it stands in the grid, and its seed."""

    scenario: str
    parameters: tuple[tuple[str, Value], ...]
    seed: int
    sealing: str = "stand-in"

    def identity(self, code: str) -> str:
        """What names this run with this version of the code: the same run is never done twice."""
        said = json.dumps([self.scenario, self.parameters, self.seed, self.sealing, code], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:IDENTITY_DIGITS]

    def label(self) -> str:
        """For people: `churn session_minutes=20 seed 3`."""
        said = [f"{name}={value}" for name, value in self.parameters]
        return " ".join([self.scenario, *said, "seed", str(self.seed)])


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole sweep, checked except for the names that only the scenarios can tell (see `check_points`)."""

    scenario: str
    title: str
    files: tuple[Path, ...]
    x: str
    log_x: bool
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    seeds: tuple[int, ...]
    sealing: str
    fixed: tuple[tuple[str, Value], ...]
    grid: tuple[tuple[str, tuple[Value, ...]], ...]

    def points(self) -> list[Point]:
        """Every combination of the grid with every seed; all seeds of a combination stand together."""
        names = [name for name, _ in self.grid]
        found: list[Point] = []
        for values in itertools.product(*(values for _, values in self.grid)):
            parameters = tuple(sorted([*self.fixed, *zip(names, values, strict=True)]))
            found.extend(Point(self.scenario, parameters, seed, self.sealing) for seed in self.seeds)
        return found


def read_plan(file: Path) -> Plan:
    """The plan in a TOML file. Raises SweepError, with one sentence, for whatever is wrong with it."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise SweepError(f"there is no file {file}") from None
    except OSError as error:
        raise SweepError(f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise SweepError(f"{file} is larger than {FILE_BYTES_MAX} bytes")
    try:
        said = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SweepError(f"{file} is no valid TOML: {error}") from None
    return _plan(said, file)


def check_points(points: Sequence[Point]) -> None:
    """Raises ScenarioError when the scenario, or a parameter of it, does not exist or has another type."""
    for point in points:
        find_scenario(point.scenario).parameters(dict(point.parameters))


def _plan(said: dict[str, Any], file: Path) -> Plan:
    unknown = sorted(set(said) - KEYS)
    if unknown:
        raise SweepError(f"{file}: unknown key {unknown[0]!r}; there are: {', '.join(sorted(KEYS))}")
    scenario = said.get("scenario")
    if not isinstance(scenario, str) or not scenario:
        raise SweepError(f"{file} names no scenario")
    fixed, grid = _fixed(said, file), _grid(said, file)
    both = sorted({name for name, _ in fixed} & {name for name, _ in grid})
    if both:
        raise SweepError(f"{file}: {both[0]} stands in [parameters] and in [grid]")
    x = said.get("x", grid[0][0])
    if x not in [name for name, _ in grid]:
        raise SweepError(f"{file}: x = {x!r} is no parameter of [grid]")
    seeds = _seeds(said.get("seeds", [1]), file)
    count = len(seeds)
    for _, values in grid:
        count *= len(values)
    if count > POINTS_MAX:
        raise SweepError(f"{file}: {count} points are more than {POINTS_MAX}")
    figures = _texts(said, "figures", file)
    if len(figures) > FIGURES_MAX:
        raise SweepError(f"{file}: {len(figures)} figures are more than {FIGURES_MAX}")
    if not isinstance(said.get("log_x", False), bool):
        raise SweepError(f"{file}: log_x is true or false")
    sealing = said.get("sealing", "stand-in")
    if sealing not in SEALINGS:
        raise SweepError(f"{file}: sealing is one of {', '.join(SEALINGS)}")
    return Plan(
        scenario=scenario,
        title=str(said.get("title", scenario)),
        files=tuple((file.parent / name).resolve() for name in _texts(said, "files", file)),
        x=x,
        log_x=said.get("log_x", False),
        figures=figures,
        tables=_texts(said, "tables", file),
        seeds=seeds,
        sealing=sealing,
        fixed=fixed,
        grid=grid,
    )


def _fixed(said: dict[str, Any], file: Path) -> tuple[tuple[str, Value], ...]:
    found = said.get("parameters", {})
    if not isinstance(found, dict) or not all(isinstance(value, Value) for value in found.values()):
        raise SweepError(f"{file}: [parameters] holds a number, text or true/false for each name")
    return tuple(sorted(found.items()))


def _grid(said: dict[str, Any], file: Path) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    found = said.get("grid", {})
    if not isinstance(found, dict) or not found:
        raise SweepError(f"{file} has no [grid]: at least one parameter with a list of values")
    for name, values in found.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, Value) for value in values):
            raise SweepError(f"{file}: {name} in [grid] is no list of numbers, texts or true/false")
        if len({json.dumps(value) for value in values}) < len(values):
            raise SweepError(f"{file}: {name} in [grid] names a value twice")
    return tuple((name, tuple(values)) for name, values in found.items())


def _seeds(said: Any, file: Path) -> tuple[int, ...]:
    if isinstance(said, int) and not isinstance(said, bool) and 0 < said <= POINTS_MAX:
        return tuple(range(1, said + 1))
    if not isinstance(said, list) or not said or not all(type(seed) is int for seed in said):
        raise SweepError(f"{file}: seeds is a list of whole numbers, or how many there are (at most {POINTS_MAX})")
    if len(set(said)) < len(said):
        raise SweepError(f"{file}: a seed is named twice")
    return tuple(said)


def _texts(said: dict[str, Any], key: str, file: Path) -> tuple[str, ...]:
    found: Sequence[Any] = said.get(key, [])
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise SweepError(f"{file}: {key} is a list of names")
    return tuple(found)
