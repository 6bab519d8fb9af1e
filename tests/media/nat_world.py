"""NATs, firewalls and relay servers for agents on virtual time, and media that flows every 20 ms."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from media.ice.candidates import Candidate, Way, local_candidate, relay_candidate
from media.ice.events import Selected, State
from media.ice.path import IcePath
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.media.world import Host, World

STUN_SERVER: Address = ("192.0.2.250", 3478)
MEDIA = b"\x80media"
FRAME_SECONDS = 0.02
KINDS = ("open", "full cone", "address-restricted", "port-restricted", "symmetric", "blocked")


class Nat:
    """Mapping and filtering (RFC 4787 §4, §5) by the old names; a symmetric one filters by address and port."""

    def __init__(self, kind: str, public: str) -> None:
        self.kind, self.public = kind, public
        self._mappings: dict[Any, int] = {}
        self._inside: dict[int, Address] = {}
        self._sent: dict[int, set[Address]] = {}

    def outbound(self, inside: Address, destination: Address) -> Address:
        """The source of a packet behind the NAT."""
        key = (inside, destination) if self.kind == "symmetric" else inside
        port = self._mappings.setdefault(key, 40_000 + len(self._mappings))
        self._inside[port] = inside
        self._sent.setdefault(port, set()).add(destination)
        return (self.public, port)

    def admits(self, port: int, source: Address) -> bool:
        """Whether a packet from outside to one of our ports passes."""
        sent = self._sent.get(port, set())
        if self.kind == "full cone":
            return bool(sent)
        if self.kind == "address-restricted":
            return any(host == source[0] for host, _ in sent)
        return source in sent


@dataclass(eq=False)
class Relay:
    """An allocation of one site at a server."""

    host: str
    relayed: Address
    is_stream: bool = False
    is_alive: bool = True
    permitted: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Site(Host):
    """A host behind something, with relays; `media` notes when packets came, and which way."""

    kind: str = "open"
    nat: Nat | None = None
    relays: dict[int, Relay] = field(default_factory=dict)
    media: list[tuple[float, Way]] = field(default_factory=list)
    is_cut: bool = False

    @property
    def path(self) -> IcePath:
        """The core."""
        assert isinstance(self.core, IcePath)
        return self.core

    @property
    def way(self) -> Way | None:
        """Where media goes now."""
        return None if self.path.selected is None else self.path.selected.destination

    def nominated(self) -> list[Way]:
        """The ways that were concluded on, in order."""
        return [event.remote for _, event in self.events if isinstance(event, Selected) and event.nominated]


class NatWorld(World):
    """Sites that are reached through their NATs and relays only."""

    def __init__(self, seed: int = 1, *, loss: float = 0.0, latency: tuple[float, float] = (0.005, 0.02)) -> None:
        super().__init__(seed, loss=loss, latency=latency)
        self.sites: list[Site] = []
        self.dead_relays: set[str] = set()
        self.blocks_direct = False
        self.sent_media = 0

    def site(self, kind: str, *, relays: Sequence[str] = (), controlling: bool = True) -> Site:
        """A new site of a kind."""
        number = len(self.sites) + 1
        public = f"198.51.100.{number}"
        own: Address = (public if kind in ("open", "blocked") else f"10.0.{number}.5", 4_000)
        nat = None if kind in ("open", "blocked") else Nat(kind, public)
        held = {n: Relay(host, (host, 50_000 + 10 * number + n), kind == "blocked") for n, host in enumerate(relays, 1)}
        core = IcePath(
            controlling=controlling, local=candidates(own, nat, held), chance=self.chance.child(f"site {number}")
        )
        site = Site(core, [own], kind=kind, nat=nat, relays=held)
        self.sites.append(site)
        self.hosts.append(site)
        return site

    def introduce(self, one: Site, other: Site) -> None:
        """Each learns the newest description of the other; the answerer first, as in a call."""
        for here, there in ((other, one), (one, other)):
            agent = there.path.newest
            for relay in here.relays.values():
                relay.permitted |= {each.host for each in agent.local}
            here.path.set_remote(agent.ufrag, agent.password, [each.to_sdp() for each in agent.local], self.now)

    def move(self, site: Site) -> None:
        """The site's address changes: another network, another NAT, relays asked for again."""
        host = f"203.0.113.{50 + len(self.sites) + int(self.now) % 50}"
        site.nat = None if site.nat is None else Nat(site.kind, host)
        site.addresses = [("10.9.9.9", 4_000) if site.nat else (host, 4_000)]
        for number, relay in list(site.relays.items()):
            site.path.drop_relay(number, self.now)
            del site.relays[number]
            port = relay.relayed[1] + 1_000
            site.relays[number + 100] = Relay(relay.host, (relay.host, port), relay.is_stream)

    def talk(self, seconds: float) -> None:
        """Both ends send a packet every 20 ms."""
        end = self.now + seconds
        while self.now < end - FRAME_SECONDS / 2:
            for site in self.sites:
                if site.way is not None and site.path.in_use.state is not State.FAILED:
                    self.sent_media += 1
                    self._carry(site, MEDIA, site.way)
            self.run(FRAME_SECONDS)

    def _send(self, host: Host, output: Any) -> None:
        self.sent += 1
        assert isinstance(host, Site)
        self._carry(host, output.data, output.destination)

    def _carry(self, site: Site, data: bytes, way: Way) -> None:
        if self.chance.uniform(0, 1) < self.loss or site.is_cut:
            return
        delay = self.chance.uniform(*self.latency)
        target = (way[0], way[1])
        if len(way) == 3:
            relay = site.relays.get(way[2])
            if relay is None or relay.host in self.dead_relays:
                return
            self._arrive(data, target, relay.relayed, 2 * delay)
        elif site.kind != "blocked":
            own = site.addresses[0]
            self._arrive(data, target, own if site.nat is None else site.nat.outbound(own, target), delay)

    def _arrive(self, data: bytes, target: Address, source: Address, delay: float) -> None:
        is_relayed = any(source == relay.relayed for site in self.sites for relay in site.relays.values())
        for site in self.sites:
            if site.is_cut:
                continue
            for number, relay in site.relays.items():
                if relay.relayed == target and source[0] in relay.permitted and relay.host not in self.dead_relays:
                    self.inject(site, data, (*source, number), 2 * delay)  # type: ignore[arg-type]
            if site.kind == "blocked" or (self.blocks_direct and not is_relayed):
                continue
            is_here = site.nat is None and target == site.addresses[0]
            if is_here or (
                site.nat is not None and site.nat.public == target[0] and site.nat.admits(target[1], source)
            ):
                self.inject(site, data, source, delay)

    def _step(self) -> None:
        for entry in [each for each in self._heap if each[0] <= self.now and each[3] == MEDIA]:
            self._heap.remove(entry)
            site, way = entry[2], entry[4]
            assert isinstance(site, Site)
            if site.path.is_checked(way):
                site.media.append((self.now, way))
                if way == site.way:
                    site.path.note_received(self.now)
        super()._step()


def candidates(own: Address, nat: Nat | None, relays: dict[int, Relay]) -> list[Candidate]:
    """What a site gathers: its address, what a STUN server sees, its relays."""
    found: list[Candidate] = [local_candidate("host", own, own)]
    mapped = own
    if nat is not None:
        mapped = nat.outbound(own, STUN_SERVER)
        found.append(local_candidate("srflx", mapped, own))
    return found + [relay_candidate(number, each.relayed, mapped) for number, each in relays.items()]


def longest_gap(site: Site, since: float, until: float) -> float:
    """The longest time without a packet."""
    times = [since, *(when for when, _ in site.media if since <= when <= until), until]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def seeded(seed: int) -> Chance:
    """For tests that draw."""
    return Chance.seeded(seed)
