"""Two nodes with their whole media plane on loopback, and phones of plain sockets; on trio's virtual time."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import trio
from trio.testing import wait_all_tasks_blocked

from media.legs import Bridge
from media.overlay_leg import OverlayLeg
from media.phone_leg import PhoneLeg
from media.rtp import RtpPacket
from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort, open_udp

LOCAL = "127.0.0.1"
REPORT = bytes.fromhex("80c80006") + b"\0\0\0\7" + bytes(20)
HEAR_ROUNDS_MAX = 10_000
_first_ports = count(20_000, 200)


async def settle() -> None:
    """Until all that was sent has come."""
    await wait_all_tasks_blocked()


class TrioClock(Clock):
    """Steady time is trio's, so that a MockClock rules it."""

    def now(self) -> float:
        return trio.current_time()


@dataclass
class Node:
    """One node's media."""

    port: NodePort
    media: MediaService


@asynccontextmanager
async def open_nodes(number: int = 2, *, pairs: int = 99) -> AsyncIterator[list[Node]]:
    """Nodes that run until the block ends; each has `pairs` pairs of RTP ports."""
    async with trio.open_nursery() as nursery:
        nodes = []
        for index in range(number):
            port, first = NodePort.bind([LOCAL], 0), next(_first_ports)
            media = MediaService(
                port=port,
                clock=TrioClock(),
                chance=Chance.seeded(index),
                phone_host=LOCAL,
                rtp_ports=(first, first + 2 * pairs - 1),
            )
            await nursery.start(port.run)
            await nursery.start(media.run)
            nodes.append(Node(port, media))
        yield nodes
        nursery.cancel_scope.cancel()


class Phone:
    """A phone: an RTP and an RTCP socket, and the packets that came."""

    def __init__(self, ssrc: int = 7) -> None:
        self.rtp, self.rtcp = open_udp((LOCAL, 0)), open_udp((LOCAL, 0))
        self.ssrc = ssrc
        self.sent: list[bytes] = []
        self.sequence = 0xFFF0
        self.remote: Address = ("", 0)

    def dial(self, leg: PhoneLeg) -> None:
        """Point the phone and the leg at each other."""
        self.remote = leg.local
        leg.set_remote(self.rtp.getsockname(), LOCAL, rtcp=self.rtcp.getsockname())

    def speak(self, payload: bytes = bytes(160), *, payload_type: int = 0, marker: bool = False) -> None:
        """Send one packet."""
        stamp = 160 * self.sequence
        packet = RtpPacket(payload_type, marker, self.sequence, stamp, self.ssrc, payload).to_bytes()
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.sent.append(packet)
        self.rtp.sendto(packet, self.remote)

    def report(self, packet: bytes = REPORT) -> None:
        """Send RTCP."""
        self.rtcp.sendto(packet, (self.remote[0], self.remote[1] + 1))

    def heard(self) -> list[bytes]:
        """What has come on the RTP port since the last call."""
        return _waiting(self.rtp)

    async def hear(self, count: int) -> list[bytes]:
        """The next `count` packets: a burst may wait for a moment of real time in a port's pause."""
        found = self.heard()
        for _ in range(HEAR_ROUNDS_MAX):
            if len(found) >= count:
                break
            await wait_all_tasks_blocked()
            found += self.heard()
        return found

    def reports(self) -> list[bytes]:
        """What has come on the RTCP port since the last call."""
        return _waiting(self.rtcp)

    def hang_up(self) -> None:
        """Close the sockets."""
        self.rtp.close()
        self.rtcp.close()


@dataclass
class Call:
    """A phone at each of two nodes, and the four legs between them."""

    caller: Node
    callee: Node
    ssrc: int = 7
    phones: list[Phone] = field(default_factory=list)
    legs: list[PhoneLeg | OverlayLeg] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)

    async def connect(self) -> "Call":
        """Set everything up and wait until packets can pass."""
        ways = [self.caller.media.overlay_leg(offerer=True), self.callee.media.overlay_leg(offerer=False)]
        for node, way in zip((self.caller, self.callee), ways, strict=True):
            phone, leg = Phone(self.ssrc), node.media.phone_leg()
            phone.dial(leg)
            self.phones.append(phone)
            self.legs += [leg, way]
            self.bridges.append(Bridge(leg, way))
        ways[1].set_remote(ways[0].description)
        ways[0].set_remote(ways[1].description)
        with trio.fail_after(5):
            for way in ways:
                await way.wait_connected()
        return self

    @property
    def ways(self) -> list[OverlayLeg]:
        """The legs between the nodes."""
        return [leg for leg in self.legs if isinstance(leg, OverlayLeg)]

    async def talk(self, packets: int) -> None:
        """Both phones speak, 20 ms apart."""
        for number in range(packets):
            for phone in self.phones:
                phone.speak(bytes([number % 256, phone.rtp.fileno() % 256]) * 80)
            await trio.sleep(0.02)
        await settle()

    def close(self) -> None:
        """Free everything."""
        for leg in self.legs:
            leg.close()
        for phone in self.phones:
            phone.hang_up()


def _waiting(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(2_048))
        except BlockingIOError:
            return found
