"""The bytes relayed this month, in a file that a kill -9 or a power cut cannot make smaller.

The file always claims some bytes ahead of what was relayed: after a sudden end the claimed ones count as relayed.
"""

import contextlib
import datetime
import json
import os
from pathlib import Path

from media.turn.quota import Meter

RECORD_BYTES_MAX = 256


class MonthRecord:
    """Keeps `meter` in a file of its own at `path`. Half of `claim_bytes` must outlast the time between two calls of `claim`."""

    def __init__(self, path: Path, meter: Meter, claim_bytes: int, unix: float) -> None:
        self._path, self._meter, self._claim = path, meter, claim_bytes
        self._month = month_of(unix)
        stored_month, stored = _load(path)
        meter.used = self._claimed = stored if stored_month == self._month else 0

    def claim(self, unix: float) -> int | None:
        """Begin a new month if it is time. What to `store` next, None while more than half of the last claim is left."""
        if month_of(unix) != self._month:
            self._month = month_of(unix)
            self._meter.used = self._claimed = 0
        if self._meter.used + self._claim // 2 > self._claimed:
            return self._meter.used + self._claim
        return None

    def store(self, claimed: int) -> None:
        """Write a claim. Waits for the disk, so that a thread should do it; OSError when there is no room."""
        new = self._path.with_suffix(".new")
        with open(new, "w", encoding="ascii") as file:
            json.dump({"month": self._month, "bytes": claimed}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
        self._claimed = claimed

    def close(self) -> None:
        """Write what was relayed exactly; no claim is needed any more."""
        self.store(self._meter.used)


def month_of(unix: float) -> str:
    """The calendar month (UTC) of a moment, as `2026-11`."""
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m")


def _load(path: Path) -> tuple[str, int]:
    with contextlib.suppress(OSError, ValueError):
        match json.loads(path.read_bytes()[:RECORD_BYTES_MAX]):
            case {"month": str(month), "bytes": int(count)} if count >= 0:
                return month, count
    return "", 0
