"""What the World asks of a network: where a host stands, and what becomes of a datagram."""

from collections.abc import Sequence
from typing import Protocol

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint
from simulations.network.nat import NatKind


class Network(Protocol):
    """Carries datagrams between endpoints. Times are seconds of the World's clock, and never go back from `route` to `route`."""

    @property
    def median_round_trip(self) -> float:
        """Seconds from one end to the other and back over the median link of this population."""

    def endpoint(
        self,
        number: int,
        chance: Chance,
        *,
        nat: NatKind | None = None,
        behind: Endpoint | None = None,
        region: int | None = None,
    ) -> Endpoint:
        """A place for one more host, with an address of its own. `behind`: in the same home, on the same line, as another.

        What is not said (`nat`, `region`) the network's population decides by `chance`.
        """

    def route(
        self, now: float, sender: Endpoint, destination: Address, size: int, port: int | None = None
    ) -> Sequence[tuple[float, Address]]:
        """Send `size` bytes (UDP payload), from the sender's own port or another `port` of it.

        Gives (time of arrival, source as it will be seen) for each copy that arrives: none if it is lost.
        """

    def deliver(self, now: float, destination: Address, source: Address) -> Endpoint | None:
        """A datagram arrives: who gets it. None if a box drops it, or nobody is there any more."""

    def arrive(self, now: float, destination: Address, source: Address) -> tuple[Endpoint, int] | None:
        """As `deliver`, with the port that it arrives at (of a host that opened several)."""

    def release(self, endpoint: Endpoint) -> None:
        """The host is gone: its address reaches nobody."""

    def move(
        self,
        endpoint: Endpoint,
        chance: Chance,
        *,
        nat: NatKind | None = None,
        behind: Endpoint | None = None,
        region: int | None = None,
    ) -> None:
        """The host is in another network now: a new address, line and box for the same endpoint."""
