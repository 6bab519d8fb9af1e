"""Who is where: the map of addresses to hosts and boxes that every network of ours has, and the way of a datagram through boxes."""

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network.addresses import EUROPE, Addresses
from simulations.network.endpoint import Endpoint, Line
from simulations.network.nat import PUBLIC, Box, NatKind
from simulations.network.partitions import Partitions

FIRST_PORT, PORT_BITS = 10_000, 15
"""A host's own port is one of 2**15 from here on."""

SUBSCRIBERS_MAX = 64
"""Homes behind one carrier-grade NAT: as many as operators often put behind one address (RFC 6888 names no number)."""
HOME_HOSTS_MAX = 64


class Places:
    """The addresses in use. The hosts of a realm (one box's inside, or the public network) reach one another without a box."""

    def __init__(self) -> None:
        self.addresses = Addresses()
        self.partitions = Partitions()
        self._cuts = self.partitions.cuts
        self._hosts: dict[str, Endpoint | Box] = {}
        self._carriers: dict[tuple[int, NatKind], Box] = {}

    def endpoint(
        self,
        number: int,
        chance: Chance,
        *,
        nat: NatKind | None = None,
        behind: Endpoint | None = None,
        region: int | None = None,
    ) -> Endpoint:
        """A place for one more host; see `Network.endpoint`."""
        endpoint = Endpoint(number, ("", 0), _NOWHERE, box=None, kind=PUBLIC)
        self._settle(endpoint, chance, nat, behind, region)
        return endpoint

    def release(self, endpoint: Endpoint) -> None:
        """The host is gone: its address reaches nobody, and boxes that nobody is behind are gone too."""
        host = endpoint.address[0]
        box: Box | None = endpoint.box
        if self._hosts.get(host) is endpoint:
            del self._hosts[host]
        while box is not None:
            box.members -= 1
            if box.members or self._hosts.get(box.host) is not box:
                return
            del self._hosts[box.host]
            if box.carries:
                self._carriers = {key: carrier for key, carrier in self._carriers.items() if carrier is not box}
            box = box.outside

    def move(
        self,
        endpoint: Endpoint,
        chance: Chance,
        *,
        nat: NatKind | None = None,
        behind: Endpoint | None = None,
        region: int | None = None,
    ) -> None:
        """The host is in another network now; see `Network.move`. It keeps its region if none is named."""
        self.release(endpoint)
        self._settle(endpoint, chance, nat, behind, endpoint.line.region if region is None else region)

    def deliver(self, now: float, destination: Address, source: Address) -> Endpoint | None:
        """A datagram arrives: who gets it. None if a box drops it, or nobody is there any more."""
        target = self._hosts.get(destination[0])
        if target.__class__ is Endpoint and not self._cuts:
            if destination[1] == target.address[1] or target.listens(destination[1]):
                return target
            return None
        found = self.arrive(now, destination, source)
        return found[0] if found else None

    def arrive(self, now: float, destination: Address, source: Address) -> tuple[Endpoint, int] | None:
        """As `deliver`, with the port that it arrives at."""
        target = self._hosts.get(destination[0])
        if target is None or (self._cuts and self._apart(now, target, destination, source)):
            return None
        while isinstance(target, Box):
            inner = target.inward(destination, source, now)
            if inner is None:
                return None
            target = target.guarded if target.kind.mapping is None else self._hosts.get(inner[0])
            destination = inner
        if target is None or not target.listens(destination[1]):
            return None
        return target, destination[1]

    def line_of(self, place: Endpoint | Box, address: Address) -> Line:
        """The line that a datagram for `address` at `place` crosses: behind a carrier-grade NAT that of a home."""
        if isinstance(place, Box) and place.carries:
            inner = place.inner_of(address)
            home = self._hosts.get(inner[0]) if inner else None
            if home is not None:
                return home.line
        return place.line

    def leave(self, now: float, sender: Endpoint, source: Address, destination: Address) -> "_Left | None":
        """A datagram goes out through the boxes before its sender: (source as seen where it is delivered, who has the destination).

        None if a box drops it or nothing has that address where it comes out.
        """
        target = self._hosts.get(destination[0])
        realm = sender.outside
        while realm is not None:
            if target is not None and target.outside is realm:
                return source, target
            hairpin = destination[0] == realm.host and realm.kind.mapping is not None
            if hairpin and not realm.kind.hairpin:
                return None
            translated = realm.outward(source, destination, now)
            if translated is None:
                return None
            source = translated
            if hairpin:
                return source, realm
            realm = realm.outside
        return None if target is None or target.outside is not None else (source, target)

    def _cut_off(self, now: float, sender: Endpoint, target: Endpoint | Box, destination: Address) -> bool:
        there = self.line_of(target, destination)
        return sender.line is not there and self.partitions.apart(now, sender.line, there)

    def _apart(self, now: float, target: Endpoint | Box, destination: Address, source: Address) -> bool:
        sender = self._hosts.get(source[0])
        if sender is None:
            return False
        here, there = self.line_of(sender, source), self.line_of(target, destination)
        return here is not there and self.partitions.apart(now, here, there)

    def _new_line(self, chance: Chance, region: int | None, drawn: NatKind | None) -> Line:
        """A line for a host whose kind of box was `drawn` from the population (None: it was named)."""
        return Line(region or 0, lot=chance.uniform(0.0, 1.0))

    def _registry(self, line: Line) -> int:
        return EUROPE

    def _new_kind(self, chance: Chance) -> NatKind:
        return PUBLIC

    def _settle(
        self, endpoint: Endpoint, chance: Chance, nat: NatKind | None, behind: Endpoint | None, region: int | None
    ) -> None:
        box = behind.box if behind else None
        if behind is not None and box is not None and box.kind.mapping is not None:
            host = self._beside_at_home(behind, box)
            line, kind = behind.line, behind.kind
        else:
            kind = behind.kind if behind else nat or self._new_kind(chance)
            line = behind.line if behind else self._new_line(chance, region, None if nat else kind)
            public = self.addresses.beside(behind.address[0], chance) if behind else None
            host, box = self._new_home(kind, line, chance, public)
        endpoint.address = (host, FIRST_PORT + chance.integer(PORT_BITS))
        endpoint.line, endpoint.kind, endpoint.box, endpoint.outside = line, kind, box, box
        if box is None:
            self._hosts[host] = endpoint
            return
        box.members += 1
        if box.kind.mapping is None:
            box.guarded = endpoint
            self._hosts[host] = box
        else:
            self._hosts[host] = endpoint

    def _beside_at_home(self, behind: Endpoint, box: Box) -> str:
        if box.carries:
            return self.addresses.shared()
        assert box.given < HOME_HOSTS_MAX, "more hosts in a home than HOME_HOSTS_MAX"
        box.given += 1
        return f"{behind.address[0].rpartition('.')[0]}.{10 + box.given}"

    def _new_home(self, kind: NatKind, line: Line, chance: Chance, public: str | None) -> tuple[str, Box | None]:
        carrier = self._carrier(kind.before, line, chance) if kind.before else None
        outer = self.addresses.shared() if carrier else public or self.addresses.public(self._registry(line), chance)
        if kind.mapping is None and (carrier or kind.is_public):
            return outer, carrier
        if carrier:
            carrier.members += 1
        box = self._hosts[outer] = Box(kind, outer, line, outside=carrier, stride=_stride(chance))
        return (self.addresses.home() if kind.mapping else outer), box

    def _carrier(self, kind: NatKind, line: Line, chance: Chance) -> Box:
        box = self._carriers.get((line.region, kind))
        if box is None or box.given >= SUBSCRIBERS_MAX:
            outer = self.addresses.public(self._registry(line), chance)
            own = Line(line.region, lot=line.lot, salt=line.salt)
            own.row = line.row
            box = self._carriers[line.region, kind] = Box(kind, outer, own, stride=_stride(chance))
            box.carries = True
            self._hosts[outer] = box
        box.given += 1
        return box


_Left = tuple[Address, Endpoint | Box]
_NOWHERE = Line()


def _stride(chance: Chance) -> int:
    """A step through all outer ports of a NAT, so that each comes once: PORTS is 2**10 * 3**2 * 7."""
    step = 1 + chance.integer(16)
    while step % 2 == 0 or step % 3 == 0 or step % 7 == 0:
        step += 1
    return step
