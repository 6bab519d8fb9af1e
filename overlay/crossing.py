"""Getting through NATs: what a node does as a super-node for others, and through super-nodes for itself.

It ties together the ways out (`overlay.paths`), several ways to one node (`overlay.routes`), the flows of a client
(`overlay.rendezvous`), the super-nodes known (`overlay.supernodes`) and, on a volunteer, the relaying (`overlay.relaying`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from overlay.events import LookupDone, Output, RendezvousChanged
from overlay.found import read_registrations
from overlay.frame import FrameBox
from overlay.heard import HeardAddresses
from overlay.holder import Asking, Method
from overlay.members import Members
from overlay.paths import Gateway, Paths
from overlay.reaching import Reaching
from overlay.records import registration_key
from overlay.registration import RENDEZVOUS_MAX, Rendezvous
from overlay.relay_record import Announcement
from overlay.relaying import CLIENTS_MAX, Relaying
from overlay.rendezvous import FLOWS_WANTED, Flow, RendezvousKeeper
from overlay.routes import Routes
from overlay.rpc import ATTACH, GRANT, NEWS, REACH, WATCH
from overlay.searches import Asker
from overlay.supernodes import SuperNodes
from overlay.via import make_lost, parse_lost, parse_relay, via_address
from overlay.watching import Watching
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.grants import Grant, pack_grant

NESTED_MAX = 2


@dataclass(frozen=True, slots=True)
class Volunteering:
    """A node is a super-node: `grants(certificate, unix)` makes TURN credentials, `announcement()` says what to tell others.

    `charge(bytes)`: whether so many may still be passed on this month, which are counted then.
    """

    grants: Callable[[DeviceCertificate, float], Grant]
    announcement: Callable[[], Announcement]
    clients_max: int = CLIENTS_MAX
    allows_private: bool = False
    charge: Callable[[int], bool] = bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the crossing needs of its node. `time()` and `unix()`: of the input that is served; `confine(is_confined, now)`:
    others reach us through gateways only, or no more so."""

    ask: Asker
    find: Callable[[bytes, float, Callable[[LookupDone], None]], None]
    ask_who: Callable[[bytes, float], None]
    meet: Callable[[bytes, Address, float], None]
    transmit: Callable[[Transmit], None]
    emit: Callable[[Output], None]
    confine: Callable[[bool, float], None]
    time: Callable[[], float]
    unix: Callable[[], float]


class Crossing:
    """Super-nodes, from both sides. `relaying` is there on a volunteer only."""

    __slots__ = (
        "_around", "_is_client", "_members", "_reaching", "_streams", "_volunteering", "_watching", "families", "methods",
        "paths", "relaying", "rendezvous", "routes", "supernodes"
    )  # fmt: skip

    def __init__(
        self,
        own_key: bytes,
        overlay: str,
        box: FrameBox,
        heard: HeardAddresses,
        members: Members,
        around: Surroundings,
        chance: Chance,
    ) -> None:
        self.relaying: Relaying | None = None
        self.paths = Paths(own_key, box, around.transmit, self._own_flow)
        self.routes = Routes(heard, self.paths.forward, self._seek)
        self.supernodes = SuperNodes(
            own_key,
            overlay,
            around.ask,
            around.find,
            chance.child("super-nodes"),
            found=self._found,
            time=around.time,
            unix=around.unix,
        )
        self.rendezvous = RendezvousKeeper(
            around.ask,
            chance.child("rendezvous"),
            candidates=self.supernodes.candidates,
            hungry=self.supernodes.look,
            changed=self._flows_changed,
            time=around.time,
        )
        self._reaching = Reaching(around.ask, around.find, self.ways, self._is_member, around.time)
        self._watching: Watching | None = None  # made with the first that watches: most nodes of a simulation have none
        self.methods: dict[int, Method] = {ATTACH: self.attach, GRANT: self.grant, REACH: self._reaching.reach}
        self.methods |= {WATCH: self._take_watch, NEWS: self._take_news}
        self._volunteering: Volunteering | None = None
        self._is_client = False
        self.families = frozenset((4, 6))
        self._streams: tuple[Gateway, ...] = ()
        self._around = around
        self._members = members

    def volunteer(self, volunteering: Volunteering | None) -> None:
        """Be a super-node whenever we are a peer, or none any more."""
        self._volunteering = volunteering
        self._settle()

    def leave(self) -> None:
        """This node ends soon: who is attached learns it now, and is served while moving."""
        if self.relaying is not None:
            self.relaying.leave()

    def take_role(self, is_client: bool, now: float) -> None:
        """We are a client now, which needs rendezvous, or a peer, which may be one."""
        self._is_client = is_client
        self._settle()
        self.rendezvous.keep(FLOWS_WANTED if is_client or self._lacks_ipv4 else 0, now)

    def network_changed(self, now: float) -> None:
        """Our address is another one: whoever keeps a flow to us must learn it at once."""
        self.rendezvous.network_changed(now)

    def joined(self, now: float) -> None:
        """A peer is known: super-nodes can be looked for."""
        if (self._is_client or self._lacks_ipv4) and not self.rendezvous.flows:
            self.rendezvous.fill(now)

    def _settle(self) -> None:
        volunteering = None if self._is_client else self._volunteering
        if volunteering is None:
            if self.relaying is not None:
                self.relaying.close()
            self.relaying = None
            return
        if self.relaying is not None:
            return
        self.relaying = Relaying(
            send=self._pass_on,
            is_member=self._is_member,
            ask_who=self._around.ask_who,
            clients_max=volunteering.clients_max,
            allows_private=volunteering.allows_private,
            charge=volunteering.charge,
        )

    @property
    def watching(self) -> Watching:
        """Who watches whom."""
        if self._watching is None:
            around = self._around
            self._watching = Watching(
                around.ask,
                around.find,
                self.ways,
                self._is_member,
                around.time,
                emit=around.emit,
                is_client=lambda: self._is_client,
                own_ways=lambda: self.public_flows if self._is_client else (),
            )
        return self._watching

    def stored(self, key: bytes, now: float) -> None:
        """A registration is held here that was not."""
        if self._watching is not None:
            self._watching.stored(key, now)

    @property
    def announcement(self) -> Announcement | None:
        """What to tell others of us as a super-node; None when we are none."""
        return None if self.relaying is None or self._volunteering is None else self._volunteering.announcement()

    def has_families(self, families: frozenset[int], now: float) -> None:
        """The address families (4, 6) that we can send to without a gateway. Without IPv4, super-nodes that have both become
        gateways as soon as they keep flows to us."""
        if families != self.families:
            self.families = self.supernodes.families = families
            self._choose_gateways(now)
            self.take_role(self._is_client, now)

    def use_gateways(self, gateways: Sequence[Gateway], now: float) -> None:
        """Send all frames through the first of these super-nodes, which are reached by streams; none: no more."""
        self._streams = tuple(gateways)
        self._choose_gateways(now)
        self.rendezvous.pin({gateway.node_key: gateway.address for gateway in gateways}, now)

    def check_reach(self, address: Address) -> None:
        """LocalError when nothing that we send gets to this address."""
        if len(self.families) == 2:
            return
        if not self.paths.gateways and not is_synthetic(address[0]) and _family(address) not in self.families:
            raise LocalError("an address of a family that is not to be had here")

    @property
    def _lacks_ipv4(self) -> bool:
        return 4 not in self.families

    def _flows_changed(self) -> None:
        self._choose_gateways(self._around.time())
        self._around.emit(RendezvousChanged())

    def _choose_gateways(self, now: float) -> None:
        """Streams for lack of UDP, or flows for lack of IPv4. The one in use stays the first as long as its flow lives."""
        gateways = {gateway.node_key: gateway for gateway in self._streams or self._bridges()}
        first = self.paths.gateway
        if first is not None and first.node_key in gateways:
            gateways = {first.node_key: gateways[first.node_key], **gateways}
        self.paths.gateways = gateways
        self.rendezvous.needed = next(iter(gateways), b"")
        self.supernodes.has_gateway = bool(gateways)
        self._around.confine(bool(gateways), now)

    def _bridges(self) -> list[Gateway]:
        if not self._lacks_ipv4:
            return []
        return [
            Gateway(flow.node_key, flow.address, self.families)
            for flow in self.rendezvous.flows
            if ":" in flow.address[0]
            and any(":" not in host for host, _port in self.supernodes.addresses_of(flow.node_key))
        ]

    def ways(self, told: Sequence[Address | Rendezvous], now: float) -> list[Address]:
        """What a registration tells as addresses, those through super-nodes included; they learn of us at their first use."""
        ways: list[Address] = []
        told_rendezvous = [each for each in told if isinstance(each, Rendezvous) and not self._is_out_of_reach(each)]
        for each in told:
            if isinstance(each, Rendezvous):
                if self._is_out_of_reach(each) and any(other.node_key == each.node_key for other in told_rendezvous):
                    continue  # it has an address of another family, too
                address = self._near_address(each)
                ways.append(self.paths.via(each.node_key, address))
                if each.node_key not in self._members:
                    self._around.meet(each.node_key, address, now)
            else:
                ways.append(each)
        return ways

    def address_of(self, node_key: bytes) -> Address | None:
        """Where a super-node is: an attached one, or one that is known."""
        for flow in self.rendezvous.flows:
            if flow.node_key == node_key:
                return flow.address
        return self.supernodes.address_of(node_key)

    @property
    def public_flows(self) -> tuple[Rendezvous, ...]:
        """Our rendezvous at addresses that others can send to: a stream's is ours only."""
        flows = self.rendezvous.flows
        first = {flow.node_key: self._public_addresses(flow) for flow in flows}
        told = [Rendezvous(node_key, addresses[0]) for node_key, addresses in first.items() if addresses]
        told += [Rendezvous(node_key, addresses[1]) for node_key, addresses in first.items() if len(addresses) > 1]
        return tuple(told[:RENDEZVOUS_MAX])

    def _public_addresses(self, flow: Flow) -> list[Address]:
        """The super-node's IPv4 address first, which most have a way to, and one of the other family."""
        known = [
            *([] if is_synthetic(flow.address[0]) else [flow.address]),
            *self.supernodes.addresses_of(flow.node_key),
        ]
        by_family = {_family(address): address for address in reversed(known)}
        return [by_family[family] for family in sorted(by_family)]

    def testers(self, peers: Sequence[tuple[bytes, Address]]) -> list[tuple[bytes, Address]]:
        """Who may try to reach us, the best first: super-nodes that keep no flow to us, other peers, those that keep one."""
        ours = [(flow.node_key, flow.address) for flow in self.rendezvous.flows]
        kept = {node_key for node_key, _address in ours}
        others = self.supernodes.candidates(list(kept))
        return [*others, *(peer for peer in peers if peer[0] not in kept), *ours]

    # Payloads

    def take_relay(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        """Pass a frame on, or say that we do not; RemoteError if malformed."""
        if self.relaying is not None:
            self.relaying.take(sender, payload, source, now)
        else:
            self._send(sender, source, make_lost(parse_relay(payload).target))

    def take_relayed(self, sender: bytes, payload: bytes, source: Address) -> tuple[bytes, Address]:
        """The frame inside, and the way that it came."""
        return payload[1:], self.paths.via(sender, source)

    def take_lost(self, sender: bytes, payload: bytes, own_id: bytes, now: float) -> None:
        """A super-node has no flow to a node, or to us; RemoteError if malformed."""
        node_id = parse_lost(payload)
        if node_id == own_id:
            self.rendezvous.lost(sender, now)
        else:
            self.routes.lost(node_id, via_address(sender), now)

    # Methods

    def attach(self, asking: Asking, arguments: list[Any]) -> Any:
        """ATTACH: keep a flow to the asker. Only where it has proved to receive: else flows would point at bystanders."""
        relaying, volunteering, _certificate = self._serving(asking)
        relaying.draining = volunteering.announcement().draining
        others, may_go = elsewhere(arguments)
        return relaying.attach(asking.node_key, asking.source, asking.now, others=others, may_go=may_go)

    def grant(self, asking: Asking, _arguments: list[Any]) -> Any:
        """GRANT: TURN credentials for the asker."""
        _relaying, volunteering, certificate = self._serving(asking)
        return pack_grant(volunteering.grants(certificate, asking.unix))

    def _take_watch(self, asking: Asking, arguments: list[Any]) -> Any:
        return self.watching.take_watch(asking, arguments)

    def _take_news(self, asking: Asking, arguments: list[Any]) -> Any:
        return self.watching.take_news(asking, arguments)

    def _serving(self, asking: Asking) -> tuple[Relaying, Volunteering, DeviceCertificate]:
        if self.relaying is None or self._volunteering is None:
            raise RemoteError("no super-node", status=405)
        if not asking.is_proved:
            raise RemoteError("a request to a super-node without a valid token", status=401)
        certificate = self._members.certificate_of(asking.node_key, asking.unix)
        if certificate is None:
            self._around.meet(asking.node_key, asking.source, asking.now)
            raise RemoteError("the asker's certificate is not known here yet", status=401)
        return self.relaying, self._volunteering, certificate

    # Inside

    def _found(self, now: float) -> None:
        self.rendezvous.fill(now)

    def _is_out_of_reach(self, rendezvous: Rendezvous) -> bool:
        return _family(rendezvous.address) not in self.families

    def _near_address(self, rendezvous: Rendezvous) -> Address:
        """One of our own family, if the super-node is known to have it."""
        known = self.address_of(rendezvous.node_key) if self._is_out_of_reach(rendezvous) else None
        return known or rendezvous.address

    def _own_flow(self, node_id: bytes) -> Address | None:
        return None if self.relaying is None else self.relaying.flow(node_id)

    def _is_member(self, node_key: bytes, now: float) -> bool:
        return self._members.certificate_of(node_key, self._around.unix()) is not None

    def _send(self, node_key: bytes, address: Address, payload: bytes) -> None:
        try:
            self.paths.send(node_key, address, payload)
        except (LocalError, RemoteError):
            self.paths.dropped += 1

    def _pass_on(self, node_key: bytes, address: Address, payload: bytes) -> None:
        try:
            self.paths.send(node_key, address, payload, is_last=True)
        except (LocalError, RemoteError):
            self.paths.dropped += 1

    def _seek(self, node_key: bytes, now: float) -> None:
        """None of the known ways leads to a node: its person's registration may say another."""
        certificate = self._members.certificate_of(node_key, self._around.unix())
        if certificate is None:
            return

        def found(done: LookupDone) -> None:
            for registration in read_registrations(done.records):
                if registration.node_key == node_key:
                    self.routes.tell(node_key, self.ways(registration.ways, self._around.time()), self._around.time())

        try:
            self._around.find(registration_key(certificate.addresses[0]), now, found)
        except LocalError:
            return


def elsewhere(arguments: list[Any]) -> tuple[int, bool]:
    """What an ATTACH tells: how many flows the asker has elsewhere, and whether this one may go; nothing told: none, no."""
    match arguments:
        case [int() as others, bool() as may_go, *_] if not isinstance(others, bool):
            return others, may_go
        case [int() as others, *_] if not isinstance(others, bool):
            return others, False
        case _:
            return 0, False


def _family(address: Address) -> int:
    return 6 if ":" in address[0] else 4
