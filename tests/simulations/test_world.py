"""The world: time passes in order, datagrams arrive, a trace is the same to the byte."""

import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from overlay.events import ProbeElsewhere
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from simulations.network.endpoint import Endpoint
from simulations.network.nat import PUBLIC
from simulations.network.plain import PlainNetwork
from simulations.world import START_SECONDS, World

LATENCY = 0.04


@dataclass
class Echo:
    """Sends back what it gets, with one more byte, up to four; its deadline is called once."""

    deadline: float | None = None
    heard: list[tuple[float, bytes, Address]] = field(default_factory=list)
    rung: list[float] = field(default_factory=list)
    outputs: deque[Any] = field(default_factory=deque)

    def receive(self, data: bytes, source: Address, now: float) -> None:
        self.heard.append((now, data, source))
        if len(data) < 4:
            self.outputs.append(Transmit(data + b".", source))

    def handle_timeout(self, now: float) -> None:
        self.rung.append(now)
        self.deadline = None

    def poll_timeout(self) -> float | None:
        return self.deadline

    def poll_output(self) -> Any:
        return self.outputs.popleft() if self.outputs else None


@dataclass(eq=False)
class Host:
    core: Echo
    endpoint: Endpoint
    planned: float | None = None
    events: list[Any] = field(default_factory=list)
    sent: int = 0
    received: int = 0

    def take(self, event: Any, now: float) -> None:
        self.events.append((event, now))

    def note_sent(self, size: int) -> None:
        self.sent += size

    def note_received(self, size: int) -> None:
        self.received += size


def world_of_two(seed: int = 1) -> tuple[World, Host, Host]:
    world = World(seed, PlainNetwork(Chance.seeded(seed), latency=LATENCY))
    hosts = [Host(Echo(), world.network.endpoint(number, world.chance, nat=PUBLIC)) for number in range(2)]
    for host in hosts:
        world.add(host)
    return world, *hosts


def send(world: World, host: Host, to: Host, data: bytes) -> None:
    host.core.outputs.append(Transmit(data, to.endpoint.address))
    world.pump(host)


def test_a_datagram_takes_its_time_and_is_counted_at_both_ends() -> None:
    world, one, other = world_of_two()
    send(world, one, other, b"abc")
    world.run(LATENCY / 2)
    assert other.core.heard == []
    world.run(1)
    assert [(data, source) for _, data, source in other.core.heard] == [(b"abc", one.endpoint.address)]
    assert other.core.heard[0][0] == pytest.approx(START_SECONDS + LATENCY, abs=LATENCY / 2)
    assert (one.sent, one.received, other.sent, other.received) == (3, 4, 4, 3)
    assert (world.counters.sent, world.counters.delivered, world.counters.bytes) == (2, 2, 7)
    assert world.now == START_SECONDS + 1 + LATENCY / 2


def test_deadlines_are_kept_and_a_later_one_replaced_by_an_earlier_one() -> None:
    world, one, _other = world_of_two()
    one.core.deadline = world.now + 5
    world.pump(one)
    one.core.deadline = world.now + 2
    world.pump(one)
    world.run(10)
    assert one.core.rung == [START_SECONDS + 2]


def test_who_was_removed_hears_nothing_and_is_not_woken() -> None:
    world, one, other = world_of_two()
    other.core.deadline = world.now + 1
    world.pump(other)
    send(world, one, other, b"abc")
    world.remove(other)
    world.run(10)
    assert other.core.heard == []
    assert other.core.rung == []
    assert world.counters.lost == 1


def test_actions_are_called_in_the_order_of_their_times_and_then_of_their_planning() -> None:
    world, *_ = world_of_two()
    called: list[str] = []
    world.after(2, lambda: called.append("later"))
    world.after(1, lambda: called.append("first"))
    world.after(1, lambda: called.append("second"))
    world.every(3, lambda: called.append("again"), first=2.5)
    world.run(6)
    assert called == ["first", "second", "later", "again", "again"]


def test_run_until_ends_where_the_condition_holds_or_time_is_over() -> None:
    world, one, other = world_of_two()
    send(world, one, other, b"abc")
    assert world.run_until(lambda: bool(other.core.heard), 5)
    assert world.now < START_SECONDS + 1
    assert not world.run_until(lambda: False, 5)


def test_a_probe_leaves_from_the_next_port_and_other_events_go_to_the_host() -> None:
    world, one, other = world_of_two()
    one.core.outputs += [ProbeElsewhere(b"probe", other.endpoint.address), "news"]
    world.pump(one)
    world.run(1)
    assert other.core.heard[0][2] == (one.endpoint.address[0], one.endpoint.address[1] + 1)
    assert one.events == [("news", START_SECONDS)]


def test_taps_see_every_datagram() -> None:
    world, one, other = world_of_two()
    seen: list[tuple[bytes, int]] = []
    world.taps.append(lambda now, sender, destination, data, arrivals: seen.append((data, arrivals)))
    send(world, one, other, b"abc")
    world.run(1)
    assert seen == [(b"abc", 1), (b"abc.", 1)]


SWARM = """
from simulations.run import Run
from simulations.network.internet import Internet
from p2psip.base.chance import Chance
run = Run("test", {seed})
swarm = run.swarm(network=Internet(Chance.seeded(1)))
swarm.grow(12)
run.for_seconds(40)
print(swarm.world.trace.hexdigest())
"""


def test_the_same_seed_gives_the_same_trace_to_the_byte_whatever_python_hashes() -> None:
    def trace(seed: int, hashing: str) -> str:
        program = [sys.executable, "-c", SWARM.format(seed=seed)]
        done = subprocess.run(program, env={"PYTHONHASHSEED": hashing}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert trace(1, "1") == trace(1, "2") != trace(2, "1")
