"""Carries every datagram of a village on one heap of virtual time: between nodes over the network, at home over a LAN."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint
from simulations.network.internet import Internet
from simulations.network.latency import one_way
from simulations.network.model import Network
from simulations.trace import Trace
from simulations.village.clock import START_SECONDS, Timeline
from simulations.world import Tap

LAN_SECONDS = 0.0005
"""One way at home between a phone and its node: a switched network; a good wireless one takes 1 to 5 ms."""

Receiver = Callable[[bytes, Address], None]


class Doors:
    """Who listens at the ports of one endpoint; it stands in `Endpoint.host`."""

    __slots__ = ("by_port", "received", "received_bytes", "sent", "sent_bytes")

    def __init__(self) -> None:
        self.by_port: dict[int, Receiver] = {}
        self.sent = self.sent_bytes = self.received = self.received_bytes = 0


@dataclass(slots=True)
class Counters:
    """Datagrams between nodes since the start, and what went over streams and at home."""

    sent: int = 0
    delivered: int = 0
    bytes: int = 0
    streamed: int = 0
    at_home: int = 0


class Wire:
    """The network and the trace; what is under way is on the timeline."""

    def __init__(self, network: Network, timeline: Timeline) -> None:
        self.network = network
        self.timeline = timeline
        self.trace = Trace()
        self.counters = Counters()
        self.taps: list[Tap] = []
        self.listeners: dict[Address, Any] = {}  # who accepts connections where

    @property
    def now(self) -> float:
        """Virtual seconds, START_SECONDS at the start."""
        return START_SECONDS + self.timeline.seconds

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
        self.counters.sent += 1
        self.counters.bytes += size
        doors.sent += 1
        doors.sent_bytes += size
        arrivals = self.network.route(now, endpoint, destination, size, port)
        for when, source in arrivals:
            self.timeline.at(when - START_SECONDS, self._arrive, data, destination, source)
        for tap in self.taps:
            tap(now, endpoint, destination, data, len(arrivals))

    def note_stream(self, endpoint: Endpoint, data: bytes, source: Address) -> None:
        """A datagram leaves over a connection; `source` is what the other end calls this one."""
        self.trace.note(self.now, source, data)
        self.counters.streamed += 1
        doors = self.doors(endpoint)
        doors.sent += 1
        doors.sent_bytes += len(data)

    def way_seconds(self, here: Endpoint, there: Endpoint) -> float:
        """How long a segment takes one way, without jitter."""
        if isinstance(self.network, Internet):
            return one_way(here.line, there.line)
        return self.network.median_round_trip / 2

    def hand_over(self, data: bytes, source: Address, destination: Address, receiver: Receiver) -> None:
        """A datagram at home: it reaches `receiver` a moment later."""
        self.trace.note(self.now, destination, data)
        self.counters.at_home += 1
        self.timeline.at(self.timeline.seconds + LAN_SECONDS, receiver, data, source)

    def _arrive(self, data: bytes, destination: Address, source: Address) -> None:
        found = self.network.arrive(self.now, destination, source)
        if found is None or found[0].host is None:
            return
        doors: Doors = found[0].host
        receiver = doors.by_port.get(found[1])
        if receiver is not None:
            self.counters.delivered += 1
            doors.received += 1
            doors.received_bytes += len(data)
            receiver(data, source)
