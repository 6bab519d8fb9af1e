"""The out folder of a sweep: one JSON result per finished point, the curves and the report. Each file is whole or not there.

points/churn-3-0f1e2d3c4b5a6978.json     scenario, seed, identity
curves.csv  curves.json  report.html  curve1.svg ...     one picture per figure
"""

import os
from collections.abc import Sequence
from pathlib import Path

from simulations.results import Result, ResultError, load, write_atomically
from simulations.sweep.plan import Point, SweepError


class Folder:
    """Raises SweepError when the folder cannot be made or written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._points = path / "points"
        try:
            self._points.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise SweepError(f"{path} is no folder") from None
        except OSError as error:
            raise SweepError(f"the folder {path} cannot be written to: {error.strerror}") from None
        if not os.access(self._points, os.W_OK | os.X_OK):
            raise SweepError(f"the folder {path} cannot be written to")

    def path_of(self, point: Point, code: str) -> Path:
        """Where the result of a point stands, or will."""
        return self._points / f"{point.scenario}-{point.seed}-{point.identity(code)}.json"

    def read(self, point: Point, code: str) -> Result | None:
        """The finished result of a point; None when there is none, or it cannot be read (it is run again then)."""
        path = self.path_of(point, code)
        try:
            result = load(path) if path.exists() else None
        except ResultError:
            return None
        return result if result is not None and result.seed == point.seed and not result.interrupted else None

    def keep(self, point: Point, code: str, result: Result) -> None:
        """Write the result of a finished point; raises ResultError."""
        result.save(self.path_of(point, code))

    def write(self, name: str, text: str) -> Path:
        """Write a file of the whole sweep; raises ResultError."""
        path = self.path / name
        write_atomically(path, text.encode())
        return path

    def strangers(self, points: Sequence[Point], code: str) -> int:
        """How many results lie here that are no points of this sweep: other grids, or an older version of the code."""
        ours = {self.path_of(point, code).name for point in points}
        return sum(path.name not in ours for path in self._points.glob("*.json"))
