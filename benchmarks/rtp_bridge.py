"""Concurrent G.711 calls between two nodes: phone, RTP, node, DTLS-SRTP, node, RTP, phone; both nodes on one core.

The phones are a process on another core. Beside it rtpengine in user space carries the same calls on the same core: RTP to
SRTP in one of its calls, back to RTP in the next. A packet counts once for each node (or rtpengine call) that passes it on.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import trio

from benchmarks.rtp_load import LoadResult, claim_core, serve_phones
from benchmarks.rtpengine import PROGRAM, run_rtpengine, version
from media.legs import Bridge
from media.overlay_leg import OverlayLeg
from media.phone_leg import PhoneLeg
from media.secure import TransportDescription
from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

CALLS_GOAL = 300
CALLS_STEP = 100
CALLS_MAX = 800
CALLS_AT_ONCE = 50
CALLS_SMALL = 20
LOSS_MAX = 0.001
RUN_SECONDS = 4.0
HOPS = 2

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One run with so many calls: its packets, and the CPU seconds of what carried them."""

    calls: int
    load: LoadResult
    cpu_seconds: float

    @property
    def micros(self) -> float:
        """CPU microseconds a packet and hop."""
        return 1e6 * self.cpu_seconds / max(HOPS * self.load.received, 1)

    @property
    def is_carried(self) -> bool:
        """Whether next to nothing was lost, and nothing changed."""
        return self.load.loss < LOSS_MAX and self.load.changed == 0


class Node:
    """The parent's end of a node process."""

    def __init__(self, control: Connection) -> None:
        self._control = control

    def start(self, *command: Any) -> None:
        """Give a command."""
        self._control.send(command)

    def result(self) -> Any:
        """Its answer."""
        return self._control.recv()

    def do(self, *command: Any) -> Any:
        """Give a command and wait for its answer."""
        self.start(*command)
        return self.result()


def measure() -> list[Row]:
    """The rows of `make bench`."""
    cores = sorted(os.sched_getaffinity(0))
    phones_core, core = cores[0], cores[-1]
    ours = _climb(lambda: _nodes(core), phones_core)
    theirs = _climb(lambda: _rtpengine(core), phones_core) if PROGRAM else []
    peer = f"{version()}, user space" if PROGRAM else "rtpengine is not installed: no figure"
    rows = [_capacity(ours, theirs, peer)]
    for calls in (CALLS_SMALL, CALLS_GOAL):
        mine = next((step.micros for step in ours if step.calls == calls), None)
        other = next((step.micros for step in theirs if step.calls == calls), None)
        ratio = mine / other if mine is not None and other else None
        name = f"CPU a packet and hop, {calls} calls ({calls * 200} packets/s)"
        rows.append(_row(name, mine, "µs", peer, other, ratio, ""))
    top = max((step for step in ours if step.is_carried), key=lambda step: step.calls, default=ours[0])
    busy = 100 * top.cpu_seconds / top.load.seconds
    rows.append(_row(f"share of the core at {top.calls} calls", busy, "%", "", None, None, ""))
    return rows


def _capacity(ours: list[Step], theirs: list[Step], peer: str) -> Row:
    most, other = (max((step.calls for step in steps if step.is_carried), default=0) for steps in (ours, theirs))
    ratio = most / other if other else None
    name = f"calls carried with < {LOSS_MAX:.1%} loss (tried up to {CALLS_MAX})"
    return _row(name, most, "calls", peer, other if theirs else None, ratio, f">= {CALLS_GOAL}")


def _row(name: str, value: Any, unit: str, peer: str, peer_value: Any, ratio: float | None, goal: str) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "goal": goal,
    }


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries calls: `connect` takes (caller, callee) addresses and gives where each must send; `cpu` in seconds."""

    connect: Callable[[list[tuple[Address, Address]]], list[tuple[Address, Address]]]
    cpu: Callable[[], float]


def _climb(carrier_of: Callable[[], Any], phones_core: int) -> list[Step]:
    """More and more calls until packets are lost (one second look is allowed: other programs use this machine too)."""
    steps: list[Step] = []
    with carrier_of() as carrier, worker(serve_phones, phones_core) as control:
        phones, calls = Node(control), 0
        for wanted in (CALLS_SMALL, *range(CALLS_STEP, CALLS_MAX + 1, CALLS_STEP)):
            while calls < wanted:
                more = min(wanted - calls, CALLS_AT_ONCE)
                found = phones.do("phones", 2 * more)
                targets = carrier.connect(list(zip(found[::2], found[1::2], strict=True)))
                phones.do("aim", [target for pair in targets for target in pair])
                calls += more
            phones.do("run", 0.2)  # every leg learns its phone
            step = _run(phones, carrier, calls)
            steps.append(step if step.is_carried else _run(phones, carrier, calls))
            if not steps[-1].is_carried:
                break
        phones.start("stop")
    return steps


def _run(phones: Node, carrier: Carrier, calls: int) -> Step:
    before = carrier.cpu()
    load = phones.do("run", RUN_SECONDS)
    return Step(calls, load, carrier.cpu() - before)


@contextmanager
def worker(target: Callable[[Connection, int], None], core: int) -> Iterator[Connection]:
    """A process of ours on `core`, and the way to command it."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(there, core), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


@contextmanager
def _rtpengine(core: int) -> Iterator[Carrier]:
    with run_rtpengine(core) as engine:
        yield Carrier(lambda calls: [engine.connect(*call) for call in calls], engine.cpu_seconds)


@contextmanager
def _nodes(core: int) -> Iterator[Carrier]:
    with worker(serve_node, core) as left, worker(serve_node, core) as right:
        one, other = Node(left), Node(right)

        def connect(calls: list[tuple[Address, Address]]) -> list[tuple[Address, Address]]:
            offered = one.do("offer", [caller for caller, _ in calls])
            answered = other.do("answer", [callee for _, callee in calls], [each[1] for each in offered])
            one.start("connect", [each[1] for each in answered])
            other.start("connect", [])
            one.result(), other.result()
            return [(mine[0], theirs[0]) for mine, theirs in zip(offered, answered, strict=True)]

        yield Carrier(connect, lambda: float(one.do("cpu") + other.do("cpu")))


def serve_node(control: Connection, core: int) -> None:
    """A node's process: its media plane, told what to do by `control`."""
    claim_core(core)
    trio.run(_serve_node, control)


async def _serve_node(control: Connection) -> None:
    port = NodePort.bind(["127.0.0.1"], 0)
    first = 20_000 if os.getpid() % 2 else 25_000
    media = MediaService(
        port=port, clock=Clock(), chance=Chance.system(), phone_host="127.0.0.1", rtp_ports=(first, first + 4_999)
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        await nursery.start(media.run)
        ways: list[OverlayLeg] = []
        while True:
            await trio.lowlevel.wait_readable(control.fileno())
            control.send(await _obey(media, ways, *control.recv()))


async def _obey(media: MediaService, ways: list[OverlayLeg], command: str, *more: Any) -> Any:
    match command, *more:
        case "offer", phones:
            ways.clear()
            return [_side(media, ways, phone, None) for phone in phones]
        case "answer", phones, offers:
            ways.clear()
            return [_side(media, ways, phone, offer) for phone, offer in zip(phones, offers, strict=True)]
        case "connect", answers:
            for way, answer in zip(ways, answers, strict=False):
                way.set_remote(answer)
            for way in ways:
                await way.wait_connected()
            return None
    return time.process_time()


def _side(
    media: MediaService, ways: list[OverlayLeg], phone: Address, offer: TransportDescription | None
) -> tuple[Address, TransportDescription]:
    leg: PhoneLeg = media.phone_leg()
    leg.set_remote(phone, phone[0])
    way = media.overlay_leg(offerer=offer is None)
    Bridge(leg, way)
    if offer is not None:
        way.set_remote(offer)
    ways.append(way)
    return leg.local, way.description
