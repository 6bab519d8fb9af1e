"""SIP through one node: CPU of a REGISTER with digest and of a call, between two of its phones and out over a trunk.

sipp plays phones and provider with the same scenarios for all. Beside the node: sippy's `b2bua_simple` (a back-to-back user agent
in Python, in the environment of P2PSIP_BENCH_SIPPY_PYTHON; no media, no digest) and kamailio (a proxy in C; no media).
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio

from benchmarks import sip_servers
from benchmarks.sip_message import PEER_VARIABLE
from benchmarks.sip_servers import Server
from tests.interop.programs import free_port

REGISTRATIONS = 2_000
CALLS = 400
CALLS_PER_SECOND = 40
TRUNK_CALLS = 200
TRUNK_CALLS_PER_SECOND = 12  # a trunk takes up to 1000 a minute
REGISTRATIONS_PER_SECOND = 200
FAILED_SHARE_MAX = 0.05
NUMBER = "+4930123456"


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
    return [
        _row(
            "REGISTER with digest, both round trips", ours["register"], "kamailio", kamailio.get("register"), "<= 400"
        ),
        _row(
            "call, INVITE to BYE, media bridged",
            ours["call"],
            "sippy b2bua_simple",
            sippy.get("call"),
            "<= 2000, ratio <= 0.5",
        ),
        _row("call, INVITE to BYE, media bridged", ours["call"], "kamailio (proxy)", kamailio.get("call"), ""),
        _row("call over a trunk, media bridged", ours["trunk"], "sippy b2bua_simple", sippy.get("call"), ""),
    ]


def _row(name: str, ours: float, peer: str, theirs: float | None, goal: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": ours, "unit": "µs CPU", "peer": peer, "goal": goal}
    if theirs:
        row["peer_value"], row["ratio"] = theirs, ours / theirs
    return row


async def _node(folder: Path) -> dict[str, float]:
    provider = free_port()
    async with sip_servers.node(folder / "node", provider=provider) as server:
        found = await _register_and_call(folder, server)
        async with sip_servers.answering(folder, provider):
            caller = free_port()
            await sip_servers.register_both(folder, server, caller, free_port())
            found["trunk"] = await _calls(folder, server, NUMBER, caller, TRUNK_CALLS, TRUNK_CALLS_PER_SECOND)
        return found


async def _sippy(folder: Path) -> dict[str, float]:
    callee = free_port()
    async with sip_servers.sippy(folder / "sippy", callee) as server, sip_servers.answering(folder, callee):
        return {"call": await _calls(folder, server, "kitchen", free_port(), CALLS, CALLS_PER_SECOND)}


async def _kamailio(folder: Path) -> dict[str, float]:
    async with sip_servers.kamailio(folder / "kamailio") as server:
        return await _register_and_call(folder, server)


async def _register_and_call(folder: Path, server: Server) -> dict[str, float]:
    rate = REGISTRATIONS_PER_SECOND
    await sip_servers.registrations(folder, server, rate=rate, count=REGISTRATIONS // 4)
    begun = server.cpu()
    outcome = await sip_servers.registrations(folder, server, rate=rate, count=REGISTRATIONS)
    _check(outcome, 0.0)
    found = {"register": (server.cpu() - begun) / REGISTRATIONS * 1e6}
    caller, callee = free_port(), free_port()
    await sip_servers.register_both(folder, server, caller, callee)
    async with sip_servers.answering(folder, callee):
        found["call"] = await _calls(folder, server, "kitchen", caller, CALLS, CALLS_PER_SECOND)
    return found


async def _calls(folder: Path, server: Server, target: str, port: int, count: int, rate: int) -> float:
    """CPU microseconds for each of `count` calls; half as many come before, to warm everything up."""
    await sip_servers.calls(folder, server, target, rate=rate, count=count // 2, port=port)
    await trio.sleep(1)
    begun = server.cpu()
    _check(await sip_servers.calls(folder, server, target, rate=rate, count=count, port=port), FAILED_SHARE_MAX)
    await trio.sleep(1)
    return (server.cpu() - begun) / count * 1e6


def _check(outcome: sip_servers.Outcome, share: float) -> None:
    if outcome.share_failed > share:
        raise SystemExit(f"sipp's calls failed: {outcome.words}")
