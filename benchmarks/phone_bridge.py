"""CPU of one packet through one node between two phones (or a phone and a trunk): RTP as it is, and SRTP by the keys of RFC 4568.

Packets wait in the node's sockets before the clock starts, so that the node's part alone is measured: read, open, protect, send.
"""

import socket
import time
from typing import Any

from media.legs import Bridge
from media.phone_leg import PhoneLeg
from media.rtp import RtpPacket
from media.sockets import SocketPlane
from media.srtp import SUITES, MasterKey, SrtpContexts, SrtpKeys
from p2psip.base.core import Address
from p2psip.net.port import open_udp

HOST = "127.0.0.1"
PACKETS_AT_ONCE = 60
ROUNDS = 250
PAYLOAD = b"\xd5" * 160

Row = dict[str, Any]


class _Line:
    """A leg of the node and the phone at its other end, which speaks `suite` (None: RTP)."""

    def __init__(self, plane: SocketPlane, suite: str | None) -> None:
        self._sockets = open_udp((HOST, 0)), open_udp((HOST, 0))
        self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.phone.bind((HOST, 0))
        self.phone.setblocking(False)
        self.leg = PhoneLeg(*self._sockets, now=time.monotonic, close=lambda _: None)
        plane.add(self._sockets[0], self.leg.receive_rtp)
        self.leg.set_remote(self.phone.getsockname(), HOST)
        self._contexts: SrtpContexts | None = None
        if suite is not None:
            size = SUITES[suite].key_bytes + SUITES[suite].salt_bytes
            ours, theirs = MasterKey(suite, bytes(size)), MasterKey(suite, bytes([1]) * size)
            self.leg.set_keys(SrtpKeys(ours, theirs))
            self._contexts = SrtpContexts()
            self._contexts.set_keys(SrtpKeys(theirs, ours))

    def say(self, first: int) -> None:
        """PACKETS_AT_ONCE packets, which wait in the leg's socket."""
        target: Address = self.leg.local
        for number in range(first, first + PACKETS_AT_ONCE):
            packet = RtpPacket(0, False, number % 65_536, 160 * number, 7, PAYLOAD).to_bytes()
            wire = packet if self._contexts is None else self._contexts.protect(packet)
            assert wire is not None
            self.phone.sendto(wire, target)

    def hear(self) -> int:
        """How many packets have come that this phone can open."""
        heard = 0
        while True:
            try:
                data = self.phone.recv(2_048)
            except BlockingIOError:
                return heard
            heard += (data if self._contexts is None else self._contexts.unprotect(data)) is not None

    def close(self) -> None:
        """Free the sockets."""
        for sock in (*self._sockets, self.phone):
            sock.close()


def measure() -> list[Row]:
    """The rows of `make bench`."""
    plain = _micros(None, None)
    cases = [("RTP to RTP", None, None)]
    for suite in ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"):
        cases += [(f"RTP to SRTP {suite}", None, suite), (f"SRTP {suite} to RTP", suite, None)]
    cases.append(("SRTP to SRTP, other keys", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"))
    return [_row(name, _micros(source, target), plain) for name, source, target in cases]


def _micros(source: str | None, target: str | None) -> float:
    """CPU microseconds a packet from a phone of one kind to one of the other."""
    plane = SocketPlane()
    one, other = _Line(plane, source), _Line(plane, target)
    Bridge(one.leg, other.leg)
    spent = heard = 0.0
    for number in range(ROUNDS):
        one.say(number * PACKETS_AT_ONCE)
        before = time.process_time()
        for _ in range(PACKETS_AT_ONCE):
            plane.drain()
        spent += time.process_time() - before
        heard += other.hear()
    one.close()
    other.close()
    assert heard == ROUNDS * PACKETS_AT_ONCE, f"{heard} packets of {ROUNDS * PACKETS_AT_ONCE} arrived"
    return 1e6 * spent / heard


def _row(name: str, value: float, plain: float) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": "µs",
        "peer": "RTP to RTP, the same node",
        "peer_value": plain,
        "ratio": value / plain,
        "goal": "",
    }
