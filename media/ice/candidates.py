"""Candidates, ways and pairs (RFC 8445 §5.1, §6.1.2; the line format of RFC 8839 §5.1)."""

import contextlib
import enum
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

CANDIDATE_CHARACTERS_MAX = 256
CREDENTIAL_CHARACTERS_MAX = 256
LINES_MAX = 64
HOSTS_MAX = 16
COMPONENT = 1
TYPES = frozenset(("host", "srflx", "prflx", "relay"))
RELAYED_PRIORITY_MAX = (1 << 24) - 1
_KINDS_BY_NEED = ("relay", "srflx", "prflx", "host")

Way = tuple[str, int] | tuple[str, int, int]
"""Where packets of the peer go: its host and port, and the number of our relay that they go through, if any."""

__all__ = [
    "Candidate",
    "Pair",
    "PairState",
    "RelayCandidate",
    "Way",
    "hosts_of",
    "local_candidate",
    "parse_candidate",
    "peer_reflexive",
    "relay_candidate",
    "relay_of",
]


class RelayCandidate(Candidate):
    """A relayed address of our own; `relay` is the number of the allocation, `hosts` are those of all its addresses."""

    relay: int = 0
    hosts: frozenset[str] = frozenset()


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


def relay_candidate(
    relay: int, relayed: Address, mapped: Address, preference: int = 65_535, hosts: frozenset[str] = frozenset()
) -> RelayCandidate:
    """Our address at relay server number `relay`; `mapped` is where the server sees us (RFC 8445 §5.1.1.2)."""
    candidate = RelayCandidate(
        foundation=candidate_foundation("relay", "udp", f"{relayed[0]}/{relay}")[:32],
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, "relay", preference),
        host=relayed[0],
        port=relayed[1],
        type="relay",
        related_address=mapped[0],
        related_port=mapped[1],
    )
    candidate.relay, candidate.hosts = relay, hosts or frozenset((relayed[0],))
    return candidate


def relay_of(candidate: Candidate) -> int | None:
    """The number of the relay that packets of a local candidate leave through; None for the port itself."""
    return candidate.relay if isinstance(candidate, RelayCandidate) else None


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


def hosts_of(lines: Iterable[str]) -> list[str]:
    """The hosts of a peer's candidate lines, HOSTS_MAX at most: relays first, then reflexive addresses, then its own."""
    found: list[Candidate] = []
    for line in islice(lines, LINES_MAX):
        with contextlib.suppress(RemoteError):
            found.append(parse_candidate(line))
    found.sort(key=lambda each: _KINDS_BY_NEED.index(each.type))
    return list(dict.fromkeys(each.host for each in found))[:HOSTS_MAX]


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
    """A local and a remote candidate, and how their checks stand. `mapped` is our address as the peer sees it."""

    local: Candidate
    remote: Candidate
    state: PairState = PairState.WAITING
    attempts: int = 0
    nominated: bool = False
    rtt: float | None = None
    refusals: int = 0
    is_hastened: bool = False
    checked_at: float = 0.0
    answered_at: float = 0.0
    mapped: Address | None = None

    @property
    def destination(self) -> Way:
        """Where checks and media go."""
        relay = relay_of(self.local)
        return (self.remote.host, self.remote.port) if relay is None else (self.remote.host, self.remote.port, relay)

    @property
    def kind(self) -> tuple[bool, str]:
        """What it passes: whether a relay of ours, and the type of the peer's candidate."""
        return relay_of(self.local) is not None, self.remote.type

    @property
    def base(self) -> Address:
        """Where they leave."""
        if relay_of(self.local) is None and self.local.related_address and self.local.related_port:
            return (self.local.related_address, self.local.related_port)
        return (self.local.host, self.local.port)

    @property
    def relays(self) -> int:
        """How many relay servers the way passes: 0 is direct."""
        return (relay_of(self.local) is not None) + self._is_remote_relayed

    @property
    def route(self) -> frozenset[str]:
        """What must live for the way to work: the hosts of its relays, or the address family of a direct one."""
        passed = [*self.local.hosts] if isinstance(self.local, RelayCandidate) else []
        passed += [self.remote.host] if self._is_remote_relayed else []
        return frozenset(passed or ["direct IPv6" if ":" in self.remote.host else "direct IPv4"])

    @property
    def _is_remote_relayed(self) -> bool:
        kind = self.remote.type
        return kind == "relay" or (kind == "prflx" and self.remote.priority <= RELAYED_PRIORITY_MAX)

    def rank(self, controlling: bool) -> tuple[int, int]:
        """The greater, the better: fewer relays first, for with relays of two families a way through two may have priority."""
        return -self.relays, self.priority(controlling)

    def priority(self, controlling: bool) -> int:
        """RFC 8445 §6.1.2.3."""
        ours, theirs = self.local.priority, self.remote.priority
        g, d = (ours, theirs) if controlling else (theirs, ours)
        return (min(g, d) << 32) + 2 * max(g, d) + (1 if g > d else 0)
