"""The internet's delay: one TUN device in the router's namespace, and a process that holds each packet back for a while.

    site --- internet --(every packet that comes from a site)--> tun --> process --(later)--> tun --> internet --- site

Run as a program it is that process: it is given the device's file descriptor and lives until its standard input ends.
"""

import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque

from tests.nat.namespaces import Namespace

DEVICE = "wire"
PACKET_BYTES_MAX = 2_048
WAITING_MAX = 200_000  # packets held back at once: 1 s at ten times the promised rate
BATCH_MAX = 64
TABLE = 100
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x4004_54CA, 0x0001, 0x1000


class DelayRouter:
    """The process and its device in the namespace of a router."""

    def __init__(self, router: Namespace, one_way_seconds: float, loss: float = 0.0) -> None:
        self._tun = router.run(_open_device)
        router.ip([f"link set {DEVICE} txqueuelen 10000 up"])
        for family in ("-4", "-6"):
            router.output("ip", family, "route", "add", "default", "dev", DEVICE, "table", str(TABLE))
            router.output("ip", family, "rule", "add", "not", "iif", DEVICE, "lookup", str(TABLE), "priority", "100")
        words = [sys.executable, "-m", "tests.nat.delay", str(self._tun), str(one_way_seconds), str(loss)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[self._tun])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        os.close(self._tun)


def _open_device() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH14x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


def hold_back(tun: int, one_way_seconds: float, loss: float, until: int) -> None:
    """Read packets, write each back `one_way_seconds` later, drop the share `loss`; ends when `until` is readable."""
    waiting: deque[tuple[float, bytes]] = deque()
    poll = select.epoll()
    poll.register(tun, select.EPOLLIN)
    poll.register(until, select.EPOLLIN | select.EPOLLHUP)
    dice = random.Random(1)
    clock, read, write = time.monotonic, os.read, os.write
    while True:
        pause = max(waiting[0][0] - clock(), 0.0) if waiting else -1.0
        for descriptor, _what in poll.poll(pause):
            if descriptor == until:
                return
            now = clock() + one_way_seconds
            try:
                for _ in range(BATCH_MAX):
                    packet = read(tun, PACKET_BYTES_MAX)
                    if (not loss or dice.random() >= loss) and len(waiting) < WAITING_MAX:
                        waiting.append((now, packet))
            except BlockingIOError:
                pass
        now = clock()
        while waiting and waiting[0][0] <= now:
            try:
                write(tun, waiting.popleft()[1])
            except OSError:  # no way out to that address, as on any router: the packet is lost
                continue


if __name__ == "__main__":
    hold_back(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), 0)
