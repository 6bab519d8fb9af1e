"""One seeded heap of events on a virtual clock: it drives the cores of production, carries their datagrams and counts.

An event is a datagram that arrives, a deadline of a core, or an action of a workload or checker. What lies between two hosts
(latency, loss, NATs) is the business of `simulations.network`. Nothing here reads a clock or draws by itself.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from overlay.events import ProbeElsewhere
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Core, Transmit
from simulations.network.endpoint import Endpoint
from simulations.network.model import Network
from simulations.trace import Trace

START_SECONDS = 1_000.0
UNIX_START = 1_700_000_000
ELSEWHERE_PORTS_UP = 1
"""A probe from another port leaves from the port of the host plus this."""

Action = Callable[[], None]


class Host(Protocol):
    """What a world drives: a core behind an endpoint. `planned` belongs to the world."""

    endpoint: Endpoint
    planned: float | None

    @property
    def core(self) -> Core[Any]:
        """What is driven."""

    def take(self, event: Any, now: float) -> None:
        """The core has put out something that is no datagram."""

    def note_sent(self, size: int) -> None:
        """A datagram of `size` bytes left the host."""

    def note_received(self, size: int) -> None:
        """A datagram of `size` bytes reached the host."""


@dataclass(slots=True)
class Counters:
    """Of the whole world since its start; `bytes` are those sent."""

    sent: int = 0
    delivered: int = 0
    bytes: int = 0
    timeouts: int = 0

    @property
    def lost(self) -> int:
        """Datagrams that reached nobody; those still under way count as lost."""
        return max(0, self.sent - self.delivered)


class Tap(Protocol):
    """Watches every datagram (`World.taps`): slow, for replays and checkers of words on the wire."""

    def __call__(self, now: float, sender: Endpoint, destination: Address, data: bytes, arrivals: int) -> None:
        """A datagram has left; it will arrive so many times."""


class World:
    """The clock, the heap and the hosts. Virtual time `now` starts at START_SECONDS; `unix` is `now + unix_offset`."""

    def __init__(self, seed: int, network: Network) -> None:
        self.now = START_SECONDS
        self.unix_offset = UNIX_START - START_SECONDS
        self.chance = Chance.seeded(seed).child("world")
        self.network = network
        self.trace = Trace()
        self.counters = Counters()
        self.taps: list[Tap] = []
        self._heap: list[tuple[float, int, Any, Any, Any]] = []
        self._sequence = 0

    @property
    def unix(self) -> float:
        """Unix time now, by a right clock."""
        return self.now + self.unix_offset

    def at(self, when: float, action: Action) -> None:
        """Call `action()` at this time, or at once if it has passed."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(when, self.now), self._sequence, None, action, None))

    def after(self, seconds: float, action: Action) -> None:
        """Call `action()` so many seconds from now."""
        self.at(self.now + seconds, action)

    def every(self, seconds: float, action: Action, *, first: float | None = None) -> None:
        """Call `action()` every so many seconds for ever, for the first time after `first` (default: `seconds`)."""

        def again() -> None:
            action()
            self.after(seconds, again)

        self.after(seconds if first is None else first, again)

    def add(self, host: Host) -> None:
        """A host is there from now on: its endpoint leads to it."""
        host.endpoint.host = host
        host.planned = None
        self.pump(host)

    def remove(self, host: Host) -> None:
        """A host is gone without a word; what is under way to it is lost."""
        host.endpoint.host = None
        host.planned = None

    def pump(self, host: Host) -> None:
        """Take the outputs of a host after a command to its core."""
        core = host.core
        poll = core.poll_output
        while (output := poll()) is not None:
            if type(output) is Transmit:
                self._send(host, output.destination, output.data, None)
            elif type(output) is ProbeElsewhere:
                port = host.endpoint.address[1] + ELSEWHERE_PORTS_UP
                self._send(host, output.destination, output.data, port)
            else:
                host.take(output, self.now)
        deadline = core.poll_timeout()
        if deadline is not None and host.endpoint.host is host:
            planned = host.planned
            if planned is None or deadline < planned:
                self._plan(host, deadline)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        heap, step = self._heap, self._step
        while heap and heap[0][0] <= end:
            step()
        self.now = end

    def run_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Let virtual time pass until `condition` holds, at most `seconds`; whether it holds."""
        end = self.now + seconds
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                return condition()
            self._step()
        return True

    def _send(self, host: Host, destination: Address, data: bytes, port: int | None) -> None:
        now, size = self.now, len(data)
        self.trace.note(now, destination, data)
        counters = self.counters
        counters.sent += 1
        counters.bytes += size
        host.note_sent(size)
        arrivals = self.network.route(now, host.endpoint, destination, size, port)
        for when, source in arrivals:
            self._sequence += 1
            heapq.heappush(self._heap, (when, self._sequence, destination, data, source))
        if self.taps:
            for tap in self.taps:
                tap(now, host.endpoint, destination, data, len(arrivals))

    def _step(self) -> None:
        when, _sequence, target, data, source = heapq.heappop(self._heap)
        if when > self.now:
            self.now = when
        if source is not None:
            endpoint = self.network.deliver(self.now, target, source)
            if endpoint is None or endpoint.host is None:
                return
            host = endpoint.host
            self.counters.delivered += 1
            host.note_received(len(data))
            host.core.receive(data, source, self.now)
            self.pump(host)
        elif target is None:
            data()
        elif target.planned == when and target.endpoint.host is target:
            target.planned = None
            deadline = target.core.poll_timeout()
            if deadline is not None and deadline > self.now:  # the answer that this deadline was for has come
                self._plan(target, deadline)
                return
            self.counters.timeouts += 1
            target.core.handle_timeout(self.now)
            self.pump(target)

    def _plan(self, host: Host, deadline: float) -> None:
        host.planned = deadline
        self._sequence += 1
        heapq.heappush(self._heap, (deadline, self._sequence, host, None, None))
