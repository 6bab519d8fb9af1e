"""Clients and peers for the TURN benchmarks, in a process and on a core of their own: a call in both directions for each flow.

All clients share one socket, each with a loopback address of its own (IP_PKTINFO), and all peers are one socket: so that a packet
is sent and received by sendmmsg(2) and recvmmsg(2), and the load is not the bottleneck. Linux on 64-bit machines only.
"""

import ctypes
import hashlib
import mmap
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from aioice import stun

from benchmarks.rtp_load import claim_core
from p2psip.base.core import Address

PAYLOAD_BYTES = 172
CHANNEL = 0x4000
BATCH = 256
TICK_PACKETS_MAX = 64
SETTLE_SECONDS = 0.3
SAMPLE = 4
ANSWER_SECONDS_MAX = 3.0

_SLOT_BYTES, _NAME_BYTES, _VECTOR_BYTES, _MESSAGE_BYTES, _CONTROL_BYTES = 2_048, 32, 16, 64, 32
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _IP_PKTINFO = 32, 33, 8
_STAMP = struct.Struct("@d")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class RelayLoad:
    """One run: packets sent and received in both directions together, and their delays in milliseconds."""

    sent: int
    received: int
    seconds: float
    p50: float
    p99: float

    @property
    def loss(self) -> float:
        """The share that was lost."""
        return 1.0 - self.received / max(self.sent, 1)


class Packets:
    """Arrays for sendmmsg and recvmmsg: `count` slots for data, names (IPv4) and, if wanted, control data."""

    def __init__(self, count: int, *, control: bool = False) -> None:
        sizes = (_SLOT_BYTES, _NAME_BYTES, _VECTOR_BYTES, _MESSAGE_BYTES, _CONTROL_BYTES)
        self.count = count
        self.memory = mmap.mmap(-1, count * sum(sizes))
        self._base = base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.names, self.vectors, self._messages, self.controls = (count * sum(sizes[:n]) for n in range(1, 5))
        for number in range(count):
            self.set_length(number, _SLOT_BYTES)
            name, vector = base + self.names + number * _NAME_BYTES, base + self.vectors + number * _VECTOR_BYTES
            extra = base + self.controls + number * _CONTROL_BYTES if control else 0
            message = (name, 16, vector, 1, extra, 28 if control else 0, 0, 0)
            struct.pack_into("@QIxxxxQQQQII", self.memory, self._messages + number * _MESSAGE_BYTES, *message)

    def set_length(self, number: int, length: int) -> None:
        """How much of slot `number` is data."""
        address = self._base + number * _SLOT_BYTES
        struct.pack_into("@QQ", self.memory, self.vectors + number * _VECTOR_BYTES, address, length)

    def set_name(self, number: int, address: Address) -> None:
        """Where the packet in slot `number` goes."""
        name = struct.pack("@H", socket.AF_INET) + struct.pack("!H", address[1]) + socket.inet_aton(address[0])
        at = self.names + number * _NAME_BYTES
        self.memory[at : at + len(name)] = name

    def set_source(self, number: int, host: str) -> None:
        """Which address of ours it comes from."""
        at = self.controls + number * _CONTROL_BYTES
        control = (28, socket.IPPROTO_IP, _IP_PKTINFO, 0, socket.inet_aton(host), bytes(4))
        struct.pack_into("@QIIi4s4s", self.memory, at, *control)

    def send(self, fileno: int, first: int, count: int) -> int:
        """Send slots; how many the kernel took."""
        at = ctypes.c_void_p(self._base + self._messages + first * _MESSAGE_BYTES)
        return max(_libc.sendmmsg(fileno, at, count, socket.MSG_DONTWAIT), 0)

    def receive(self, fileno: int) -> int:
        """Fill slots; how many."""
        at = ctypes.c_void_p(self._base + self._messages)
        return max(_libc.recvmmsg(fileno, at, self.count, socket.MSG_DONTWAIT, None), 0)


class Flows:
    """Clients with an allocation and a channel each, and their peers."""

    def __init__(self, server: Address, credentials: tuple[str, str]) -> None:
        self._server, self._credentials = server, credentials
        self._clients, self._peers = _bound("0.0.0.0"), _bound("127.0.0.1")
        self._relays: list[Address] = []

    def allocate(self, count: int, *, channels: bool) -> None:
        """Make `count` more allocations: asked once without credentials (401), then with them."""
        for _ in range(count):
            self._allocate(client_host(len(self._relays)), channels)

    def prepare(self) -> None:
        """Lay the packets out."""
        count = len(self._relays)
        self._outward, self._inward = Packets(count, control=True), Packets(count)
        for number, relay in enumerate(self._relays):
            self._outward.set_name(number, self._server)
            self._outward.set_source(number, client_host(number))
            self._outward.set_length(number, PAYLOAD_BYTES + 4)
            struct.pack_into("!HH", self._outward.memory, number * _SLOT_BYTES, CHANNEL, PAYLOAD_BYTES)
            self._inward.set_name(number, relay)
            self._inward.set_length(number, PAYLOAD_BYTES)
        self._found = Packets(BATCH)

    def run(self, rate: int, seconds: float) -> RelayLoad:
        """Send `rate` packets a second, half of them each way, spread over all flows, and take what comes."""
        delays: list[float] = []
        ticks = sent = received = turn = 0
        start = time.perf_counter()
        while (took := time.perf_counter() - start) < seconds:
            due = min(int(took * rate / 2) - ticks, TICK_PACKETS_MAX, len(self._relays))
            if due > 0:
                ticks += due
                sent += self._send(self._outward, self._clients, 4, turn, due)
                sent += self._send(self._inward, self._peers, 0, turn, due)
                turn = (turn + due) % len(self._relays)
            received += self._receive(delays)
        until = time.perf_counter() + SETTLE_SECONDS
        while time.perf_counter() < until:
            received += self._receive(delays)
        delays.sort()
        p50, p99 = (1e3 * delays[int(share * (len(delays) - 1))] if delays else 0.0 for share in (0.5, 0.99))
        return RelayLoad(sent, received, took, p50, p99)

    def close(self) -> None:
        """Close the sockets."""
        self._clients.close()
        self._peers.close()

    def _send(self, packets: Packets, sock: socket.socket, at: int, first: int, count: int) -> int:
        now, sent = time.perf_counter(), 0
        while count:
            some = min(count, packets.count - first)
            for number in range(first, first + some):
                _STAMP.pack_into(packets.memory, number * _SLOT_BYTES + at, now)
            sent += packets.send(sock.fileno(), first, some)
            first, count = 0, count - some
        return sent

    def _receive(self, delays: list[float]) -> int:
        total = 0
        for sock, at in ((self._peers, 0), (self._clients, 4)):
            count = self._found.receive(sock.fileno())
            now, memory = time.perf_counter(), self._found.memory
            for number in range(0, count, SAMPLE):
                delays.append(now - _STAMP.unpack_from(memory, number * _SLOT_BYTES + at)[0])
            total += count
        return total

    def _allocate(self, host: str, channels: bool) -> None:
        transport = {"REQUESTED-TRANSPORT": 17 << 24, "LIFETIME": 600}
        refusal = self._ask(host, stun.Method.ALLOCATE, transport, None)
        answer = self._ask(host, stun.Method.ALLOCATE, transport, refusal)
        self._relays.append(answer.attributes["XOR-RELAYED-ADDRESS"])
        if channels:
            binding = {"CHANNEL-NUMBER": CHANNEL, "XOR-PEER-ADDRESS": self._peers.getsockname()}
            answer = self._ask(host, stun.Method.CHANNEL_BIND, binding, refusal)
        if answer.message_class != stun.Class.RESPONSE:
            raise RuntimeError(f"the TURN server refuses: {answer.attributes['ERROR-CODE']}")

    def _ask(
        self, host: str, method: stun.Method, attributes: dict[str, Any], challenge: stun.Message | None
    ) -> stun.Message:
        question = stun.Message(method, stun.Class.REQUEST)
        question.attributes.update(attributes)
        if challenge is not None:
            user, password = self._credentials
            realm, nonce = challenge.attributes["REALM"], challenge.attributes["NONCE"]
            question.attributes.update({"USERNAME": user, "REALM": realm, "NONCE": nonce})
            question.add_message_integrity(hashlib.md5(f"{user}:{realm}:{password}".encode()).digest())
        source = struct.pack("@i4s4s", 0, socket.inet_aton(host), bytes(4))
        self._clients.settimeout(ANSWER_SECONDS_MAX)
        self._clients.sendmsg([bytes(question)], [(socket.IPPROTO_IP, _IP_PKTINFO, source)], 0, self._server)
        answer = stun.parse_message(self._clients.recv(2_048))
        self._clients.setblocking(False)
        return answer


def client_host(number: int) -> str:
    """The loopback address of a client."""
    return f"127.1.{number >> 8}.{number & 255}"


def serve_load(control: Connection, core: int) -> None:
    """The process: obeys `("flows", name, server, credentials)`, `("allocate", name, n)`, `("channels", name, n)`,
    `("run", name, rate, seconds)`.
    """
    claim_core(core)
    flows: dict[str, Flows] = {}
    while True:
        match control.recv():
            case ("flows", str(name), server, credentials):
                flows[name] = Flows(server, credentials)
                control.send(None)
            case ("allocate", str(name), int(count)):
                flows[name].allocate(count, channels=False)
                control.send(None)
            case ("channels", str(name), int(count)):
                flows[name].allocate(count, channels=True)
                flows[name].prepare()
                control.send(None)
            case ("run", str(name), int(rate), float(seconds)):
                control.send(flows[name].run(rate, seconds))


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for force, option in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, 16 << 20)
        except OSError:  # not root
            sock.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock
