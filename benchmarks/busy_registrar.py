"""How many REGISTERs with digest, and calls, a node takes in a second, and for how long; beside kamailio and sippy.

A rate counts as taken if sipp calls nothing failed (of calls: one in fifty may, for sippy). Rates go up in steps until one is not
taken, so the figures are as coarse as the steps; sipp and the phones that answer run on the same machine.
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
from tests.interop.test_sipp import answering

HELD_PER_SECOND = 500
HELD_SECONDS = 60
STEP_SECONDS = 5
REGISTER_STEPS = (250, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000)
CALL_STEPS = (25, 50, 75, 100, 150, 200, 300, 500)
CALLS_FAILED_SHARE_MAX = 0.02

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
        {**held, "value": ours["failed"], "peer": "kamailio", "peer_value": kamailio.get("failed")},
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
        return await _both(folder, server)


async def _kamailio(folder: Path) -> dict[str, int]:
    async with sip_servers.kamailio(folder / "kamailio") as server:
        return await _both(folder, server)


async def _sippy(folder: Path) -> dict[str, int]:
    callee = free_port()
    async with sip_servers.sippy(folder / "sippy", callee) as server, answering(folder, callee):
        return {"call": await _most_calls(folder, server, free_port())}


async def _both(folder: Path, server: Server) -> dict[str, int]:
    async def register(rate: int, count: int) -> Outcome:
        return await sip_servers.registrations(folder, server, rate=rate, count=count)

    held = await register(HELD_PER_SECOND, HELD_PER_SECOND * HELD_SECONDS)
    found = {"failed": held.failed, "register": await _most(register, REGISTER_STEPS, 0.0)}
    caller, callee = free_port(), free_port()
    await sip_servers.register_both(folder, server, caller, callee)
    async with answering(folder, callee):
        found["call"] = await _most_calls(folder, server, caller)
    return found


async def _most_calls(folder: Path, server: Server, caller: int) -> int:
    async def call(rate: int, count: int) -> Outcome:
        return await sip_servers.calls(folder, server, "kitchen", rate=rate, count=count, port=caller)

    return await _most(call, CALL_STEPS, CALLS_FAILED_SHARE_MAX)


async def _most(attempt: Attempt, steps: tuple[int, ...], failed_share_max: float) -> int:
    """The last of `steps` that was taken for STEP_SECONDS; 0 for none. It must not take twice as long, either."""
    taken = 0
    for rate in steps:
        begun = trio.current_time()
        outcome = await attempt(rate, rate * STEP_SECONDS)
        if outcome.share_failed > failed_share_max or trio.current_time() - begun > 2 * STEP_SECONDS:
            break
        taken = rate
        await trio.sleep(1)
    return taken
