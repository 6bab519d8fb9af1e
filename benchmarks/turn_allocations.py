"""Allocations, ours and coturn's, each on one core: CPU of one with its 401 before, and the memory that one takes while it lasts.

A user's clients ask one after another; what is measured is the server alone. The CPU time is the median of the rounds,
the memory what all of them together took.
"""

import os
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.rtp_bridge import Node, worker
from benchmarks.turn_load import serve_load
from benchmarks.turn_servers import PROGRAM, credentials, run_coturn, run_ours

WARMING = 100
ALLOCATIONS = 500
ROUNDS = 4
CPU_RATIO_GOAL = 3.0
MEMORY_GOAL_KIB = 22.0

Row = dict[str, Any]


def measure() -> list[Row]:
    """The rows of `make bench`."""
    cores = sorted(os.sched_getaffinity(0))
    micros: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = [stack.enter_context(run(cores[-1])) for run in ([run_ours, run_coturn] if PROGRAM else [run_ours])]
        load = Node(stack.enter_context(worker(serve_load, cores[0])))
        for server in servers:
            load.do("flows", server.name, server.address, credentials())
            load.do("allocate", server.name, WARMING)
        before = [server.memory_bytes() for server in servers]
        for _ in range(ROUNDS):
            for server in servers:
                cpu = server.cpu_seconds()
                load.do("allocate", server.name, ALLOCATIONS)
                micros.setdefault(server.name, []).append(1e6 * (server.cpu_seconds() - cpu) / ALLOCATIONS)
        memories = [
            (server.memory_bytes() - held) / 1024 / (ROUNDS * ALLOCATIONS)
            for server, held in zip(servers, before, strict=True)
        ]
    peer = servers[1].name if len(servers) > 1 else "coturn is not installed: no figure"
    cpus = [median(each) for each in micros.values()]
    rates = [1e6 / each for each in cpus]
    return [
        _row("CPU of an allocation, with its 401", cpus, "µs", peer, f"ratio <= {CPU_RATIO_GOAL:g}"),
        _row("allocations in a second of CPU", rates, "/s", peer, ""),
        _row("memory of an allocation", memories, "KiB", peer, f"<= {MEMORY_GOAL_KIB:g} KiB"),
    ]


def _row(name: str, found: list[float], unit: str, peer: str, goal: str) -> Row:
    other = found[1] if len(found) > 1 else None
    return {
        "name": name,
        "value": found[0],
        "unit": unit,
        "peer": peer,
        "peer_value": other,
        "ratio": found[0] / other if other else None,
        "goal": goal,
    }
