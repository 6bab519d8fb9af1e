"""The data plane of a TURN server: relay sockets, and the way of each packet through them (RFC 8656 §11 and §12).

Many sockets in one epoll, drained by non-blocking calls, never an await per packet, and under load at intervals of half a
millisecond. Who may send where stands in the allocations' tables; the core alone changes those (`media/turn/server.py`).
"""

import logging
import select
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from media.turn import messages
from media.turn.allocation import Allocation, Relay, Tables
from media.turn.quota import PACKET_BYTES_ADDED
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.batch import DATAGRAM_BYTES_MAX, BatchReceiver
from p2psip.net.clock import Clock
from p2psip.net.draining import drain_forever

BIND_ATTEMPTS_MAX = 32
RELAY_BUFFER_BYTES = 1 << 18
CHANNEL_HEADER_BYTES = 4

_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23  # linux/in.h, linux/in6.h
_PMTUDISC_DONT, _PMTUDISC_DO = 0, 2

Send = Callable[[bytes, Address], None]

_log = logging.getLogger(__name__)


class RelayPlane:
    """Relay sockets bound on `hosts` (by family, 4 or 6) and announced as `announced`; `send` takes packets for clients."""

    def __init__(
        self,
        *,
        tables: Tables,
        send: Send,
        clock: Clock,
        chance: Chance,
        hosts: dict[int, str],
        announced: dict[int, str],
        ports: tuple[int, int],
    ) -> None:
        self._tables, self._send, self._clock, self._chance = tables, send, clock, chance
        self._allocations = tables.allocations
        self._hosts, self._announced, self._ports = hosts, announced, ports
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}  # by handle, which is the file number
        self._owners: dict[int, tuple[socket.socket, Allocation]] = {}
        self._batches = {family: BatchReceiver(family) for family in (socket.AF_INET, socket.AF_INET6)}
        self._used: set[tuple[int, int]] = set()  # family and port
        self._serial = chance.integer(64)
        self.failed = 0

    def __len__(self) -> int:
        return len(self._sockets)

    # What the core asks for (media.turn.allocation.Relays)

    def open_relay(self, family: int, *, even: bool) -> Relay | None:
        """A relayed address with a random port; None when none is free."""
        for port in self._candidates(family, even):
            found = self._open(family, port)
            if found is not None:
                return found
        return None

    def open_pair(self, family: int) -> tuple[Relay, Relay] | None:
        """A relayed address with an even port, and the one with the next port."""
        for port in self._candidates(family, True):
            if port + 1 > self._ports[1] or (family, port + 1) in self._used:
                continue
            first = self._open(family, port)
            second = self._open(family, port + 1) if first is not None else None
            if first is not None and second is not None:
                return first, second
            if first is not None:
                self.close_relay(first)
        return None

    def assign(self, relay: Relay, allocation: Allocation) -> None:
        """Packets at `relay` go to the client of `allocation` from now on; what came before is thrown away."""
        sock = self._sockets[relay.handle]
        self._owners[relay.handle] = (sock, allocation)
        self._epoll.register(relay.handle, select.EPOLLIN)

    def close_relay(self, relay: Relay) -> None:
        """Close the socket of a relayed address."""
        sock = self._sockets.pop(relay.handle)
        if self._owners.pop(relay.handle, None) is not None and not self._epoll.closed:
            self._epoll.unregister(relay.handle)
        self._used.discard((relay.family, relay.address[1]))
        sock.close()

    def send(self, relay: Relay, data: bytes, peer: Address, *, dont_fragment: bool) -> None:
        """Send one datagram of a Send indication; DF only if asked for (RFC 8656 §14)."""
        allocation = self._owners[relay.handle][1]
        if not self._may_pass(allocation, len(data)):
            return
        sock = self._sockets[relay.handle]
        if dont_fragment:
            _set_fragmentation(sock, _PMTUDISC_DO)
        self._to_peer(allocation, sock, data, peer)
        if dont_fragment:
            _set_fragmentation(sock, _PMTUDISC_DONT)

    # The way of packets

    def from_client(self, data: bytes, source: Address) -> None:
        """ChannelData of the client at `source` (RFC 8656 §12.6)."""
        allocation = self._allocations.get(source)
        if allocation is None or len(data) < CHANNEL_HEADER_BYTES:
            return
        peer = allocation.channels_by_number.get(data[0] << 8 | data[1])
        end = CHANNEL_HEADER_BYTES + (data[2] << 8 | data[3])
        if peer is None or end > len(data):
            allocation.counters.dropped += 1
        elif self._may_pass(allocation, end - CHANNEL_HEADER_BYTES):
            relay = allocation.relays[6 if ":" in peer[0] else 4]
            self._to_peer(allocation, self._sockets[relay.handle], data[CHANNEL_HEADER_BYTES:end], peer)

    def from_peer(self, allocation: Allocation, data: bytes, peer: Address) -> None:
        """A datagram of `peer` at a relayed address (RFC 8656 §11.3): ChannelData or a Data indication to the client."""
        counters, size = allocation.counters, len(data)
        if peer[0] not in allocation.permissions or size > DATAGRAM_BYTES_MAX:
            counters.dropped += 1
            return
        if not self._may_pass(allocation, size):
            return
        counters.to_client += 1
        counters.to_client_bytes += size
        header = allocation.headers_by_peer.get(peer)
        if header is not None:
            self._send(header + size.to_bytes(2, "big") + data, allocation.client)
        else:
            self._send(self._data_indication(data, peer), allocation.client)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled, then close all."""
        task_status.started()
        try:
            await drain_forever(self._epoll.fileno(), self.drain)
        finally:
            self.close()

    def drain(self, is_busy: bool = True) -> int:
        """Take what waits now, and give the number of datagrams.

        A talker sends a packet every 20 ms: so first a single one is read from each socket, which is the cheapest. Where more
        waits after that, a busy plane takes it in one batch, and an idle one comes again.
        """
        count = 0
        for handle, _event in self._epoll.poll(0):
            found = self._owners.get(handle)
            if found is not None:
                sock, allocation = found
                with suppress(OSError):  # an ICMP error of an earlier send, or a socket closed meanwhile
                    data, peer = sock.recvfrom(DATAGRAM_BYTES_MAX + 1)
                    count += 1
                    self._deliver(allocation, data, peer if len(peer) == 2 else peer[:2])
        return count + self._drain_batches() if is_busy else count

    def _drain_batches(self) -> int:
        count = 0
        for handle, _event in self._epoll.poll(0):
            found = self._owners.get(handle)
            if found is not None:
                sock, allocation = found
                with suppress(OSError):
                    datagrams = self._batches[sock.family].receive(sock)
                    count += len(datagrams)
                    for data, peer in datagrams:
                        self._deliver(allocation, data, peer)
        return count

    def _deliver(self, allocation: Allocation, data: bytes, peer: Address) -> None:
        try:
            self.from_peer(allocation, data, peer)
        except Exception:  # the driver loop is one of the two places that catch everything
            self.failed += 1
            _log.exception("a relayed datagram made its receiver fail")

    def close(self) -> None:
        """Close all sockets."""
        self._epoll.close()
        self._owners.clear()
        for sock in self._sockets.values():
            sock.close()

    def _may_pass(self, allocation: Allocation, size: int) -> bool:
        """Take a packet out of the allowances of its user and of all, and count it for the month."""
        amount = size + PACKET_BYTES_ADDED
        own, total, meter = allocation.user.traffic, self._tables.total, self._tables.meter
        if (
            (own.credit < amount and not own.refill(amount, self._clock.now()))
            or (total.credit < amount and not total.refill(amount, self._clock.now()))
            or meter.used + amount > meter.end
        ):
            allocation.counters.over_quota += 1
            return False
        own.credit -= amount
        total.credit -= amount
        meter.used += amount
        return True

    def _to_peer(self, allocation: Allocation, sock: socket.socket, data: bytes, peer: Address) -> None:
        try:
            sock.sendto(data, peer)
        except (OSError, OverflowError):  # the buffer is full, or there is no way there: as UDP may
            allocation.counters.dropped += 1
            return
        allocation.counters.to_peer += 1
        allocation.counters.to_peer_bytes += len(data)

    def _data_indication(self, data: bytes, peer: Address) -> bytes:
        self._serial += 1
        transaction = (self._serial & (1 << 96) - 1).to_bytes(12, "big")
        body = messages.address_attribute(messages.XOR_PEER_ADDRESS, peer, transaction)
        body += messages.attribute(messages.DATA_VALUE, data)
        return messages.write(messages.INDICATION, messages.DATA, transaction, body, None)

    def _candidates(self, family: int, even: bool) -> list[int]:
        """Some ports that are not in use here, in random order."""
        first, last = self._ports
        step = 2 if even else 1
        first += first & 1 if even else 0
        count = (last - first) // step + 1
        start = self._chance.integer(32)
        found: list[int] = []
        for number in range(count):
            port = first + step * ((start + number) % count)
            if (family, port) not in self._used:
                found.append(port)
                if len(found) == BIND_ATTEMPTS_MAX:
                    break
        return found

    def _open(self, family: int, port: int) -> Relay | None:
        if family not in self._hosts or (family, port) in self._used:
            return None
        try:
            sock = _open_socket(family, self._hosts[family], port)
        except OSError:  # another program has it, or this machine has no such address
            return None
        self._sockets[sock.fileno()] = sock
        self._used.add((family, port))
        return Relay(sock.fileno(), (self._announced[family], port), family)


def _open_socket(family: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, RELAY_BUFFER_BYTES)
        _set_fragmentation(sock, _PMTUDISC_DONT)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _set_fragmentation(sock: socket.socket, mode: int) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, mode)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
