"""Sockets that tell which hosts are our own, and which address families we have a route for: nothing is ever sent on them."""

import contextlib
import socket
from collections.abc import Iterable, Sequence

from overlay.addresses import WILDCARDS, family_of
from p2psip.base.core import Address, is_synthetic

DESTINATIONS_MAX = 16
LINK_LOCAL = ("169.254.", "fe80:")

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_OUTSIDE = {"0.0.0.0": ("192.0.2.1", 9), "::": ("2001:db8::1", 9)}


def own_addresses(bound: Sequence[Address], destinations: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses that a bound port has, as seen by who is sent something.

    For a wildcard: loopback, and the hosts that the kernel would send from towards `destinations` and towards the outside.
    """
    own: dict[Address, None] = {}
    towards = [address for address in destinations if not is_synthetic(address[0])][:DESTINATIONS_MAX]
    for host, port in bound:
        if host not in WILDCARDS:
            own[host, port] = None
            continue
        family = _family(host)
        own[_LOOPBACK[host], port] = None
        for destination in [_OUTSIDE[host], *(address for address in towards if _family(address[0]) == family)]:
            source = _source_towards(family, destination)
            if source is not None:
                own[source, port] = None
    return tuple(own)


def own_families(bound: Sequence[Address], destinations: Iterable[Address]) -> frozenset[int]:
    """The address families (4, 6) that there is a route for: to the outside, or to one of `destinations`.

    A wildcard socket says nothing, for it is there with and without a route. Without any route all that is bound counts: a
    machine without a network finds out when it gets one.
    """
    towards = [address for address in destinations if not is_synthetic(address[0])][:DESTINATIONS_MAX]
    families = {family_of(host) for host, _port in bound}
    found = {family_of(host) for host, _port in bound if host not in WILDCARDS}
    for family, number in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        outside = [address for host, address in _OUTSIDE.items() if _family(host) == family]
        known = [address for address in towards if _family(address[0]) == family]
        if number in families - found and any(_has_route(family, each) for each in outside + known):
            found.add(number)
    return frozenset(found or families)


def _has_route(family: socket.AddressFamily, destination: Address) -> bool:
    source = _source_towards(family, destination)
    return source is not None and not source.startswith(LINK_LOCAL)


def _source_towards(family: socket.AddressFamily, destination: Address) -> str | None:
    """The host that a datagram would come from; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(destination)
        return str(sock.getsockname()[0])
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
