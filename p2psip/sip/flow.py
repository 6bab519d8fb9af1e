"""Where a message came from and where its answer goes: a transport, two ends, and for streams which connection."""

from dataclasses import dataclass, field

from p2psip.base.core import Address, address_text

RELIABLE_TRANSPORTS = frozenset(("tcp", "tls", "ws", "wss"))
OVERLAY = "overlay"
SECURE_TRANSPORTS = frozenset(("tls", "wss", OVERLAY))


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to a peer. `serial` names a stream connection; in the overlay `remote` is (Node-ID in hex, 0).

    `sent_by` stands in our Via in the place of `local`, for a peer that takes no private address there (RFC 3261 §18.1.1).
    """

    transport: str
    local: Address
    remote: Address
    serial: int = 0
    sent_by: Address | None = field(default=None, compare=False)

    @property
    def reliable(self) -> bool:
        """Whether the transport retransmits by itself (RFC 3261 §17)."""
        return self.transport in RELIABLE_TRANSPORTS

    @property
    def is_secure(self) -> bool:
        """Whether nobody on the way can read what is said (RFC 3261 §26.2.2)."""
        return self.transport in SECURE_TRANSPORTS

    @property
    def uri_transport(self) -> str:
        """What a URI for this way says: "ws" for both kinds of WebSockets (RFC 7118 §5.2)."""
        return "ws" if self.transport == "wss" else self.transport

    def __str__(self) -> str:
        where = self.remote[0] if self.transport == OVERLAY else address_text(self.remote)
        return f"{self.transport}:{where}"
