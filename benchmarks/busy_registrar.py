"""How many REGISTERs with digest, and calls, a node takes in a second, and for how long; beside kamailio and sippy.

A rate counts as taken if hardly any call of sipp fails and sipp is done in time, so that no queue has grown. Rates go up in steps
until one is not taken, so the figures are as coarse as the steps; sipp and the phones that answer run on the same machine. Calls
come first: answered requests are remembered for 32 s, and thousands of REGISTERs would fill a node's table of them.
"""

import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from benchmarks import sip_servers
from benchmarks.sip_servers import Outcome, Server
from tests.interop.programs import free_port

HELD_PER_SECOND = 500
HELD_SECONDS = 60
STEP_SECONDS = 4
LATE_SECONDS_MAX = 1.0
REGISTER_STEPS = (500, 1_000, 1_500, 2_000, 3_000)
CALL_STEPS = (25, 50, 100, 150, 200, 250, 300, 400, 500)
CALLS_FAILED_SHARE_MAX = 0.01

Attempt = Callable[[int, int], Awaitable[Outcome]]


def measure() -> list[dict[str, Any]]:
    """Rows of the table: operations a second."""
    if shutil.which("sipp") is None:
        print("sipp is not installed (`make peers` as root): nothing can be measured", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        ours = trio.run(_node, Path(folder))
        sippy = trio.run(_sippy, Path(folder)) if sip_servers.sippy_is_there() else {}
        kamailio = trio.run(_kamailio, Path(folder)) if sip_servers.kamailio_is_there() else {}
    held = {"name": f"failed of {HELD_PER_SECOND} REGISTERs a second for {HELD_SECONDS} s", "unit": "", "goal": "0"}
    return [
        {**held, "value": ours["failed"]},
        _row("REGISTER with digest, most a second", ours, "register", "kamailio", kamailio, ">= 500"),
        _row("calls with media bridged, most a second", ours, "call", "sippy b2bua_simple", sippy, "ratio >= 2"),
        _row("calls with media bridged, most a second", ours, "call", "kamailio (proxy)", kamailio, ""),
    ]


def _row(name: str, ours: dict[str, int], key: str, peer: str, theirs: dict[str, int], goal: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": ours[key], "unit": "a second", "peer": peer, "goal": goal}
    if theirs.get(key):
        row["peer_value"], row["ratio"] = theirs[key], ours[key] / theirs[key]
    return row


async def _node(folder: Path) -> dict[str, int]:
    async with sip_servers.node(folder / "node") as server:
        found = await _both(folder, server)
    async with sip_servers.node(folder / "held") as server:
        return {**found, "failed": await _hold(folder, server)}


async def _kamailio(folder: Path) -> dict[str, int]:
    async with sip_servers.kamailio(folder / "kamailio") as server:
        return await _both(folder, server)


async def _sippy(folder: Path) -> dict[str, int]:
    callee = free_port()
    async with sip_servers.sippy(folder / "sippy", callee) as server, sip_servers.answering(folder, callee):
        return {"call": await _most_calls(folder, server, free_port())}


async def _both(folder: Path, server: Server) -> dict[str, int]:
    async def register(rate: int, count: int) -> Outcome:
        return await sip_servers.registrations(folder, server, rate=rate, count=count)

    caller, callee = free_port(), free_port()
    await sip_servers.register_both(folder, server, caller, callee)
    async with sip_servers.answering(folder, callee):
        calls = await _most_calls(folder, server, caller)
    return {"call": calls, "register": await _most(register, REGISTER_STEPS, 0.0)}


async def _hold(folder: Path, server: Server) -> int:
    """How many of a minute's REGISTERs failed."""
    rate = HELD_PER_SECOND
    return (await sip_servers.registrations(folder, server, rate=rate, count=rate * HELD_SECONDS)).failed


async def _most_calls(folder: Path, server: Server, caller: int) -> int:
    async def call(rate: int, count: int) -> Outcome:
        return await sip_servers.calls(folder, server, "kitchen", rate=rate, count=count, port=caller)

    await call(CALL_STEPS[0], CALL_STEPS[0])
    return await _most(call, CALL_STEPS, CALLS_FAILED_SHARE_MAX)


async def _most(attempt: Attempt, steps: tuple[int, ...], failed_share_max: float) -> int:
    """The last of `steps` that was taken for STEP_SECONDS; 0 for none."""
    taken = 0
    for rate in steps:
        outcome: Outcome | None = None
        with trio.move_on_after(STEP_SECONDS + LATE_SECONDS_MAX):
            outcome = await attempt(rate, rate * STEP_SECONDS)
        if outcome is None or outcome.share_failed > failed_share_max:
            why = "not done in time" if outcome is None else f"{outcome.failed} failed"
            print(f"{rate} a second are too many: {why}", file=sys.stderr)
            break
        taken = rate
        await trio.sleep(0.5)
    return taken
