"""Where this node can be reached for media (RFC 8445 §5.1.1), and what a way passes, for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import ifaddr

from media.ice.candidates import Candidate, Pair, Way, local_candidate, relay_of
from media.relays import RelayPool
from p2psip.base.core import Address, address_text

REFLEXIVE_PER_HOST_MAX = 2
"""A mapped port and one that was seen; a NAT with address-dependent mapping shows a useless one to each peer besides."""

_LOOPBACK = ("127.0.0.1", "::1")


def gather(bound: Sequence[Address], reflexive: Sequence[Address]) -> list[Candidate]:
    """Candidates for the port: each address of this machine, then those that others see it at."""
    found: list[Candidate] = []
    texts = [
        (host, number, preference, text) for host, number in bound for preference, text in enumerate(_addresses(host))
    ]
    is_alone = all(text in _LOOPBACK for *_, text in texts)
    for _host, number, preference, text in texts:
        if is_alone or text not in _LOOPBACK:
            found.append(local_candidate("host", (text, number), (text, number), 65_535 - preference))
    known = {(each.host, each.port) for each in found}
    outer = Counter[str]()
    for address in reflexive:
        base = next((each for each in found if (":" in each.host) == (":" in address[0])), None)
        if base is not None and address not in known and outer[address[0]] < REFLEXIVE_PER_HOST_MAX:
            outer[address[0]] += 1
            found.append(local_candidate("srflx", address, (base.host, base.port)))
    return found


def path_facts(pair: Pair, way: Way, candidates: Sequence[Candidate], pool: RelayPool) -> dict[str, Any]:
    """What media passes on its way: types of candidates, addresses as the other side sees them, names of our relays."""
    relay = relay_of(pair.local)
    via = [] if relay is None else [pool.name_of(relay)]
    is_remote_relayed = pair.relays > len(via)
    if is_remote_relayed:
        via.append(f"the other side's relay {pair.remote.host}")
    mapped = pair.mapped if relay is None and pair.mapped is not None else (pair.local.host, pair.local.port)
    local = next((each.type for each in candidates if (each.host, each.port) == mapped), "prflx")
    kind = "relayed" if via else "direct"
    return {
        "kind": kind,
        "way": kind,
        "via": via,
        "local": local if relay is None else "relay",
        "remote": "relay" if is_remote_relayed else pair.remote.type,
        "local_address": address_text((mapped[0], mapped[1])),
        "remote_address": address_text((way[0], way[1])),
        "rtt_ms": None if pair.rtt is None else round(pair.rtt * 1_000, 1),
        "transport": "udp" if relay is None else pool.transport_of(relay),
    }


def _addresses(host: str) -> list[str]:
    """The addresses behind a bound one: itself, or for a wildcard every usable address of this machine."""
    if host not in ("0.0.0.0", "::"):
        return [host]
    wanted = 6 if host == "::" else 4
    texts = [
        str(ip.ip[0] if ip.is_IPv6 else ip.ip)
        for card in ifaddr.get_adapters()
        for ip in card.ips
        if (6 if ip.is_IPv6 else 4) == wanted
    ]
    usable = [text for text in texts if not text.startswith(("127.", "::1", "fe80", "169.254."))]
    return usable or [text for text in texts if text in _LOOPBACK]
