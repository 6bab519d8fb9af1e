"""What stands in for the sockets of a node: its one UDP port, and the relay sockets of a super-node."""

import socket
from typing import Any, cast

import trio

from media.turn.allocation import Allocation, Relay
from media.turn.plane import RelayPlane
from p2psip.base.core import Address, is_synthetic
from p2psip.net.batch import DATAGRAM_BYTES_MAX
from p2psip.net.port import NodePort
from simulations.network.endpoint import Endpoint
from simulations.village.wire import Wire

ELSEWHERE_PORTS_UP = 1
"""A probe from another port leaves from the port of the host plus this."""


class VirtualPort(NodePort):
    """`NodePort` on a simulated endpoint. IPv4 only."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        super().__init__([])
        self._wire, self._endpoint = wire, endpoint
        self.local = (endpoint.address,)
        self._open()

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; without waiting, as ever."""
        if is_synthetic(destination[0]):
            self._send_on_stream(data, destination)
        elif ":" in destination[0] or not 0 < destination[1] < 65_536 or len(data) > DATAGRAM_BYTES_MAX:
            self.counters.send_dropped += 1
        else:
            self._wire.send(self._endpoint, data, destination)

    def send_from_elsewhere(self, data: bytes, destination: Address) -> None:
        """Send one datagram from another port of this host."""
        if not is_synthetic(destination[0]) and ":" not in destination[0]:
            port = self._endpoint.address[1] + ELSEWHERE_PORTS_UP
            self._wire.send(self._endpoint, data, destination, port)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive until cancelled."""
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.close()

    def close(self) -> None:
        """Nothing arrives any more."""
        self._wire.hush(self._endpoint, self._endpoint.address[1])

    def _open(self) -> None:
        self._wire.listen(self._endpoint, self._endpoint.address[1], self._arrive)

    def _arrive(self, data: bytes, source: Address) -> None:
        self.deliver(data, source)
        self.end_batch()


class RelaySocket:
    """A relayed address of a super-node. It has the methods of a socket that the plane calls."""

    family = socket.AF_INET

    def __init__(self, wire: Wire, endpoint: Endpoint, port: int) -> None:
        self._wire, self._endpoint, self._port = wire, endpoint, port

    def sendto(self, data: bytes, destination: Address) -> int:
        """Send one datagram from this address."""
        self._wire.send(self._endpoint, data, destination, self._port)
        return len(data)

    def setsockopt(self, _level: int, _option: int, _value: int) -> None:
        """The simulated network fragments nothing."""

    def close(self) -> None:
        """Nothing arrives any more."""
        self._wire.hush(self._endpoint, self._port)


class VirtualRelayPlane(RelayPlane):
    """`RelayPlane` with relayed addresses on a simulated endpoint; what arrives is handed on at once."""

    def __init__(self, wire: Wire, endpoint: Endpoint, **parts: Any) -> None:
        super().__init__(**parts)
        self._epoll.close()
        self._wire, self._endpoint = wire, endpoint
        self._handles = 0
        self._handle_of_port: dict[int, int] = {}

    def assign(self, relay: Relay, allocation: Allocation) -> None:
        """Packets at `relay` go to the client of `allocation` from now on."""
        self._owners[relay.handle] = (self._sockets[relay.handle], allocation)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.close()

    def _open(self, family: int, port: int) -> Relay | None:
        if family not in self._hosts or (family, port) in self._used:
            return None
        self._handles += 1
        handle = self._handles
        if not self._wire.listen(self._endpoint, port, lambda data, source: self._arrive(handle, data, source)):
            return None
        self._sockets[handle] = cast(socket.socket, RelaySocket(self._wire, self._endpoint, port))
        self._used.add((family, port))
        return Relay(handle, (self._announced[family], port), family)

    def _arrive(self, handle: int, data: bytes, source: Address) -> None:
        found = self._owners.get(handle)
        if found is not None:
            self._deliver(found[1], data, source)
