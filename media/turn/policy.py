"""To whom a relay must not send: addresses that only exist where the server stands, and what is no host at all (RFC 8656 §21.1.4).

A stranger's packets come out of a relay with the server's own address. They must not reach what the server's network trusts.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from p2psip.base.core import Address

VERDICTS_CACHED_MAX = 8_192
OWN_HOSTS_MAX = 256

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "100::/64", "2001::/32", "ff00::/8", "fec0::/10"),
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        *(
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.168.0.0/16",
        ),
        *("::1/128", "fc00::/7", "fe80::/10", "64:ff9b:1::/48"),
    )
)
_SIX_TO_FOUR, _NAT64 = ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("64:ff9b::/96")


class PeerPolicy:
    """Decides about peers. `own_hosts` are the server's own addresses: there, only relay ports may be spoken to."""

    def __init__(
        self, *, allows_private: bool, own_hosts: Iterable[str], own_ports: Iterable[int], relay_ports: tuple[int, int]
    ) -> None:
        self._allows_private = allows_private
        self._own_hosts = set(own_hosts)
        self._own_ports = frozenset(own_ports)
        self._first, self._last = relay_ports

    def add_own_host(self, host: str) -> None:
        """The server has learnt that `host` is an address of its own."""
        if len(self._own_hosts) < OWN_HOSTS_MAX:
            self._own_hosts.add(host)

    def allows_host(self, host: str) -> bool:
        """Whether a relay may speak to `host` at all."""
        return is_public(host) or (self._allows_private and is_private(host))

    def allows(self, peer: Address) -> bool:
        """Whether a relay may send to `peer`."""
        host, port = peer
        if port == 0 or not self.allows_host(host):
            return False
        if host not in self._own_hosts:
            return True
        if self._allows_private:
            return port not in self._own_ports
        return self._first <= port <= self._last and port not in self._own_ports


@lru_cache(maxsize=VERDICTS_CACHED_MAX)
def is_public(host: str) -> bool:
    """Whether `host` is neither a private address nor one that nobody has. IPv4 inside IPv6 counts as what it is."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _SIX_TO_FOUR:
            return is_public(str(ipaddress.IPv4Address(address.packed[2:6])))
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(address.packed[12:16])))
    return not any(address in network for network in _NEVER + _PRIVATE)


@lru_cache(maxsize=VERDICTS_CACHED_MAX)
def is_private(host: str) -> bool:
    """Whether `host` is an address of a private network, of this link or of this machine."""
    address = ipaddress.ip_address(host)
    return any(address in network for network in _PRIVATE)
