"""An asyncio event loop on virtual time, whose UDP endpoints stand in a simulated network.

Programs written for asyncio run on it unmodified: they wait without waiting, and what they send goes through the same network model
as the datagrams of our own cores. Nothing here opens a socket or reads a clock. Only what such programs use is there:
tasks, timers, `create_datagram_endpoint`.
"""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint
from simulations.network.model import Network
from simulations.network.nat import PUBLIC

CLOCK_RESOLUTION_SECONDS = 1e-6


class StandstillError(RuntimeError):
    """Every task waits, and no timer is set: it would wait for ever."""


@dataclass(slots=True)
class Traffic:
    """What all endpoints of a loop have sent; datagrams and their bytes."""

    datagrams: int = 0
    bytes: int = 0


class VirtualLoop(BaseEventLoop):
    """`now` is its first virtual second. `sent` is called for every datagram, in the context of the task that sends it.

    What a datagram makes its receiver do runs in the context of the sender, so that a context variable set by one task is seen
    in everything that this task has caused, on whatever node.
    """

    def __init__(self, network: Network, chance: Chance, *, now: float = 0.0, sent: Callable[[bytes], None]) -> None:
        self._now = now
        super().__init__()
        self._clock_resolution = CLOCK_RESOLUTION_SECONDS
        self._selector = _Waiting(self)
        self.network = network
        self.traffic = Traffic()
        self._chance = chance
        self._sent = sent
        self._endpoints = 0

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def pass_time(self, seconds: float | None) -> None:
        """Nobody has anything to do for so long."""
        if seconds is None:
            raise StandstillError("all tasks wait for something that cannot happen")
        self._now += seconds

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.DatagramProtocol], local_addr: Any = None, **_: Any
    ) -> tuple["VirtualTransport", asyncio.DatagramProtocol]:
        """A public endpoint; the network chooses its address, whatever `local_addr` says."""
        place = self.network.endpoint(self._endpoints, self._chance, nat=PUBLIC)
        self._endpoints += 1
        protocol = protocol_factory()
        transport = VirtualTransport(self, place, protocol)
        place.host = transport
        protocol.connection_made(transport)
        return transport, protocol

    def carry(self, sender: Endpoint, data: bytes, destination: Address) -> None:
        """Send a datagram through the network."""
        self.traffic.datagrams += 1
        self.traffic.bytes += len(data)
        self._sent(data)
        for when, source in self.network.route(self._now, sender, destination, len(data)):
            self.call_at(when, self._arrive, data, destination, source)

    def _arrive(self, data: bytes, destination: Address, source: Address) -> None:
        place = self.network.deliver(self._now, destination, source)
        if place is not None and place.host is not None:
            place.host.protocol.datagram_received(data, source)

    def _process_events(self, event_list: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return


class VirtualTransport(asyncio.DatagramTransport):
    """One endpoint of a `VirtualLoop`."""

    def __init__(self, loop: VirtualLoop, place: Endpoint, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__({"sockname": place.address})
        self.protocol = protocol
        self._loop = loop
        self._place = place

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send; nothing happens when it is closed."""
        if self._place.host is self:
            self._loop.carry(self._place, bytes(data), (addr[0], addr[1]))

    def close(self) -> None:
        """From now on it receives and sends nothing."""
        if self._place.host is self:
            self._place.host = None
            self._loop.network.release(self._place)
            self._loop.call_soon(self.protocol.connection_lost, None, context=Context())

    def abort(self) -> None:
        """The same."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._place.host is not self


class _Waiting:
    """In the place of a selector: where a real loop sleeps, virtual time passes."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._loop.pass_time(timeout)
        return []
