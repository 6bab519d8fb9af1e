"""Where a host stands in the simulated network: an address, the line it is on, the box it is behind.

What a line does to datagrams is in `internet.py`, what a box does in `nat.py`; here is what they keep for each of thousands.
"""

import math
from typing import TYPE_CHECKING, Any

from p2psip.base.core import Address

if TYPE_CHECKING:
    from simulations.network.nat import Box, NatKind

ENDPOINT_PORTS_MAX = 256


class Line:
    """One subscriber's access: all endpoints behind one home box share it."""

    __slots__ = (
        *("region", "row", "technology", "delay", "jitter", "up_seconds", "down_seconds", "loss", "salt", "lot"),
        *("up_free", "down_time", "down_waiting", "bad", "turn"),
    )

    def __init__(self, region: int = 0, *, lot: float = 0.0, salt: int = 0) -> None:
        self.region = region
        self.row: tuple[float, ...] = ()  # seconds one way to each region
        self.technology = "ideal"
        self.delay = 0.0  # one way, seconds
        self.jitter = 0.0  # mean, seconds
        self.up_seconds = 0.0  # for each byte; 0 if there is no limit
        self.down_seconds = 0.0
        self.loss = 0.0  # the share of datagrams lost, each way
        self.salt = salt  # which detour the pair of two lines takes
        self.lot = lot  # in [0, 1): which side of a random partition it is on
        self.up_free = 0.0  # when the last queued byte upwards will have left
        self.down_time = 0.0  # when there was `down_waiting` in the queue downwards
        self.down_waiting = 0.0  # seconds
        self.bad = False  # the state of burst loss, and when it ends
        self.turn = -math.inf


class Endpoint:
    """One socket's place: its own address (a private one behind a NAT), line and box. The World keeps its host in `host`."""

    __slots__ = ("address", "box", "host", "kind", "line", "number", "outside", "ports", "skew")

    def __init__(self, number: int, address: Address, line: Line, *, box: "Box | None", kind: "NatKind") -> None:
        self.number = number
        self.address = address
        self.line = line
        self.box = box
        self.outside = box  # the realm it lives in: what is behind the same box, or the public network (None)
        self.kind = kind
        self.host: Any = None
        self.skew = 0.0  # seconds that its clock is ahead of true time
        self.ports: set[int] | None = None

    @property
    def region(self) -> int:
        """The index of the region that it is in."""
        return self.line.region

    @property
    def up_bytes_per_second(self) -> float | None:
        """The rate of its line upwards; None if unlimited."""
        return 1.0 / self.line.up_seconds if self.line.up_seconds else None

    def open(self, port: int) -> bool:
        """Receive at `port` too, beside the own one; False if too many are open (`ENDPOINT_PORTS_MAX`)."""
        if self.ports is None:
            self.ports = set()
        if len(self.ports) >= ENDPOINT_PORTS_MAX:
            return False
        self.ports.add(port)
        return True

    def close(self, port: int) -> None:
        """No longer receive at a port that was opened."""
        if self.ports is not None:
            self.ports.discard(port)

    def listens(self, port: int) -> bool:
        """Whether a datagram to `port` reaches the host."""
        return port == self.address[1] or (self.ports is not None and port in self.ports)
