"""Candidates and pairs (RFC 8445 §5.1, §6.1.2; the line format of RFC 8839 §5.1)."""

import enum
import ipaddress
from dataclasses import dataclass

from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

CANDIDATE_CHARACTERS_MAX = 256
CREDENTIAL_CHARACTERS_MAX = 256
COMPONENT = 1
TYPES = frozenset(("host", "srflx", "prflx", "relay"))

__all__ = ["Candidate", "Pair", "PairState", "local_candidate", "parse_candidate", "peer_reflexive"]


def local_candidate(kind: str, address: Address, base: Address, preference: int = 65_535) -> Candidate:
    """A candidate of our own; `base` is where its packets leave (RFC 8445 §5.1.1)."""
    related = base if kind != "host" else None
    return Candidate(
        foundation=candidate_foundation(kind, "udp", base[0])[:32],
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, kind, preference),
        host=address[0],
        port=address[1],
        type=kind,
        related_address=related[0] if related else None,
        related_port=related[1] if related else None,
    )


def parse_candidate(line: str) -> Candidate:
    """The value of an a=candidate line; RemoteError if it is malformed or cannot be used (TCP, a host name)."""
    if len(line) > CANDIDATE_CHARACTERS_MAX:
        raise RemoteError("a candidate line that is too long")
    words = line.split()
    try:
        address = ipaddress.ip_address(words[4])
        words[4] = str(address)  # as the socket spells it, so that the sources of datagrams compare equal
        candidate = Candidate.from_sdp(" ".join(words))
    except (ValueError, IndexError) as error:
        raise RemoteError("a candidate line that cannot be read") from error
    if words[6] != "typ":
        raise RemoteError("a candidate line without a type")
    usable = candidate.transport.lower() == "udp" and candidate.component == COMPONENT and candidate.type in TYPES
    if not usable or not 0 < candidate.port < 65_536 or not 0 < candidate.priority < 2**31:
        raise RemoteError("a candidate that cannot be used")
    if not _is_unicast(address):
        raise RemoteError("a candidate whose address is none of one machine")
    return candidate


def is_credential(text: str) -> bool:
    """Whether `text` can be a user name fragment or a password; RFC 8839 §5.4 has fewer characters, peers have more."""
    return 0 < len(text) <= CREDENTIAL_CHARACTERS_MAX and text.isascii() and text.isprintable() and ":" not in text


def _is_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    broadcast = str(address) == "255.255.255.255"
    return not (scoped or broadcast or address.is_unspecified or address.is_multicast)


def peer_reflexive(address: Address, priority: int, number: int) -> Candidate:
    """A remote candidate learnt from a check (RFC 8445 §7.3.1.3)."""
    return Candidate(f"prflx{number}", COMPONENT, "udp", priority, address[0], address[1], "prflx")


class PairState(enum.Enum):
    """RFC 8445 §6.1.2.6; with one component nothing is ever frozen."""

    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Pair:
    """A local and a remote candidate, and how their checks stand."""

    local: Candidate
    remote: Candidate
    state: PairState = PairState.WAITING
    attempts: int = 0
    nominated: bool = False
    rtt: float | None = None
    refusals: int = 0
    is_hastened: bool = False

    @property
    def destination(self) -> Address:
        """Where checks and media go."""
        return (self.remote.host, self.remote.port)

    @property
    def base(self) -> Address:
        """Where they leave."""
        if self.local.related_address is not None and self.local.related_port is not None:
            return (self.local.related_address, self.local.related_port)
        return (self.local.host, self.local.port)

    def priority(self, controlling: bool) -> int:
        """RFC 8445 §6.1.2.3."""
        ours, theirs = self.local.priority, self.remote.priority
        g, d = (ours, theirs) if controlling else (theirs, ours)
        return (min(g, d) << 32) + 2 * max(g, d) + (1 if g > d else 0)
