"""Carries every datagram of a village on one heap of virtual time: between nodes over the network, at home over a LAN."""

import heapq
import math
from collections.abc import Callable
from typing import Any

import trio

from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint
from simulations.network.model import Network
from simulations.trace import Trace
from simulations.village.clock import START_SECONDS

LAN_SECONDS = 0.0005
"""One way at home between a phone and its node: a switched network; a good wireless one takes 1 to 5 ms."""
ROUNDING_SECONDS = 1e-9

Receiver = Callable[[bytes, Address], None]
Action = Callable[[], None]


class Doors:
    """Who listens at the ports of one endpoint; it stands in `Endpoint.host`."""

    __slots__ = ("by_port", "received", "received_bytes", "sent", "sent_bytes")

    def __init__(self) -> None:
        self.by_port: dict[int, Receiver] = {}
        self.sent = self.sent_bytes = self.received = self.received_bytes = 0


class Wire:
    """The heap, the network and the trace. `run` delivers; everything else is called from tasks on the same virtual time."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.trace = Trace()
        self.sent = self.sent_bytes = self.delivered = self.at_home = 0
        self._heap: list[tuple[float, int, Any, Any, Any]] = []
        self._sequence = 0
        self._sleep: trio.CancelScope | None = None

    @property
    def now(self) -> float:
        """Virtual seconds, START_SECONDS at the start."""
        return START_SECONDS + trio.current_time()

    def listen(self, endpoint: Endpoint, port: int, receiver: Receiver) -> bool:
        """Hand what arrives at `port` of `endpoint` to `receiver`; False when the port is taken, or too many are open."""
        doors = self.doors(endpoint)
        if port in doors.by_port or (port != endpoint.address[1] and not endpoint.open(port)):
            return False
        doors.by_port[port] = receiver
        return True

    def hush(self, endpoint: Endpoint, port: int) -> None:
        """Nobody listens at this port any more."""
        if endpoint.host is not None and endpoint.host.by_port.pop(port, None) is not None:
            endpoint.close(port)

    def doors(self, endpoint: Endpoint) -> Doors:
        """The ports of an endpoint, and what has passed them."""
        if endpoint.host is None:
            endpoint.host = Doors()
        doors: Doors = endpoint.host
        return doors

    def send(self, endpoint: Endpoint, data: bytes, destination: Address, port: int | None = None) -> None:
        """Put a datagram on its way, from the port of `endpoint` or another `port` of it."""
        now, size, doors = self.now, len(data), self.doors(endpoint)
        self.trace.note(now, destination, data)
        self.sent += 1
        self.sent_bytes += size
        doors.sent += 1
        doors.sent_bytes += size
        for when, source in self.network.route(now, endpoint, destination, size, port):
            self._push(when, destination, data, source)

    def hand_over(self, data: bytes, source: Address, destination: Address, receiver: Receiver) -> None:
        """A datagram at home: it reaches `receiver` a moment later."""
        now = self.now
        self.trace.note(now, destination, data)
        self.at_home += 1
        self._push(now + LAN_SECONDS, None, lambda: receiver(data, source), None)

    def at(self, when: float, action: Action) -> None:
        """Call `action()` at this virtual time, or at once if it has passed."""
        self._push(when, None, action, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled."""
        task_status.started()
        while True:
            due = self._heap[0][0] - START_SECONDS if self._heap else math.inf
            with trio.CancelScope(deadline=due) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None
            self._deliver_due()

    def _deliver_due(self) -> None:
        heap, until = self._heap, self.now + ROUNDING_SECONDS
        while heap and heap[0][0] <= until:
            _when, _sequence, destination, data, source = heapq.heappop(heap)
            if destination is None:
                data()
            else:
                self._arrive(data, destination, source)

    def _arrive(self, data: bytes, destination: Address, source: Address) -> None:
        found = self.network.arrive(self.now, destination, source)
        if found is None or found[0].host is None:
            return
        doors: Doors = found[0].host
        receiver = doors.by_port.get(found[1])
        if receiver is not None:
            self.delivered += 1
            doors.received += 1
            doors.received_bytes += len(data)
            receiver(data, source)

    def _push(self, when: float, destination: Address | None, data: Any, source: Address | None) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, destination, data, source))
        if self._sleep is not None and when - START_SECONDS < self._sleep.deadline:
            self._sleep.deadline = when - START_SECONDS
