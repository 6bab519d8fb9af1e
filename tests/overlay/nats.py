"""NATs and firewalls for the world of the tests, in the words of RFC 4787 and RFC 5780: mapping, filtering and lifetime."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from p2psip.base.core import Address

LIFETIME_SECONDS = 120.0
FIRST_PORT = 20_000


class Rule(enum.Enum):
    """On what a mapping or a filter depends: on nothing, on the other host, on the other host and port (RFC 5780 §4.3, 4.4)."""

    ENDPOINT_INDEPENDENT = enum.auto()
    ADDRESS_DEPENDENT = enum.auto()
    ADDRESS_AND_PORT_DEPENDENT = enum.auto()

    def key(self, other: Address) -> tuple[str, int]:
        """What of the other side's address the box looks at."""
        match self:
            case Rule.ENDPOINT_INDEPENDENT:
                return "", 0
            case Rule.ADDRESS_DEPENDENT:
                return other[0], 0
        return other


class Nat(enum.Enum):
    """What stands before a node: (mapping, filtering); the firewall keeps the address."""

    NONE = None
    FULL_CONE = (Rule.ENDPOINT_INDEPENDENT, Rule.ENDPOINT_INDEPENDENT)
    ADDRESS_RESTRICTED = (Rule.ENDPOINT_INDEPENDENT, Rule.ADDRESS_DEPENDENT)
    PORT_RESTRICTED = (Rule.ENDPOINT_INDEPENDENT, Rule.ADDRESS_AND_PORT_DEPENDENT)
    SYMMETRIC = (Rule.ADDRESS_AND_PORT_DEPENDENT, Rule.ADDRESS_AND_PORT_DEPENDENT)
    FIREWALL = (None, Rule.ADDRESS_AND_PORT_DEPENDENT)
    ADDRESS_FIREWALL = (None, Rule.ADDRESS_DEPENDENT)


@dataclass(eq=False)
class _Mapping:
    inner: Address
    outer: Address
    expires: float
    open_to: dict[tuple[str, int], float] = field(default_factory=dict)


class Box:
    """One NAT or firewall with the outer host `host`. `lifetime` seconds after the last packet out, what was open is shut."""

    def __init__(self, kind: Nat, host: str, *, lifetime: float = LIFETIME_SECONDS) -> None:
        assert kind.value is not None
        self.kind, self.host, self.lifetime = kind, host, lifetime
        self.dropped = 0
        self._mapping, self._filtering = kind.value
        self._mappings: dict[tuple[Address, tuple[str, int]], _Mapping] = {}
        self._by_outer: dict[Address, _Mapping] = {}
        self._ports: Iterator[int] = iter(range(FIRST_PORT, 65_536))

    @property
    def translates(self) -> bool:
        """Whether it is a NAT: a firewall leaves addresses alone."""
        return self._mapping is not None

    def outward(self, inner: Address, destination: Address, now: float) -> Address:
        """A packet leaves: its source as the outside sees it."""
        key = (inner, self._mapping.key(destination) if self._mapping else ("", 0))
        mapping = self._mappings.get(key)
        if mapping is None or mapping.expires < now:
            outer = (self.host, next(self._ports)) if self._mapping else inner
            mapping = self._mappings[key] = self._by_outer[outer] = _Mapping(inner, outer, 0.0)
        mapping.expires = now + self.lifetime
        mapping.open_to[self._filtering.key(destination)] = mapping.expires
        return mapping.outer

    def inward(self, outer: Address, source: Address, now: float) -> Address | None:
        """A packet comes from outside: where inside it goes, or None if it is dropped."""
        mapping = self._by_outer.get(outer)
        if mapping is None or mapping.open_to.get(self._filtering.key(source), 0.0) < now:
            self.dropped += 1
            return None
        return mapping.inner

    def forget(self) -> None:
        """The box was restarted: all mappings are gone."""
        self._mappings.clear()
        self._by_outer.clear()
