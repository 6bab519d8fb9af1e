"""From INVITE to audio in both directions through every pair of NATs, at 20 and 80 ms between any two sites (root only).

The laboratory of `tests/nat`: kernel NATs in network namespaces, a node and a baresip at each site, a user-space router that
delays each packet. Times are taken from the call records of both nodes: the caller's INVITE, and the first audio of the other
at the later of the two. A relayed path crosses the internet twice.
"""

import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.nat.kinds import Kind
from tests.nat.matrix import run_matrix
from tests.nat.talk import Talk

ROUND_TRIPS_MS = (20, 80)
CALLS_AT_ONCE = 2  # more would measure this machine's processors
GOAL_MEDIAN = "ratio <= 4"
GOAL_LONGEST = "<= 3000 ms"


def measure() -> list[dict[str, Any]]:
    """Rows of the table: pairs, median and longest time for direct, relayed and TLS paths at each round trip."""
    if os.geteuid() != 0:
        print("network namespaces need root: nothing can be measured", file=sys.stderr)
        return []
    rows: list[dict[str, Any]] = []
    for round_trip in ROUND_TRIPS_MS:
        with tempfile.TemporaryDirectory() as folder:
            run = partial(run_matrix, one_way_seconds=round_trip / 2_000, at_once=CALLS_AT_ONCE)
            talks = trio.run(run, Path(folder), tuple(Kind))
        for name in ("direct", "relayed", "TLS"):
            rows += _rows(round_trip, name, [talk for talk in talks if talk.path_name == name])
        failed = [talk for talk in talks if not talk.is_good]
        if failed:
            print(f"{len(failed)} of {len(talks)} pairs had no audio both ways at {round_trip} ms", file=sys.stderr)
    return rows


def _rows(round_trip: int, path: str, talks: list[Talk]) -> list[dict[str, Any]]:
    """The round trip stands in the column of the peer: it is what the time is held against."""
    times = [talk.two_way_ms for talk in talks if talk.is_good and talk.two_way_ms is not None]
    if not times:
        return []
    name, median = f"INVITE to two-way audio, {path}, {len(times)} pairs", statistics.median(times)
    against = {"unit": "ms", "peer": "round trip", "peer_value": round_trip}
    return [
        {"name": f"{name}: median", "value": median, **against, "ratio": median / round_trip, "goal": GOAL_MEDIAN},
        {"name": f"{name}: longest", "value": max(times), **against, "goal": GOAL_LONGEST},
    ]
