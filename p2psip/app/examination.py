"""What the doctor looks at in a running node, gathered into plain facts, and read again on the command line's side."""

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio
from pydantic import TypeAdapter, ValidationError

from overlay.reaching import NOT_REGISTERED, CallCheck
from overlay.rendezvous import Flow
from overlay.sockets import own_addresses
from p2psip.app.control import ControlError
from p2psip.app.doctor import CallCheckFacts, DoctorFacts, MappedPort, SupernodeFacts, VolunteeringFacts
from p2psip.app.relays import short_name
from p2psip.app.settings import RelaySettings
from p2psip.app.timekeeping import correction_in_words
from p2psip.app.volunteer import SuperNode
from p2psip.base.core import Address, address_text, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.port_mapping import PortMapper
from p2psip.net.streams import StreamLinks

if TYPE_CHECKING:
    from p2psip.app.node import Node

CHECK_SECONDS_MAX = 12.0
BYTES_PER_GIGABYTE = 1e9

Gateway = tuple[bytes, Address]
"""Node key and stream of the super-node that everything goes through where UDP does not pass."""

_FACTS = TypeAdapter(DoctorFacts)


async def doctor_facts(node: "Node") -> DoctorFacts:
    """The facts of `node` now; takes as long as a call from outside as a test."""
    calls, overlay = node.calls.status(), node.overlay
    check = await _check_call(node) if calls["published"] else CallCheckFacts(None)
    verdict, known, flows = overlay.verdict, overlay.peers(), overlay.rendezvous()
    mapper, relaying = node.connectivity.mapper, overlay.peer.crossing.relaying
    return DoctorFacts(
        overlay=node.membership.overlay,
        addresses=node.membership.addresses,
        role=verdict.role.name.lower(),
        mapping=verdict.mapping.name.lower(),
        filtering=verdict.filtering.name.lower(),
        proved=verdict.proved,
        seen_as=verdict.address,
        local=own_addresses(node.port.local, [address for _, address in known]),
        port=node.port.number,
        peers=len(known) or len(flows),
        phones=len(calls["phones"]),
        published=calls["published"],
        udp=udp_works(flows, verdict.address, node.connectivity.gateway),
        call_check=check,
        clock=time_in_words(node.clock.unix()),
        clock_words=correction_in_words(node.clock.correction) if node.clock.correction else "",
        port_mapping_wanted=node.settings.network.port_mapping,
        mapped=mapped_ports(mapper),
        router=None if mapper is None else mapper.outer_host,
        router_said="" if mapper is None else mapper.explanation,
        supernodes=supernode_facts(flows, node.links, node.connectivity.gateway),
        supernodes_known=len(overlay.supernodes()),
        volunteering=volunteering_facts(node.supernode, node.settings.relay, 0 if relaying is None else len(relaying)),
    )


def time_in_words(unix: float) -> str:
    """Date and time of day (UTC), to the minute."""
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def read_facts(value: Any) -> DoctorFacts:
    """The facts as the control socket gives them; ControlError when they are of another version."""
    try:
        return _FACTS.validate_python(value)
    except ValidationError as error:
        raise ControlError(
            "the node answers otherwise than expected; are node and command line of one version?"
        ) from error


async def _check_call(node: "Node") -> CallCheckFacts:
    check: CallCheck | None = None
    try:
        with trio.move_on_after(CHECK_SECONDS_MAX):
            check = await node.overlay.check_callable()
    except (RemoteError, LocalError) as error:
        return CallCheckFacts(None, str(error))
    return call_check_facts(check)


def call_check_facts(check: CallCheck | None) -> CallCheckFacts:
    """What came of a test from outside; None for one that did not end in time."""
    if check is None:
        return CallCheckFacts(None, "the test did not end in time")
    if check.tester is None:
        return CallCheckFacts(None, check.words)
    words = f"{check.words}; tested by node {check.tester.hex()[:8]}"
    return CallCheckFacts(check.is_callable, words, is_unregistered=check.words == NOT_REGISTERED)


def udp_works(flows: Sequence[Flow], seen_as: Address | None, gateway: Gateway | None) -> bool | None:
    """Whether UDP passes: not, when all that is said goes over streams."""
    if gateway is not None:
        return False
    if flows:
        return any(not is_synthetic(flow.address[0]) for flow in flows)
    return True if seen_as is not None else None


def supernode_facts(flows: Sequence[Flow], links: StreamLinks, gateway: Gateway | None) -> tuple[SupernodeFacts, ...]:
    """The super-nodes that this node is attached to; with a gateway all the others are reached through that one."""
    found = []
    through = "" if gateway is None else f"{_transport(links, gateway[1])} through {short_name(gateway[0])}"
    for flow in flows:
        peer = links.peer_of(flow.address) if is_synthetic(flow.address[0]) else None
        host, port, transport = peer if peer is not None else (*flow.address, through or "udp")
        milliseconds = 1_000 * flow.rtt if flow.rtt else None
        found.append(SupernodeFacts(short_name(flow.node_key), address_text((host, port)), transport, milliseconds))
    return tuple(found)


def relay_facts(relays: Sequence[dict[str, Any]], links: StreamLinks) -> list[dict[str, Any]]:
    """Our relays (`MediaService.relays`), each with where it really is: a stream has an address of its own in this node."""
    streams = {address_text(address): links.peer_of(address) for address in links.addresses}
    found = []
    for relay in relays:
        peer = streams.get(relay["server"])
        really = {} if peer is None else {"server": address_text(peer[:2]), "transport": peer[2]}
        found.append({**relay, **really})
    return found


def _transport(links: StreamLinks, address: Address) -> str:
    peer = links.peer_of(address)
    return "tcp" if peer is None else peer[2]


def mapped_ports(mapper: PortMapper | None) -> tuple[MappedPort, ...]:
    """What the router forwards to this node by itself."""
    named = [] if mapper is None else [("udp", mapper.mapping), ("tcp", mapper.tcp_mapping)]
    return tuple(MappedPort(each.protocol, transport, *each.external) for transport, each in named if each is not None)


def volunteering_facts(supernode: SuperNode | None, settings: RelaySettings, clients: int) -> VolunteeringFacts | None:
    """What this node does for others; None when it does not volunteer."""
    if supernode is None:
        return None
    figures = {} if supernode.turn is None else supernode.turn.statistics()
    coturn = None if settings.coturn_host is None else address_text((settings.coturn_host, settings.coturn_port))
    return VolunteeringFacts(
        clients=clients,
        allocations=figures.get("allocations", 0),
        allocations_max=settings.allocations_max,
        gigabytes_this_month=figures.get("month_bytes", 0) / BYTES_PER_GIGABYTE,
        gigabytes_per_month_max=settings.gigabytes_per_month_max,
        megabits_max=settings.megabits_max,
        draining=supernode.is_draining,
        coturn=coturn,
    )
