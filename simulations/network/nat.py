"""NATs and firewalls in the words of RFC 4787: mapping, filtering, lifetime, hairpinning and port assignment.

A box is exact: the same datagrams at the same times give the same translations. It has one outer address (so pooling is paired,
§4.1, REQ-2), never overloads a port (REQ-3) and cares not for parity (§4.2.2). Boxes stand behind one another through
`outside` (a home NAT behind a carrier-grade one). Who stands behind which box, and in which shares, is in `survey.py`.
"""

import enum
from dataclasses import dataclass, field

from p2psip.base.core import Address
from simulations.network.endpoint import Endpoint, Line

LIFETIME_SECONDS = 120.0
"""RFC 4787 §4.3, REQ-5: a UDP mapping must not expire in less than two minutes (many do)."""
FIRST_PORT, PORTS = 1_024, 64_512
"""The outer ports a NAT gives: 1024 to 65535 (RFC 4787 §4.2.2)."""
MAPPINGS_MAX = 16_384
SESSIONS_MAX = 16_384
"""Others that one mapping is open to at a time."""
_SWEPT = 64


class Rule(enum.Enum):
    """On what a mapping or a filter depends (RFC 4787 §4.1 and §5): on nothing, on the other host, on the other host and port."""

    ENDPOINT_INDEPENDENT = enum.auto()
    ADDRESS_DEPENDENT = enum.auto()
    ADDRESS_AND_PORT_DEPENDENT = enum.auto()

    def key(self, other: Address) -> Address:
        """What of the other side's address the box looks at."""
        if self is Rule.ENDPOINT_INDEPENDENT:
            return _ANYBODY
        return (other[0], 0) if self is Rule.ADDRESS_DEPENDENT else other


class Ports(enum.Enum):
    """Which outer port a new mapping gets (RFC 4787 §4.2.1): the inner one if it is free, the next, or one hard to foretell."""

    PRESERVED = enum.auto()
    SEQUENTIAL = enum.auto()
    RANDOM = enum.auto()


@dataclass(frozen=True, slots=True)
class NatKind:
    """What stands between a host and the public network. `lifetime` in seconds; `before` is the box before this one.

    No `mapping`: addresses are left alone (a firewall if there is `filtering`, else no box, or only that `before`).
    `inbound_refresh`: a datagram from outside prolongs the mapping too (RFC 4787 §4.3, REQ-6). `hairpin`: REQ-9.
    """

    name: str
    mapping: Rule | None = None
    filtering: Rule | None = None
    lifetime: float = LIFETIME_SECONDS
    hairpin: bool = False
    ports: Ports = Ports.PRESERVED
    inbound_refresh: bool = False
    blocks_udp: bool = False
    mappings_max: int = MAPPINGS_MAX
    before: "NatKind | None" = None

    @property
    def is_public(self) -> bool:
        """Whether there is no box at all."""
        return self.mapping is None and self.filtering is None and self.before is None and not self.blocks_udp


_EIM, _ADM, _APDM = Rule.ENDPOINT_INDEPENDENT, Rule.ADDRESS_DEPENDENT, Rule.ADDRESS_AND_PORT_DEPENDENT
_ANYBODY: Address = ("", 0)

PUBLIC = NatKind("public")
FULL_CONE = NatKind("full-cone", _EIM, _EIM)
ADDRESS_RESTRICTED = NatKind("address-restricted", _EIM, _ADM)
PORT_RESTRICTED = NatKind("port-restricted", _EIM, _APDM)
SYMMETRIC = NatKind("symmetric", _APDM, _APDM, ports=Ports.RANDOM)
FIREWALL = NatKind("firewall", None, _APDM)
UDP_BLOCKED = NatKind("udp-blocked", None, _APDM, blocks_udp=True)
KINDS = (PUBLIC, FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC, FIREWALL, UDP_BLOCKED)


@dataclass(eq=False, slots=True)
class _Mapping:
    key: tuple[Address, Address]
    inner: Address
    outer: Address
    expires: float = 0.0
    open_to: dict[Address, float] = field(default_factory=dict)
    sweep_at: int = _SWEPT


class Box:
    """One NAT or firewall with the outer host `host`; `outside` is the box before it. After the lifetime, what was open is shut.

    `stride` fixes the order of `Ports.RANDOM`; draw it with the box.
    """

    __slots__ = (
        *("kind", "host", "outside", "line", "members", "given", "guarded", "carries", "dropped"),
        *("_mappings", "_by_outer", "_next", "_stride", "_sweep_at"),
    )

    def __init__(
        self, kind: NatKind, host: str, line: Line, *, outside: "Box | None" = None, stride: int = 7_919
    ) -> None:
        self.kind, self.host, self.line, self.outside = kind, host, line, outside
        self.members = 0  # endpoints and boxes right behind it
        self.given = 0  # inner addresses that it has given out
        self.carries = False  # whether homes are behind it, and not hosts
        self.guarded: Endpoint | None = None  # the host behind a firewall
        self.dropped = 0
        self._mappings: dict[tuple[Address, Address], _Mapping] = {}
        self._by_outer: dict[Address, _Mapping] = {}
        self._stride = stride if kind.ports is Ports.RANDOM else 1
        self._next = stride % PORTS if kind.ports is Ports.RANDOM else 0
        self._sweep_at = _SWEPT

    def outward(self, inner: Address, destination: Address, now: float) -> Address | None:
        """A datagram leaves: its source as the outside sees it. None if it is dropped: UDP is blocked, or the table is full."""
        kind = self.kind
        if kind.blocks_udp:
            return _dropped(self)
        key = (inner, kind.mapping.key(destination) if kind.mapping else _ANYBODY)
        mapping = self._mappings.get(key)
        if mapping is None or mapping.expires < now:
            mapping = self._new_mapping(key, mapping, now)
            if mapping is None:
                return _dropped(self)
        mapping.expires = expires = now + kind.lifetime
        open_to = mapping.open_to
        open_to[kind.filtering.key(destination) if kind.filtering else _ANYBODY] = expires
        if len(open_to) > mapping.sweep_at and not _swept(mapping, now):
            mapping.open_to.popitem()
            return _dropped(self)
        return mapping.outer

    def inward(self, outer: Address, source: Address, now: float) -> Address | None:
        """A datagram comes from outside: where inside it goes, or None if it is dropped."""
        kind = self.kind
        mapping = self._by_outer.get(outer)
        if mapping is None or mapping.expires < now or kind.blocks_udp:
            return _dropped(self)
        asked = kind.filtering.key(source) if kind.filtering else _ANYBODY
        if mapping.open_to.get(asked, -1.0) < now:
            return _dropped(self)
        if kind.inbound_refresh:
            mapping.expires = mapping.open_to[asked] = now + kind.lifetime
        return mapping.inner

    def inner_of(self, outer: Address) -> Address | None:
        """Whose mapping `outer` is, without a look at filters: to know whose line a datagram will cross."""
        mapping = self._by_outer.get(outer)
        return mapping.inner if mapping else None

    def forget(self) -> None:
        """The box was restarted: all mappings are gone."""
        self._mappings.clear()
        self._by_outer.clear()

    def mappings(self) -> int:
        """How many mappings it holds, those that ran out but were not yet swept among them."""
        return len(self._mappings)

    def _new_mapping(self, key: tuple[Address, Address], old: _Mapping | None, now: float) -> _Mapping | None:
        if old is not None:
            self._remove(old)
        if len(self._mappings) >= self._sweep_at:
            self._sweep(now)
        if len(self._mappings) >= self.kind.mappings_max:
            return None
        outer = self._outer_for(key[0])
        if outer is None:
            return None
        mapping = self._mappings[key] = self._by_outer[outer] = _Mapping(key, key[0], outer)
        return mapping

    def _outer_for(self, inner: Address) -> Address | None:
        if self.kind.mapping is None:
            return inner
        if self.kind.ports is Ports.PRESERVED and (self.host, inner[1]) not in self._by_outer:
            return self.host, inner[1]
        for _ in range(PORTS):
            outer = (self.host, FIRST_PORT + self._next)
            self._next = (self._next + self._stride) % PORTS
            if outer not in self._by_outer:
                return outer
        return None

    def _sweep(self, now: float) -> None:
        for mapping in [mapping for mapping in self._mappings.values() if mapping.expires < now]:
            self._remove(mapping)
        self._sweep_at = min(self.kind.mappings_max, max(_SWEPT, 2 * len(self._mappings)))

    def _remove(self, mapping: _Mapping) -> None:
        del self._mappings[mapping.key]
        del self._by_outer[mapping.outer]


def _swept(mapping: _Mapping, now: float) -> bool:
    """Forget whom the mapping is open to no more; whether there is room."""
    mapping.open_to = open_to = {who: until for who, until in mapping.open_to.items() if until >= now}
    mapping.sweep_at = min(SESSIONS_MAX, max(_SWEPT, 2 * len(open_to)))
    return len(open_to) <= SESSIONS_MAX


def _dropped(box: Box) -> Address | None:
    box.dropped += 1
    return None
