"""SIP through one node: CPU of a REGISTER with digest and of a call, between two of its phones and out over a trunk.

sipp plays phones and provider with the same scenarios for all. Beside the node: sippy's `b2bua_simple` (a back-to-back user agent
in Python, in the environment of P2PSIP_BENCH_SIPPY_PYTHON; no media, no digest) and kamailio (a proxy in C; no media).
A call costs more where few come in a second: between two of them other programs have had the caches of the processor.
"""

import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks import sip_servers
from benchmarks.sip_message import PEER_VARIABLE
from benchmarks.sip_servers import Outcome, Server
from tests.interop.programs import free_port

REGISTER_RATES = (200, 500)
CALL_RATES = (40, 150)
SECONDS = 10
WARM_SECONDS = 3
TRUNK_RATE = 12  # a trunk takes up to 1000 calls a minute
FAILED_SHARE_MAX = 0.01
NUMBER = "+4930123456"

Found = dict[str, float]


def measure() -> list[dict[str, Any]]:
    """Rows of the table: CPU microseconds for one REGISTER and for one call."""
    if shutil.which("sipp") is None:
        print("sipp is not installed (`make peers` as root): nothing can be measured", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        ours = trio.run(_node, Path(folder))
        sippy = trio.run(_sippy, Path(folder)) if sip_servers.sippy_is_there() else {}
        kamailio = trio.run(_kamailio, Path(folder)) if sip_servers.kamailio_is_there() else {}
    if not sippy:
        print(f"sippy is left out: set {PEER_VARIABLE} to a Python that has it", file=sys.stderr)
    if not kamailio:
        print("kamailio is left out: it is not installed (`make peers` as root)", file=sys.stderr)
    rows = [_row(key, ours, "kamailio", kamailio, "<= 400") for key in ours if key.startswith("REGISTER")]
    for key in (each for each in ours if each.startswith("call")):
        rows.append(_row(key, ours, "sippy b2bua_simple", sippy, "<= 2000, ratio <= 0.5"))
        rows.append(_row(key, ours, "kamailio (proxy)", kamailio, ""))
    return rows


def _row(name: str, ours: Found, peer: str, theirs: Found, goal: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": ours[name], "unit": "µs CPU", "peer": peer, "goal": goal}
    if theirs.get(name):
        row["peer_value"], row["ratio"] = theirs[name], ours[name] / theirs[name]
    return row


async def _node(folder: Path) -> Found:
    provider = free_port()
    async with sip_servers.node(folder / "node", provider=provider) as server:
        found = await _register_and_call(folder, server)
        async with sip_servers.answering(folder, provider):
            caller = free_port()
            await sip_servers.register_both(folder, server, caller, free_port())
            name = f"call over a trunk, media bridged, {TRUNK_RATE} a second"
            found[name] = await _calls(folder, server, NUMBER, caller, TRUNK_RATE)
        return found


async def _sippy(folder: Path) -> Found:
    callee = free_port()
    async with sip_servers.sippy(folder / "sippy", callee) as server, sip_servers.answering(folder, callee):
        return await _calls_at_all_rates(folder, server, free_port())


async def _kamailio(folder: Path) -> Found:
    async with sip_servers.kamailio(folder / "kamailio") as server:
        return await _register_and_call(folder, server)


async def _register_and_call(folder: Path, server: Server) -> Found:
    caller, callee = free_port(), free_port()
    await sip_servers.register_both(folder, server, caller, callee)
    async with sip_servers.answering(folder, callee):
        found = await _calls_at_all_rates(folder, server, caller)
    for rate in REGISTER_RATES:
        run = partial(sip_servers.registrations, folder, server)
        found[f"REGISTER with digest, both round trips, {rate} a second"] = await _cost(run, server, rate, 0.0)
    return found


async def _calls_at_all_rates(folder: Path, server: Server, caller: int) -> Found:
    return {
        f"call, INVITE to BYE, media bridged, {rate} a second": await _calls(folder, server, "kitchen", caller, rate)
        for rate in CALL_RATES
    }


async def _calls(folder: Path, server: Server, target: str, caller: int, rate: int) -> float:
    run = partial(sip_servers.calls, folder, server, target, port=caller)
    return await _cost(run, server, rate, FAILED_SHARE_MAX)


async def _cost(run: Callable[..., Awaitable[Outcome]], server: Server, rate: int, failed_share_max: float) -> float:
    """CPU microseconds for each of SECONDS' calls of sipp; others come before, to warm everything up."""
    await run(rate=rate, count=rate * WARM_SECONDS)
    await trio.sleep(1)
    begun = server.cpu()
    outcome = await run(rate=rate, count=rate * SECONDS)
    if outcome.share_failed > failed_share_max:
        raise SystemExit(f"sipp's calls failed: {outcome.words}")
    await trio.sleep(1)
    return (server.cpu() - begun) / (rate * SECONDS) * 1e6
