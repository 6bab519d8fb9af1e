"""The simplest network: every link has the same latency and loses datagrams one by one. For tests, and where no more is needed."""

from collections.abc import Sequence

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint
from simulations.network.places import Places

LATENCY_SECONDS = 0.04
"""One way; a round trip of 80 ms."""


class PlainNetwork(Places):
    """`latency` seconds one way; the share `loss` of datagrams is lost, by `chance`. Hosts are public if not said otherwise."""

    def __init__(self, chance: Chance, *, latency: float = LATENCY_SECONDS, loss: float = 0.0) -> None:
        super().__init__()
        self.latency = latency
        self.loss = loss
        self._chance = chance

    @property
    def median_round_trip(self) -> float:
        """Twice the latency."""
        return 2 * self.latency

    def route(
        self, now: float, sender: Endpoint, destination: Address, size: int, port: int | None = None
    ) -> Sequence[tuple[float, Address]]:
        """Send a datagram: one arrival, or none; see `Network.route`."""
        source = sender.address if port is None else (sender.address[0], port)
        left = self.leave(now, sender, source, destination)
        if left is None:
            return ()
        source, target = left
        if self._cuts and self._cut_off(now, sender, target, destination):
            return ()
        if self.loss and self._chance.uniform(0.0, 1.0) < self.loss:
            return ()
        return ((now + self.latency, source),)
