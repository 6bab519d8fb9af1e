"""The contract that every core keeps: bytes and time in, datagrams and events out.

A core is synchronous and exact. It never reads a clock, never opens a socket and never draws randomness of its own, so
that the same object runs on a real socket (`p2psip.net.driver`) and by the thousand on a virtual clock (`simulations`).
"""

import ipaddress
from dataclasses import dataclass
from typing import Protocol, TypeVar

Address = tuple[str, int]
"""An IP address as text (IPv6 without brackets) and a port."""

IPV6_NETWORK_BITS = 64

E_co = TypeVar("E_co", covariant=True)


@dataclass(slots=True)  # one for each datagram: a frozen one takes three times as long to make
class Transmit:
    """One datagram that the core wants sent."""

    data: bytes
    destination: Address


class Core(Protocol[E_co]):
    """What a driver needs of a core. After every input, drain `poll_output` until it gives None."""

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram. `now` is in steady seconds."""

    def handle_timeout(self, now: float) -> None:
        """Do all that is due at `now`."""

    def poll_timeout(self) -> float | None:
        """The next deadline in steady seconds, or None when nothing is planned."""

    def poll_output(self) -> Transmit | E_co | None:
        """The next datagram or event, or None when all is drained."""


def address_text(address: Address) -> str:
    """`host:port` for people, with brackets around IPv6 (RFC 3986 §3.2.2)."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_synthetic(host: str) -> bool:
    """Whether an address is a name of ours for a way that is no datagram to a host (a stream, a relayed way).

    Such hosts are in the discard prefix 100::/64 (RFC 6666), so that one that leaks reaches nobody. They are never
    published, voted for or dialled.
    """
    return host.startswith("100::")


def host_key(address: str) -> str:
    """What counts as one source: an IPv4 address, or a network of IPV6_NETWORK_BITS."""
    if ":" not in address:
        return address
    try:
        network = ipaddress.ip_network((address.partition("%")[0], IPV6_NETWORK_BITS), strict=False)
    except ValueError:
        return address
    return str(network)
