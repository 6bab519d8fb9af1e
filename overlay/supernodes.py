"""Finding super-nodes at the relay places, and choosing among them.

Places are looked up in random order until ENOUGH are known, and for as many more when those do not suffice: they may be full.
Each one found is pinged once for its round trip. **Score**, in milliseconds of delay that a property is worth; the lowest is
the best:

    round trip                                              as measured; UNMEASURED_MS before it was
    free capacity      none 1000; fewer than FEW_FREE 50
    uptime class       under an hour 60; under six 30; under a day 10; longer 0
    draining           last of all
    same /16 (IPv4) or /32 (IPv6) as one already chosen      100
    same /24 or /48 as one already chosen                    only if nothing else is left

Private networks are no networks in this sense: at home and in a laboratory all are in one.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overlay.contact import Contact
from overlay.events import LookupDone
from overlay.records import RELAY, relay_keys
from overlay.relay_record import Announcement, read_announcement
from overlay.rpc import PING, Answer
from overlay.searches import Asker
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError

KNOWN_MAX = 64
ENOUGH = 12
PLACES_AT_ONCE = 3
LOOK_AGAIN_SECONDS = 10.0
LOOK_AGAIN_SECONDS_MAX = 900.0
MEASURED_AT_ONCE_MAX = 8
UNMEASURED_MS = 400.0
FEW_FREE = 5
NO_CAPACITY_MS, LITTLE_CAPACITY_MS = 1_000.0, 50.0
UPTIME_MS = (60.0, 30.0, 10.0, 0.0)
SAME_NETWORK_MS = 100.0
SAME_SITE_MS = 100_000.0
DRAINING_MS = 1_000_000.0


@dataclass(frozen=True, slots=True)
class SuperNode:
    """A super-node as its record announces it; `rtt` in seconds, None before it was measured."""

    node_key: bytes
    addresses: tuple[Address, ...]
    tcp_port: int
    tls_port: int
    rtt: float | None
    capacity: int
    uptime_class: int
    draining: bool = False


@dataclass(slots=True)
class _Known:
    announcement: Announcement
    sequence: int
    expires: float
    rtt: float | None = None
    measured: bool = False


class SuperNodes:
    """The super-nodes known to this node, KNOWN_MAX at most. `find(key, now, then)` begins a lookup; `found(now)` is called
    when more, or more about them, is known. `time()` and `unix()` are the time of the input
    that is served, steady and of the wall clock. Addresses of our own `families` are preferred, and without a gateway the
    others are of no use."""

    __slots__ = (
        "_again", "_ask", "_chance", "_enough", "_find", "_found", "_known", "_left", "_looked_at", "_measuring", "_own_key",
        "_places", "_time", "_under_way", "_unix_now", "families", "has_gateway"
    )  # fmt: skip

    def __init__(
        self,
        own_key: bytes,
        overlay: str,
        ask: Asker,
        find: Callable[[bytes, float, Callable[[LookupDone], None]], None],
        chance: Chance,
        *,
        found: Callable[[float], None],
        time: Callable[[], float],
        unix: Callable[[], float],
    ) -> None:
        self.families = frozenset((4, 6))
        self.has_gateway = False
        self._own_key = own_key
        self._places = relay_keys(overlay)
        self._ask = ask
        self._find = find
        self._chance = chance
        self._found = found
        self._time = time
        self._unix_now = unix
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._left: list[bytes] = []
        self._under_way = 0
        self._measuring = 0
        self._looked_at: float | None = None
        self._enough = ENOUGH
        self._again = LOOK_AGAIN_SECONDS / 2

    def __len__(self) -> int:
        return len(self._known)

    @property
    def is_looking(self) -> bool:
        """Whether a search or a measurement is under way."""
        return bool(self._under_way or self._measuring)

    def look(self, now: float) -> None:
        """Look for more, unless a search is under way or has just ended."""
        if self._under_way or (self._looked_at is not None and now - self._looked_at < self._again):
            return
        self._looked_at = now
        self._again = min(2 * self._again, LOOK_AGAIN_SECONDS_MAX)
        self._enough = min(self._count_usable() + ENOUGH, KNOWN_MAX)
        self._left = list(self._places)
        self._chance.shuffle(self._left)
        self._go_on(now)

    def take(self, done: LookupDone, now: float, unix: float) -> None:
        """What a lookup of a relay place has found."""
        for record, author in done.records:
            if record.kind != RELAY:
                continue
            try:
                announcement = read_announcement(record, author)
            except RemoteError:
                continue
            if announcement is not None and announcement.node_key != self._own_key:
                self._learn(announcement, record.sequence, now + record.expiry - unix)
        self._measure(now)
        self._found(now)

    def ranked(self) -> tuple[SuperNode, ...]:
        """All that are known, best first; each is judged with those before it as already chosen."""
        return tuple(_supernode(known) for known in self._choose([]))

    def candidates(self, in_use: Sequence[bytes]) -> list[tuple[bytes, Address]]:
        """(node key, address) of those not in use, best first, given those in use."""
        found = [
            (known.announcement.node_key, address)
            for known in self._choose(in_use)
            if (address := self._address(known.announcement)) is not None
        ]
        return sorted(found, key=lambda each: not self._is_near(each[1]))

    def address_of(self, node_key: bytes) -> Address | None:
        """An address of this super-node that we can send to."""
        known = self._known.get(node_key)
        return None if known is None else self._address(known.announcement)

    def addresses_of(self, node_key: bytes) -> tuple[Address, ...]:
        """All addresses that this super-node announces."""
        known = self._known.get(node_key)
        return () if known is None else known.announcement.addresses

    def _choose(self, in_use: Sequence[bytes]) -> list[_Known]:
        self._expire(self._time())
        sites, networks = set[str](), set[str]()

        def choose(known: _Known) -> None:
            for host, _port in known.announcement.addresses:
                sites.update(_network(host, 24, 48))
                networks.update(_network(host, 16, 32))

        def score(known: _Known) -> float:
            return score_of(known.announcement, known.rtt) + _crowding(known.announcement, sites, networks)

        for node_key in in_use:
            if node_key in self._known:
                choose(self._known[node_key])
        left = [known for node_key, known in self._known.items() if node_key not in in_use]
        chosen: list[_Known] = []
        while left:
            best = min(left, key=score)
            left.remove(best)
            choose(best)
            chosen.append(best)
        return chosen

    def _address(self, announcement: Announcement) -> Address | None:
        near = (each for each in announcement.addresses if self._is_near(each))
        return next(near, announcement.addresses[0] if self.has_gateway and announcement.addresses else None)

    def _count_usable(self) -> int:
        """How many are known that we can send to: who lacks IPv4 and has no gateway yet must not end its search with others."""
        return sum(self._address(known.announcement) is not None for known in self._known.values())

    def _is_near(self, address: Address) -> bool:
        return (6 if ":" in address[0] else 4) in self.families

    def _learn(self, announcement: Announcement, sequence: int, expires: float) -> None:
        known = self._known.get(announcement.node_key)
        if known is None:
            self._known[announcement.node_key] = _Known(announcement, sequence, expires)
            self._again = LOOK_AGAIN_SECONDS / 2
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        elif sequence >= known.sequence:
            known.announcement, known.sequence, known.expires = announcement, sequence, expires

    def _go_on(self, now: float) -> None:
        while self._left and self._under_way < PLACES_AT_ONCE and self._count_usable() < self._enough:
            self._under_way += 1
            try:
                self._find(self._left.pop(), now, self._ended)
            except LocalError:
                self._under_way -= 1
                return

    def _ended(self, done: LookupDone) -> None:
        self._under_way -= 1
        if done.records:
            self.take(done, self._time(), self._unix_now())
        self._go_on(self._time())
        if not done.closest:
            self._looked_at, self._again = None, LOOK_AGAIN_SECONDS / 2  # nobody to ask yet: that was no search

    def _measure(self, now: float) -> None:
        unmeasured = [known for known in self._known.values() if not known.measured]
        for known in unmeasured[: MEASURED_AT_ONCE_MAX - self._measuring]:
            address = self._address(known.announcement)
            known.measured = True
            if address is not None:
                self._measuring += 1
                self._ask(Contact(known.announcement.node_key, address), PING, [], self._measured, now)

    def _measured(self, contact: Contact, answer: Answer | None) -> None:
        self._measuring -= 1
        known = self._known.get(contact.node_key)
        if known is not None:
            known.rtt = contact.rtt
            if answer is None:
                del self._known[contact.node_key]
        self._measure(self._time())
        self._found(self._time())

    def _expire(self, now: float) -> None:
        for node_key in [node_key for node_key, known in self._known.items() if known.expires <= now]:
            del self._known[node_key]


def score_of(announcement: Announcement, rtt: float | None) -> float:
    """What a super-node is worth by itself, in milliseconds: the less, the better."""
    score = UNMEASURED_MS if rtt is None else 1000 * rtt
    if announcement.capacity == 0:
        score += NO_CAPACITY_MS
    elif announcement.capacity < FEW_FREE:
        score += LITTLE_CAPACITY_MS
    return score + UPTIME_MS[announcement.uptime_class] + (DRAINING_MS if announcement.draining else 0.0)


def _crowding(announcement: Announcement, sites: set[str], networks: set[str]) -> float:
    hosts = [host for host, _port in announcement.addresses]
    if any(not sites.isdisjoint(_network(host, 24, 48)) for host in hosts):
        return SAME_SITE_MS
    return SAME_NETWORK_MS if any(not networks.isdisjoint(_network(host, 16, 32)) for host in hosts) else 0.0


def _network(host: str, bits_v4: int, bits_v6: int) -> set[str]:
    address = ipaddress.ip_address(host)
    if address.is_private or address.is_loopback or address.is_link_local:
        return set()
    return {str(ipaddress.ip_network((address, bits_v6 if address.version == 6 else bits_v4), strict=False))}


def _supernode(known: _Known) -> SuperNode:
    told = known.announcement
    ports = told.tcp_port, told.tls_port
    return SuperNode(told.node_key, told.addresses, *ports, known.rtt, told.capacity, told.uptime_class, told.draining)
