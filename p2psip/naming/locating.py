"""From the host of a SIP URI to addresses, ports and transports, in the order to try them: RFC 3263 §4, as an inquiry.

The name that a certificate must show is always the host of the URI, never a name that the DNS gave for it (RFC 5922).
Both families of addresses are asked for (RFC 7984).
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from p2psip.base.chance import Chance
from p2psip.naming.naptr import sorted_naptrs
from p2psip.naming.questions import Answer, Inquiry, Naptr, Outcome, Question, Srv, is_host_name
from p2psip.naming.routing import Hop, Transport
from p2psip.naming.srv import is_absent, ordered_srvs

HOPS_MAX = 16
TARGETS_MAX = 12
SERVICES_MAX = 6

Family = Literal["AAAA", "A"]

DEFAULT_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_PREFIXES: dict[Transport, str] = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_NAPTR_SERVICES: dict[str, Transport] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}
_WORST: tuple[Outcome, ...] = ("bogus", "timeout", "lame", "refused", "failed", "unreadable", "no data", "no such name")


@dataclass(frozen=True, slots=True)
class Destination:
    """What is to be found: the parts of a SIP URI that RFC 3263 goes by. `host` is `maddr` where the URI has one."""

    host: str
    port: int | None = None
    transport: str | None = None
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """What we can send over: transports, the preferred one first, and families of addresses, likewise."""

    transports: tuple[Transport, ...] = ("udp", "tcp")
    families: tuple[Family, ...] = ("AAAA", "A")


@dataclass(frozen=True, slots=True)
class Located:
    """The hops in the order to try them, how they were found, and, where there are none, the outcome that explains it."""

    hops: tuple[Hop, ...]
    trail: tuple[str, ...]
    outcome: Outcome = "found"

    @property
    def is_definite(self) -> bool:
        """Whether the DNS has answered: then there is nothing where there are no hops."""
        return self.outcome in ("found", "no data", "no such name")


@dataclass(frozen=True, slots=True)
class _Server:
    """A name or address, with all that is known but its address."""

    transport: Transport
    name: str
    port: int


def locate(destination: Destination, reach: Reach, chance: Chance) -> Inquiry[Located]:
    """Find the servers of `destination`; an empty result says why in its trail, it raises nothing."""
    return (yield from _Locating(destination, reach, chance).run())


class _Locating:
    """One inquiry."""

    def __init__(self, destination: Destination, reach: Reach, chance: Chance) -> None:
        self._host = destination.host.lower().strip("[]").rstrip(".")
        self._destination = destination
        self._reach = reach
        self._chance = chance
        self._trail: list[str] = []
        self._outcomes: list[Outcome] = []

    def run(self) -> Inquiry[Located]:
        """RFC 3263 §4.1, then §4.2."""
        destination = self._destination
        transport = self._chosen()
        if transport is not None and transport not in self._usable():
            return self._nothing(self._why_unusable(transport))
        is_address = _is_address(self._host)
        if not is_address and not is_host_name(self._host):
            return self._nothing(f"{self._host[:80]!r} is no host name")
        if is_address or destination.port is not None:
            transport = transport or self._default()
            if transport is None:
                return self._nothing("a sips URI needs TLS, and this node does not send over TLS")
            return (yield from self._addresses([self._direct(transport)]))
        if transport is None:
            return (yield from self._by_naptr())
        self._trail.append(f"the URI names the transport {destination.transport}: no NAPTR is asked for")
        return (yield from self._by_srv((transport,), transport))

    def _chosen(self) -> Transport | None:
        """The transport that the URI names; a sips URI turns TCP into TLS (RFC 3261 §26.2.2). "ws" etc. are unusable."""
        named = (self._destination.transport or "").lower()
        if not named:
            return None
        if named == "tls" or (named == "tcp" and self._destination.secure):
            return "tls"
        return "udp" if named == "udp" else "tcp" if named == "tcp" else "ws"

    def _usable(self) -> tuple[Transport, ...]:
        ours = tuple([transport for transport in self._reach.transports if transport in DEFAULT_PORTS])
        return tuple([each for each in ours if each == "tls"]) if self._destination.secure else ours

    def _why_unusable(self, transport: Transport) -> str:
        named = self._destination.transport
        if self._destination.secure and transport != "tls":
            return f"a sips URI cannot be sent over {named}"
        return f"this node does not send over {named}"

    def _default(self) -> Transport | None:
        """UDP, or TLS for a sips URI (§4.1); TCP where we have no UDP."""
        return next((each for each in ("udp", "tcp", "tls") if each in self._usable()), None)

    def _direct(self, transport: Transport) -> _Server:
        port = self._destination.port
        return _Server(transport, self._host, DEFAULT_PORTS[transport] if port is None else port)

    def _by_naptr(self) -> Inquiry[Located]:
        """§4.1: NAPTR, else SRV for every transport that we have, else the addresses of the host."""
        (answer,) = yield (Question(self._host, "NAPTR"),)
        self._trail.append(f"NAPTR of {self._host}: {answer}")
        if answer.outcome in ("bogus", "timeout"):  # whoever does not answer this will not answer what follows either
            return self._nothing(None, answer.outcome)
        services = [service for service in map(self._service, sorted_naptrs(answer.naptrs)) if service is not None]
        if services:
            servers = yield from self._servers(tuple(dict.fromkeys(services))[:SERVICES_MAX])
            if servers is None:
                return self._nothing(None)
            if servers:
                return (yield from self._addresses(servers))
        default = None if services or answer.naptrs else self._default()
        return (yield from self._by_srv(self._usable(), default))

    def _service(self, rule: Naptr) -> tuple[Transport, str] | None:
        transport = _NAPTR_SERVICES.get(rule.services.lower())
        place = f"NAPTR {rule.order}/{rule.preference} {rule.services[:24]}"
        if transport is None:
            self._trail.append(f"{place}: passed over, no service of ours")
        elif transport not in self._usable():
            self._trail.append(
                f"{place}: passed over, {'the URI wants TLS' if self._wants_tls else 'no transport of ours'}"
            )
        elif rule.flags.lower() != "s" or rule.regexp or not is_host_name(rule.replacement):
            self._trail.append(f"{place}: passed over, it does not lead to an SRV record (RFC 3263 §4.1)")
        else:
            self._trail.append(f"{place}: {transport} by {rule.replacement}")
            return transport, rule.replacement.lower()
        return None

    @property
    def _wants_tls(self) -> bool:
        return self._destination.secure

    def _by_srv(self, transports: tuple[Transport, ...], default: Transport | None) -> Inquiry[Located]:
        """SRV of the host for each transport; without any, its addresses over `default`."""
        servers = yield from self._servers(tuple([(each, _SRV_PREFIXES[each] + self._host) for each in transports]))
        if servers is None:
            return self._nothing(None)
        if not servers and default is None:
            return self._nothing("no server for a transport of ours is named")
        return (yield from self._addresses(servers or [self._direct(default or "udp")]))

    def _servers(self, services: tuple[tuple[Transport, str], ...]) -> Inquiry[list[_Server] | None]:
        """All servers of these services, in order; None when going on to addresses would be wrong."""
        answers = yield tuple([Question(name, "SRV") for _transport, name in services])
        servers: list[_Server] = []
        is_closed = False
        for (transport, name), answer in zip(services, answers, strict=True):
            self._trail.append(f"SRV {name}: {answer}" + ("" if answer.outcome != "found" else f", {len(answer.srvs)}"))
            if is_absent(answer.srvs):
                self._trail[-1] += ": there is decidedly no such service (RFC 2782)"
                is_closed = True
                continue
            if not answer.is_definite:
                self._outcomes.append(answer.outcome)
            ordered = ordered_srvs([each for each in answer.srvs if _is_usable(each)], self._chance)
            servers += [_Server(transport, each.target, each.port) for each in ordered]
        is_unknown = bool(self._outcomes)
        return None if not servers and (is_closed or is_unknown) else servers

    def _addresses(self, servers: list[_Server]) -> Inquiry[Located]:
        """A and AAAA of each server (§4.2)."""
        if len({server.name for server in servers}) > TARGETS_MAX:
            kept = list(dict.fromkeys([server.name for server in servers]))[:TARGETS_MAX]
            servers = [server for server in servers if server.name in kept]
            self._trail.append(f"more than {TARGETS_MAX} servers: the others are left out")
        names = list(dict.fromkeys([server.name for server in servers if not _is_address(server.name)]))
        questions = tuple([Question(name, family) for name in names for family in self._reach.families])
        answers = (yield questions) if questions else ()
        known: dict[Question, Answer] = dict(zip(questions, answers, strict=True))
        for question, answer in known.items():
            said = ", ".join(answer.addresses) if answer.addresses else str(answer)
            self._trail.append(f"{question.kind} of {question.name}: {said}")
            if not answer.is_definite:
                self._outcomes.append(answer.outcome)
        hops = [hop for server in servers for hop in self._hops(server, known)]
        if not hops:
            outcomes: list[Outcome] = self._outcomes or [answer.outcome for answer in known.values()]
            return self._nothing(None, _worst(outcomes))
        return Located(tuple(dict.fromkeys(hops))[:HOPS_MAX], tuple(self._trail))

    def _hops(self, server: _Server, known: dict[Question, Answer]) -> list[Hop]:
        if _is_address(server.name):
            return [Hop(server.transport, (server.name, server.port), self._host)]
        answers = [known[Question(server.name, family)] for family in self._reach.families]
        return [
            Hop(server.transport, (address, server.port), self._host) for each in answers for address in each.addresses
        ]

    def _nothing(self, words: str | None, outcome: Outcome | None = None) -> Located:
        if words is not None:
            self._trail.append(words)
        return Located((), tuple(self._trail), outcome or _worst(self._outcomes))


def _is_usable(record: Srv) -> bool:
    return record.port > 0 and is_host_name(record.target)


def _worst(outcomes: list[Outcome]) -> Outcome:
    return next((outcome for outcome in _WORST if outcome in outcomes), "no data")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
