"""Relaying of ChannelData: ours and coturn, each on one core, in turn in one run; packets of 172 bytes, half of them each way.

Delays are from one end to the other, sending and the reading of the load's process included. Figures are medians.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.rtp_bridge import Node, worker
from benchmarks.turn_load import RelayLoad, serve_load
from benchmarks.turn_servers import PROGRAM, Server, credentials, run_coturn, run_ours

FLOWS = (1, 100)
RATES = (5_000, 25_000, 50_000, 80_000)
RATES_MOST = (100_000, 120_000, 140_000, 160_000, 180_000, 200_000)
RUN_SECONDS = 1.5
REPEATS = 3
LOSS_MAX = 0.001
RATIO_GOAL, RATIO_RATE = 1.3, 50_000
MOST_GOAL = 120_000
DELAY_GOAL_MS = 2.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a server."""

    load: RelayLoad
    cpu_seconds: float

    @property
    def micros(self) -> float:
        """CPU microseconds for a packet that arrived."""
        return 1e6 * self.cpu_seconds / max(self.load.received, 1)


def measure() -> list[Row]:
    """The rows of `make bench`."""
    cores = sorted(os.sched_getaffinity(0))
    rows: list[Row] = []
    for flows in FLOWS:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(run(cores[-1])) for run in ([run_ours, run_coturn] if PROGRAM else [run_ours])
            ]
            load = Node(stack.enter_context(worker(serve_load, cores[0])))
            for server in servers:
                load.do("flows", server.name, server.address, credentials())
                load.do("channels", server.name, flows)
            for rate in RATES:
                rows += _rows(flows, rate, [_median(runs) for runs in _in_turn(load, servers, rate)], servers)
            rows.append(_most(flows, [_climb(load, server) for server in servers], servers))
    return rows


def _in_turn(load: Node, servers: list[Server], rate: int) -> list[list[Run]]:
    """REPEATS runs of each server, one after the other, for other programs use this machine too."""
    rounds = [[_run(load, server, rate) for server in servers] for _ in range(REPEATS)]
    return [list(runs) for runs in zip(*rounds, strict=True)]


def _run(load: Node, server: Server, rate: int) -> Run:
    before = server.cpu_seconds()
    found: RelayLoad = load.do("run", server.name, rate, RUN_SECONDS)
    return Run(found, server.cpu_seconds() - before)


def _median(runs: list[Run]) -> list[float]:
    """CPU, p50, p99 and loss."""
    return [
        median(run.micros for run in runs),
        median(run.load.p50 for run in runs),
        median(run.load.p99 for run in runs),
        median(run.load.loss for run in runs),
    ]


def _climb(load: Node, server: Server) -> tuple[float, float]:
    """The most packets a second that were carried, and the share of the core; a rate that fails is tried once more."""
    most, share = 0.0, 0.0
    for rate in RATES_MOST:
        for _ in range(2):
            run = _run(load, server, rate)
            if run.load.loss < LOSS_MAX:
                break
        else:
            break
        if run.load.received / run.load.seconds > most:
            most, share = run.load.received / run.load.seconds, run.cpu_seconds / run.load.seconds
    return most, share


def _rows(flows: int, rate: int, found: list[list[float]], servers: list[Server]) -> list[Row]:
    ours, theirs = found[0], found[1] if len(found) > 1 else [None] * 4
    names = ("CPU a packet", "p50 delay", "p99 delay", "loss")
    goals = (f"ratio <= {RATIO_GOAL}" if rate >= RATIO_RATE else "", "", f"<= {DELAY_GOAL_MS:g} ms", "")
    rows = []
    for name, unit, mine, other, goal in zip(names, ("µs", "ms", "ms", ""), ours, theirs, goals, strict=True):
        ratio = mine / other if other and mine is not None else None
        rows.append(_row(f"{name}, {_flows(flows)}, {rate} packets/s", mine, unit, servers, other, ratio, goal))
    return rows


def _most(flows: int, found: list[tuple[float, float]], servers: list[Server]) -> Row:
    theirs = found[1][0] if len(found) > 1 else None
    name = f"most packets/s, {_flows(flows)}, < {LOSS_MAX:.1%} lost ({found[0][1]:.0%} of the core, tried to {RATES_MOST[-1]})"
    ratio = found[0][0] / theirs if theirs else None
    return _row(name, found[0][0], "/s", servers, theirs, ratio, f">= {MOST_GOAL}")


def _flows(flows: int) -> str:
    return "1 flow" if flows == 1 else f"{flows} flows"


def _row(name: str, value: Any, unit: str, servers: list[Server], other: Any, ratio: float | None, goal: str) -> Row:
    peer = servers[1].name if len(servers) > 1 else "coturn is not installed: no figure"
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": other,
        "ratio": ratio,
        "goal": goal,
    }
