"""What an operator may set of a relay server, with defaults that hurt nobody."""

from dataclasses import dataclass

from p2psip.base.core import Address


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Bounds of a relay server. Bytes per second count both ways together, each packet with PACKET_BYTES_ADDED for its headers.

    `external_hosts` are the public addresses to announce, one for each family, when the sockets do not have them themselves.
    `own_ports` are further ports of this host that no relay may send to (the node's own is always one of them).
    `channel_last` is the highest channel number: 0x4FFF since RFC 8656, 0x7FFF for clients of RFC 5766 that choose at random.
    `grant_seconds` is how long credentials are good. `alternate` is where clients are sent (300) when this server is draining.
    """

    external_hosts: tuple[str, ...] = ()
    first_port: int = 49_152
    last_port: int = 65_535
    families: tuple[int, ...] = (4, 6)
    allows_private: bool = False
    own_ports: tuple[int, ...] = ()
    allocations_max: int = 500
    allocations_per_user_max: int = 8
    permissions_max: int = 256
    channels_max: int = 256
    channel_last: int = 0x4FFF
    bytes_per_second_max: float = 2_500_000.0
    bytes_per_second_per_user_max: float = 125_000.0
    bytes_per_month_max: float = 200e9
    requests_per_second_per_user_max: float = 20.0
    answers_per_second_per_source: float = 20.0
    answers_burst_per_source: float = 100.0
    answers_per_second_max: float = 2_000.0
    lifetime_default: int = 600
    lifetime_max: int = 3_600
    grant_seconds: int = 1_800
    drain_seconds: int = 1_800
    alternate: Address | None = None
    metrics_port: int = 0
