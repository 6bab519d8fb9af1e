"""ICE on loopback: two agents from exchanged descriptions to a nominated pair on both sides, beside aioice 0.13.

Both ends run in this process, each on a UDP socket of its own on 127.0.0.1, ours on trio's loop and `NodePort`, aioice on
asyncio's; time is the wall's until both have concluded, CPU is that of the process. The two take turns; medians of all
pairs are compared. The second table row adds what comes before and after: gathering, sockets, closing. The last rows are
ours alone: DTLS and the SRTP keys on top, which is when a call can speak.
"""

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import aioice
import aioice.ice
import trio

from media.dtls import DtlsIdentity
from media.ice.agent import IceAgent
from media.ice.candidates import local_candidate
from media.ice.events import Failed, Selected
from media.secure import PathLost, Ready, SecureTransport
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.net.driver import Driver
from p2psip.net.port import NodePort

HOST = "127.0.0.1"
PAIRS = 40
ROUNDS = 5
SECONDS_MAX = 10.0

Cost = tuple[float, float, float]
"""Wall seconds and CPU seconds of connecting, and CPU seconds of the pair's whole life."""


def measure() -> list[dict[str, Any]]:
    """Rows of the table: milliseconds a pair."""
    clock, chance = Clock(), Chance.system()
    identity = DtlsIdentity(clock.unix())
    ours: list[Cost] = []
    theirs: list[Cost] = []
    secure: list[Cost] = []
    for count in (5, *[PAIRS] * ROUNDS):  # the first few only warm up
        ours.append(trio.run(_rounds, count, lambda: _connect(_agents(chance), clock)))
        theirs.append(asyncio.run(_aioice_rounds(count)))
        secure.append(trio.run(_rounds, count, lambda: _connect(_transports(chance, identity), clock)))
    return [
        _row("connect, both sides: time", 0, ours, theirs),
        _row("connect, both sides: CPU", 1, ours, theirs, "ratio <= 1"),
        _row("gather, connect and close, both sides: CPU", 2, ours, theirs, "ratio <= 1"),
        _row("ICE, DTLS and SRTP keys, both sides: time", 0, secure, []),
        _row("ICE, DTLS and SRTP keys, both sides: CPU", 1, secure, []),
    ]


def _row(name: str, place: int, ours: list[Cost], theirs: list[Cost], goal: str = "") -> dict[str, Any]:
    value = median(each[place] for each in ours[1:]) * 1e3
    row: dict[str, Any] = {"name": name, "value": value, "unit": "ms", "goal": goal}
    if theirs:
        peer = median(each[place] for each in theirs[1:]) * 1e3
        row |= {"peer": "aioice", "peer_value": peer, "ratio": value / peer}
    return row


def _middle(costs: list[Cost]) -> Cost:
    wall, cpu, life = (median(each) for each in zip(*costs, strict=True))
    return wall, cpu, life


# Ours

Pair = tuple[NodePort, NodePort, Any, Any, Callable[[float], None]]
"""Two ports, two cores, and what makes them known to each other."""


async def _rounds(count: int, connect: Callable[[], Any]) -> Cost:
    costs = []
    for _ in range(count):
        begun = time.process_time()
        wall, cpu = await connect()
        costs.append((wall, cpu, time.process_time() - begun))
    return _middle(costs)


def _agents(chance: Chance) -> Pair:
    ports = NodePort.bind([HOST], 0), NodePort.bind([HOST], 0)
    locals_ = [[local_candidate("host", port.local[0], port.local[0])] for port in ports]
    one, other = (IceAgent(controlling=n == 0, local=local, chance=chance) for n, local in enumerate(locals_))

    def introduce(now: float) -> None:
        one.set_remote(other.ufrag, other.password, [each.to_sdp() for each in other.local], now)
        other.set_remote(one.ufrag, one.password, [each.to_sdp() for each in one.local], now)

    return (*ports, one, other, introduce)


def _transports(chance: Chance, identity: DtlsIdentity) -> Pair:
    ports = NodePort.bind([HOST], 0), NodePort.bind([HOST], 0)
    locals_ = [[local_candidate("host", port.local[0], port.local[0])] for port in ports]
    one, other = (
        SecureTransport(offerer=n == 0, candidates=local, identity=identity, chance=chance)
        for n, local in enumerate(locals_)
    )

    def introduce(now: float) -> None:
        other.set_remote(one.description, now)  # the answer holds what follows from the offer
        one.set_remote(other.description, now)

    return (*ports, one, other, introduce)


async def _connect(pair: Pair, clock: Clock) -> tuple[float, float]:
    *ports, one, other, introduce = pair
    done = [trio.Event(), trio.Event()]
    async with trio.open_nursery() as nursery:  # `NodePort.run` closes its sockets when it is cancelled
        drivers: list[Driver[Any]] = []
        for port, core, event in zip(ports, (one, other), done, strict=True):
            driver: Driver[Any] = Driver(core, send=port.send, on_event=_settle(event), now=clock.now)
            port.route(0, 3, driver.receive)
            await nursery.start(port.run)
            drivers.append(driver)
            await nursery.start(driver.run)
        wall, cpu = time.perf_counter(), time.process_time()
        introduce(clock.now())
        for driver in drivers:
            driver.pump()
        with trio.fail_after(SECONDS_MAX):
            for event in done:
                await event.wait()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    return wall, cpu


def _settle(done: trio.Event) -> Callable[[Any], None]:
    def on_event(output: Any) -> None:
        if isinstance(output, Failed | PathLost):
            raise RuntimeError(output.reason)
        if isinstance(output, Ready) or (isinstance(output, Selected) and output.nominated):
            done.set()

    return on_event


# aioice's


async def _aioice_rounds(count: int) -> Cost:
    usual = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda **_: [HOST]
    try:
        costs = []
        for _ in range(count):
            begun = time.process_time()
            wall, cpu = await _aioice_connect()
            costs.append((wall, cpu, time.process_time() - begun))
        return _middle(costs)
    finally:
        aioice.ice.get_host_addresses = usual


async def _aioice_connect() -> tuple[float, float]:
    one, other = aioice.Connection(ice_controlling=True), aioice.Connection(ice_controlling=False)
    for each in (one, other):
        await each.gather_candidates()
    wall, cpu = time.perf_counter(), time.process_time()
    for here, there in ((one, other), (other, one)):
        here.remote_username, here.remote_password = there.local_username, there.local_password
        for candidate in there.local_candidates:
            await here.add_remote_candidate(aioice.Candidate.from_sdp(candidate.to_sdp()))
        await here.add_remote_candidate(None)
    await asyncio.gather(one.connect(), other.connect())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for each in (one, other):
        await each.close()
    return wall, cpu
