"""What a doctor says of a node: facts in, findings in plain words out. Pure; `p2psip.app.examination` gathers the facts.

The words for NATs are those of RFC 4787 with the older names beside them, as routers and forums still use these.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from p2psip.base.core import address_text

SUPERNODES_WANTED = 3
FAR_MILLISECONDS = 150.0
_INNER = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "100.64.0.0/10",  # RFC 6598: behind a provider's NAT
        *("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10", "fc00::/7"),
    )
)

Severity = Literal["good", "note", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class SupernodeFacts:
    """A super-node that this node is attached to, by udp, tcp or tls (and through whom); the distance is a round trip."""

    name: str
    address: str
    transport: str
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class MappedPort:
    """A port that the router forwards by itself: the protocol that asked for it, and the outer address."""

    method: str
    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class VolunteeringFacts:
    """What this node does for others at present, and its limits."""

    clients: int
    allocations: int
    allocations_max: int
    gigabytes_this_month: float
    gigabytes_per_month_max: float
    megabits_max: float
    draining: bool = False
    coturn: str | None = None


@dataclass(frozen=True, slots=True)
class CallCheckFacts:
    """Whether somebody outside reached this node by its published registration; `callable` None: nobody could try."""

    callable: bool | None
    words: str = ""
    milliseconds: float | None = None
    is_unregistered: bool = False


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """All that the doctor looks at. `role`, `mapping` and `filtering` are the names of the overlay's enumerations in lower case.

    `seen_as` is the address that others see, `local` are this machine's own ones, `udp` is None while nobody has answered.
    `clock` is the time that the node goes by (UTC), `clock_words` what is wrong with the machine's own. `router` is the router's
    own outer address, `router_said` a sentence on what came of asking it for a port.
    """

    overlay: str
    addresses: tuple[str, ...]
    role: str
    mapping: str
    filtering: str
    proved: bool
    seen_as: tuple[str, int] | None
    local: tuple[tuple[str, int], ...]
    port: int
    peers: int
    phones: int
    published: bool
    udp: bool | None
    call_check: CallCheckFacts
    clock: str = ""
    clock_words: str = ""
    port_mapping_wanted: bool = True
    mapped: tuple[MappedPort, ...] = ()
    router: str | None = None
    router_said: str = ""
    supernodes: tuple[SupernodeFacts, ...] = ()
    supernodes_known: int = 0
    volunteering: VolunteeringFacts | None = None

    @property
    def is_client(self) -> bool:
        """Whether others reach this node through super-nodes only."""
        return self.role == "client"

    @property
    def is_behind_carrier(self) -> bool:
        """Whether a second NAT, the provider's, is in the way: the router's own outer address is not what others see."""
        outer = [each.host for each in self.mapped if each.host] + ([self.router] if self.router else [])
        if any(_is_inner(host) for host in outer):
            return True
        return (
            self.seen_as is not None
            and any(_same_family(host, self.seen_as[0]) for host in outer)
            and (self.seen_as[0] not in outer)
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `advice` is what to do about it, empty when there is nothing to do."""

    topic: str
    severity: Severity
    sentence: str
    advice: str = ""


def can_be_called(facts: DoctorFacts) -> bool:
    """Whether a call would arrive now: as tested, or by all signs when nobody could test."""
    if not facts.published or not facts.phones or not facts.peers:
        return False
    if facts.call_check.callable is not None:
        return facts.call_check.callable
    return bool(facts.supernodes) if facts.is_client else True


def findings(facts: DoctorFacts) -> tuple[Finding, ...]:
    """All findings: first whether the node can be called, then why."""
    found = [
        _calls(facts),
        _peers(facts),
        _nat(facts),
        _addresses(facts),
        _udp(facts),
        _router(facts),
        _supernodes(facts),
    ]
    found.append(_volunteering(facts))
    if facts.clock_words:
        found.append(Finding("clock", "note", facts.clock_words))
    return tuple(found)


def _calls(facts: DoctorFacts) -> Finding:
    topic, check = "calls", facts.call_check
    if not facts.phones:
        sentence = "This node cannot be called: no phone is registered with it."
        return Finding(topic, "problem", sentence, "Set a phone up with `p2psip phone add` and let it register.")
    if not facts.published:
        sentence = "This node cannot be called: its registration is not in the overlay (yet)."
        return Finding(topic, "problem", sentence, "Wait a few seconds; if that stays so, look into the node's log.")
    who = " and ".join(f"sip:{address}" for address in facts.addresses)
    if check.callable:
        time = "" if check.milliseconds is None else f" in {check.milliseconds:.0f} ms"
        words = f" ({check.words})" if check.words else ""
        return Finding(topic, "good", f"{who} can be called now: somebody outside got through{time}{words}.")
    if check.callable is None:
        words = f": {check.words}" if check.words else ""
        if can_be_called(facts):
            return Finding(topic, "note", f"{who} should be reachable, but nobody outside could test it{words}.")
        return Finding(topic, "problem", f"{who} cannot be called now, and nobody outside could test it{words}.")
    words = check.words or "a test from outside did not get through"
    return Finding(topic, "problem", f"{who} cannot be called now: {words}.", _way_out(facts))


def _way_out(facts: DoctorFacts) -> str:
    if facts.call_check.is_unregistered:
        by_clock = f", which says that it is {facts.clock} UTC" if facts.clock else ""
        return (
            f"Check this machine's clock{by_clock}: when it is wrong by minutes, others refuse what this node stores."
        )
    if facts.is_client:
        return "Calls come through super-nodes here: see what is said of them below."
    return _forward(facts) if facts.mapping != "none" else _open_firewall(facts)


def _peers(facts: DoctorFacts) -> Finding:
    if facts.peers:
        return Finding("overlay", "good", f"{facts.peers} node(s) of {facts.overlay} are known.")
    sentence = f"No other node of {facts.overlay} answers, so that nobody can be found and nobody can find you."
    advice = (
        "Check that this machine is online, that UDP or TCP port 443 may leave it, and that the bootstrap server runs."
    )
    return Finding("overlay", "problem", sentence, advice)


def _nat(facts: DoctorFacts) -> Finding:
    seen = _text(facts.seen_as)
    match facts.mapping, facts.filtering:
        case "none", _ if not facts.is_client:
            return Finding("NAT", "good", f"There is no NAT: others see this machine's own address {seen}.")
        case "none", _:
            sentence = f"There is no NAT, but a firewall before {seen} keeps out what this node has not asked for."
            return Finding("NAT", "note", sentence, _open_firewall(facts))
        case "endpoint_independent", "endpoint_independent":
            kind = "an open NAT (full cone): one outer address for everybody, and anybody gets in"
            return Finding("NAT", "good", f"This is {kind}. Others reach this node at {seen} unasked.")
        case "endpoint_independent", "address_dependent":
            kind = "an address-restricted NAT: one outer address, but only hosts get in that this node has spoken to"
            return Finding("NAT", "note", f"This is {kind}. Calls go directly after a hole is punched; seen as {seen}.")
        case "endpoint_independent", "address_and_port_dependent":
            kind = (
                "a port-restricted NAT: one outer address, but only the very ports get in that this node has spoken to"
            )
            sentence = f"This is {kind}. Calls go directly but to symmetric NATs, which need a relay; seen as {seen}."
            return Finding("NAT", "note", sentence)
        case "endpoint_independent", _:
            sentence = f"This is a NAT with one outer address for everybody, {seen}; whom it lets in is not known."
            return Finding("NAT", "note", sentence)
        case "dependent", _:
            kind = "a symmetric NAT: every other machine sees this node at another port"
            sentence = f"This is {kind}. Calls are relayed, but to nodes that can be reached openly."
            return Finding("NAT", "warning", sentence, _forward(facts))
        case _ if facts.udp is False:
            return Finding("NAT", "note", "What kind of NAT this is cannot be seen while UDP is blocked.")
        case _:
            return Finding(
                "NAT", "note", "What kind of NAT this is is not known yet: too few others have seen this node."
            )


def _addresses(facts: DoctorFacts) -> Finding:
    words = []
    if facts.seen_as is not None:
        proof = (
            "proved from outside"
            if facts.proved
            else "others get no answer there unasked"
            if facts.is_client
            else "not proved"
        )
        words.append(f"seen by others as {_text(facts.seen_as)} ({proof})")
    words += [
        f"{_text((each.host, each.port))}/{each.transport} forwarded by the router ({each.method})"
        for each in facts.mapped
    ]
    own = [host for host, _ in facts.local if not _is_inner(host)]
    sixes = [host for host in own if ":" in host]
    words.append(f"IPv6 {' '.join(sixes)}" if sixes else "no public IPv6")
    words.append(f"UDP port {facts.port} of this machine")
    return Finding("addresses", "good" if facts.seen_as else "note", f"Addresses: {'; '.join(words)}.")


def _udp(facts: DoctorFacts) -> Finding:
    if facts.udp:
        return Finding("UDP", "good", "UDP gets through.")
    if facts.udp is None:
        return Finding("UDP", "note", "Whether UDP gets through is not known: nobody has answered yet.")
    ways = " and ".join(
        sorted({each.transport.split()[0].upper() for each in facts.supernodes if each.transport != "udp"})
    )
    through = (
        f"everything goes over {ways} to a super-node, with more delay" if ways else "and no other way has been found"
    )
    advice = f"Let UDP out of this network (from port {facts.port} to any); calls get direct then."
    return Finding("UDP", "warning", f"UDP is blocked on this network: {through}.", advice)


def _router(facts: DoctorFacts) -> Finding:
    if facts.udp is False:
        return Finding("router", "note", "What the router forwards does not matter while UDP is blocked.")
    if facts.is_behind_carrier:
        sentence = "There is a second NAT behind the router, the provider's (carrier-grade NAT)."
        advice = "No setting of the router helps: ask the provider for a public IPv4 address, or for IPv6. Calls work all the same."
        return Finding("router", "warning" if facts.is_client else "note", sentence, advice if facts.is_client else "")
    if facts.mapped:
        method = facts.mapped[0].method
        if not facts.is_client:
            return Finding(
                "router", "good", f"The router forwards this node's port by itself ({method}): nothing to do."
            )
        sentence = f"The router says that it forwards this node's port ({method}), but nothing comes in from outside."
        return Finding("router", "warning", sentence, f"Look for a second router or a firewall; {_forward(facts)}")
    if not facts.is_client:
        return Finding("router", "good", "Nothing is to be changed on the router.")
    if facts.mapping == "none":
        return Finding("router", "note", "No NAT has to be opened, but a firewall.", _open_firewall(facts))
    if not facts.port_mapping_wanted:
        sentence = "The router was not asked to forward a port: the settings forbid it."
        return Finding(
            "router", "note", sentence, "Set `port_mapping = true` in the section [network] of the settings."
        )
    why = facts.router_said or "it speaks no UPnP, NAT-PMP or PCP"
    sentence = f"The router does not forward a port by itself: {why}. Calls work, some of them relayed."
    return Finding("router", "note", sentence, _forward(facts))


def _supernodes(facts: DoctorFacts) -> Finding:
    topic, used = "super-nodes", facts.supernodes
    if not facts.is_client:
        return Finding(
            topic, "good", f"No super-node is needed ({facts.supernodes_known} known): others reach this node."
        )
    if not used:
        known = f"{facts.supernodes_known} known, none of them answers" if facts.supernodes_known else "none is known"
        sentence = f"This node is reached through super-nodes only, and is attached to none ({known})."
        advice = "Somebody with a public address must volunteer (`[relay] volunteer = true`); wait a minute if one has just begun."
        return Finding(topic, "warning" if can_be_called(facts) else "problem", sentence, advice)
    names = ", ".join(f"{each.name} at {each.address} over {each.transport} {_distance(each)}" for each in used)
    sentence = f"Attached to {len(used)} super-node(s): {names}."
    if len(used) < SUPERNODES_WANTED:
        advice = "More volunteers would make it safer: with fewer than three, calls may be missed for a moment when one dies."
        return Finding(topic, "note" if len(used) > 1 else "warning", sentence, advice)
    if all((each.milliseconds or 0.0) > FAR_MILLISECONDS for each in used):
        return Finding(topic, "note", f"{sentence} All are far away: relayed calls have a delay that can be heard.")
    return Finding(topic, "good", sentence)


def _volunteering(facts: DoctorFacts) -> Finding:
    topic, work = "volunteering", facts.volunteering
    if work is None:
        if facts.is_client or facts.udp is False:
            return Finding(topic, "good", "This node does no work for others, and could not: it is not reached openly.")
        sentence = "This node does no work for others; it could, being reached openly."
        return Finding(
            topic, "good", sentence, "To help, set `volunteer = true` in [relay]; the caps there say what it costs."
        )
    cost = (
        f"{work.clients} node(s) attached, {work.allocations} of {work.allocations_max} relay places in use,"
        f" {work.gigabytes_this_month:.1f} of {work.gigabytes_per_month_max:.0f} GB this month,"
        f" {work.megabits_max:g} Mbit/s at most"
    )
    how = f" by the coturn at {work.coturn}" if work.coturn else ""
    if facts.is_client:
        sentence = f"This node volunteers{how}, but cannot be reached openly, so that nobody can use it."
        return Finding(topic, "warning", sentence, _forward(facts))
    if facts.seen_as is not None and _is_inner(facts.seen_as[0]) and all(_is_inner(host) for host, _ in facts.local):
        sentence = (
            f"This node volunteers{how}, but others see it at the private address {facts.seen_as[0]} only: {cost}."
        )
        advice = (
            "Only nodes of this network can use it, and only with `allow_private_peers = true` in [relay]; "
            "for others, name the public address in `external_hosts`."
        )
        return Finding(topic, "note", sentence, advice)
    if work.draining:
        return Finding(topic, "note", f"This node volunteers{how}, but takes nobody new at present: {cost}.")
    return Finding(topic, "good", f"This node relays for others{how}: {cost}.")


def _forward(facts: DoctorFacts) -> str:
    if facts.is_behind_carrier:
        return "The provider's NAT is in the way: ask the provider for a public IPv4 address, or for IPv6."
    own = (host for host, _ in facts.local if ":" not in host and not host.startswith("127."))
    inner = next(own, "this machine")
    return f"Forward UDP port {facts.port} on the router to {inner}, or switch UPnP (or NAT-PMP, PCP) on there."


def _open_firewall(facts: DoctorFacts) -> str:
    return f"Let UDP port {facts.port} in through the firewall, and calls come directly."


def _distance(supernode: SupernodeFacts) -> str:
    return "(distance not measured)" if supernode.milliseconds is None else f"({supernode.milliseconds:.0f} ms)"


def _is_inner(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in _INNER)


def _same_family(host: str, other: str) -> bool:
    return (":" in host) == (":" in other)


def _text(address: tuple[str, int] | None) -> str:
    return "(not known)" if address is None else address_text(address)
