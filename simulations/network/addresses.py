"""Which IPv4 addresses hosts get: public ones scattered over many /24 networks, as subscribers are, private ones behind boxes.

Public addresses are of blocks that IANA gave to the registry of the region (https://www.iana.org/assignments/ipv4-address-space),
so that code which looks at addresses takes them for what they are. Private ones (RFC 1918, RFC 6598) are each given once in a
world, so that an address names one host; in reality homes share them.
"""

from p2psip.base.chance import Chance

SHARED_NETWORK = 0.1
"""The share of public addresses that lie in the /24 of an earlier one: an assumption; populations of overlays are sparse."""
PRIVATE_NETWORKS_MAX = 65_536
SHARED_HOSTS_MAX = 4_194_304
"""Addresses of 100.64.0.0/10, between homes and a carrier-grade NAT (RFC 6598)."""

_BLOCKS = (
    (24, 50, 63, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 96, 97, 98, 99, 107, 108, 173, 174, 184),  # ARIN
    (
        62,
        77,
        78,
        79,
        80,
        81,
        82,
        83,
        84,
        85,
        86,
        87,
        88,
        89,
        90,
        91,
        92,
        93,
        94,
        95,
        109,
        176,
        178,
        188,
        212,
        213,
        217,
    ),  # RIPE NCC
    (
        1,
        14,
        27,
        36,
        39,
        42,
        49,
        58,
        59,
        60,
        61,
        101,
        103,
        110,
        111,
        112,
        113,
        114,
        115,
        116,
        117,
        118,
        119,
        120,
        121,
    ),  # APNIC
    (177, 179, 181, 186, 187, 189, 190, 200, 201),  # LACNIC
    (41, 102, 105, 197),  # AFRINIC
)
AMERICA_NORTH, EUROPE, ASIA_PACIFIC, AMERICA_SOUTH, AFRICA = REGISTRIES = range(5)


class Addresses:
    """Hands addresses out, none twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[int, str] = {}  # registry -> the /24 that the last address was in
        self._homes = 0
        self._shared = 0

    def public(self, registry: int, chance: Chance) -> str:
        """A new public address of `registry`."""
        network = self._last.get(registry)
        if network is None or chance.uniform(0.0, 1.0) >= SHARED_NETWORK:
            network = f"{chance.choice(_BLOCKS[registry])}.{chance.integer(8)}.{chance.integer(8)}"
        self._last[registry] = network
        return self.beside(f"{network}.0", chance)

    def beside(self, other: str, chance: Chance) -> str:
        """A new public address, in the /24 of `other` if there is room."""
        network = other.rpartition(".")[0]
        host = 1 + chance.integer(8) % 254
        for step in range(254):
            address = f"{network}.{1 + (host - 1 + step) % 254}"
            if address not in self._taken:
                self._taken.add(address)
                return address
        return self.public(EUROPE, chance)

    def home(self) -> str:
        """The first address of a new private /24 (of 10.0.0.0/8)."""
        assert self._homes < PRIVATE_NETWORKS_MAX, "more homes than private networks"
        self._homes += 1
        return f"10.{(self._homes - 1) >> 8}.{(self._homes - 1) & 255}.10"

    def shared(self) -> str:
        """A new address between a home and a carrier-grade NAT."""
        assert self._shared < SHARED_HOSTS_MAX - 2, "more homes than shared addresses"
        self._shared += 1
        number = self._shared
        return f"100.{64 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}"
