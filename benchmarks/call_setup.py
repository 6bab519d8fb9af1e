"""Call setup through two nodes, each lookup cold among 50 nodes: INVITE to 180, and answer to first audio.

All nodes and both phones live in this process, on loopback; the phones speak SIP and RTP over UDP to their nodes. Wall time,
medians.
"""

import logging
import tempfile
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import trio

from benchmarks.network import OVERLAY, Authority, introducer, overlay_of
from media.tones import tone
from overlay.service import OverlayService
from p2psip.app.handset import open_handset
from p2psip.app.machine import Machine
from p2psip.app.node import Node
from p2psip.app.settings import Settings
from p2psip.app.state import State
from p2psip.net.clock import Clock
from p2psip.softphone.phone import Credentials, Softphone

NODES = 50
CALLS = 40
TALK_SECONDS = 0.3
SETTINGS = {
    "overlay": {"hosts": ["127.0.0.1"]},
    "sip": {"port": 0, "trust_registered_flows": True},
}


def measure() -> list[dict[str, Any]]:
    """Rows of the table: milliseconds."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        setup, audio, lookups = trio.run(_calls, Path(folder))
    logging.disable(logging.NOTSET)
    return [
        _row("INVITE to 180, median", median(setup), "<= 20 ms"),
        _row("INVITE to 180, 95th percentile", quantiles(setup, n=20)[-1], ""),
        _row("of which lookup, median", median(lookups), ""),
        _row("answer to first audio, median", median(audio), "<= 30 ms"),
        _row("answer to first audio, 95th percentile", quantiles(audio, n=20)[-1], ""),
    ]


def _row(name: str, value: float, goal: str) -> dict[str, Any]:
    return {"name": f"{name} ({CALLS} calls, {NODES} nodes)", "value": value, "unit": "ms", "goal": goal}


async def _calls(folder: Path) -> tuple[list[float], list[float], list[float]]:
    authority = Authority()
    setup: list[float] = []
    async with overlay_of(authority, NODES - 2) as services:
        for service in services[1:]:
            await service.join([introducer(services[0])])
        async with (
            _node(folder / "a", "alice", authority, services[0]) as a,
            _node(folder / "b", "bob", authority, services[1]) as b,
        ):
            async with _phone(a, authority) as alice, _phone(b, authority) as bob:
                await trio.sleep(1)
                for _ in range(CALLS):
                    a.overlay.forget_found(f"bob@{OVERLAY}")
                    setup.append(await _one_call(alice, bob))
            records = a.calls.status()["recent"][-CALLS:]
    if any(record["status"] != 200 for record in records):
        raise SystemExit("a call of this benchmark failed")
    audio = [record["first_audio_ms"] for record in records if record["first_audio_ms"] is not None]
    return setup, audio, [record["lookup_ms"] for record in records]


async def _one_call(alice: Softphone, bob: Softphone) -> float:
    """Milliseconds from INVITE to 180 at the caller's phone."""
    spoken: array[int] = tone(440.0, TALK_SECONDS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob.answer, spoken)
        report = await alice.call("bob", spoken, 0.0)
    assert report.rang is not None
    return 1000 * (report.rang - report.started)


@asynccontextmanager
async def _node(folder: Path, name: str, authority: Authority, known: OverlayService) -> AsyncIterator[Node]:
    state = State(folder)
    node = Node(
        Machine(folder), Settings.model_validate(SETTINGS), state, authority.enrol(name), Clock(), authority.chance
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        await node.overlay.join([introducer(known)])
        yield node
        nursery.cancel_scope.cancel()
    state.close()


@asynccontextmanager
async def _phone(node: Node, authority: Authority) -> AsyncIterator[Softphone]:
    account, password = node.accounts.lend(node.membership.addresses[0], authority.chance)
    async with open_handset(Credentials(account.name, account.address, password, node.sip_address)) as phone:
        await phone.register()
        yield phone
