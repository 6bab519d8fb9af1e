"""What is told of how a node stands: its reachability in plain words, and how full its tables are."""

from dataclasses import dataclass
from typing import Any

from overlay.peer import Peer
from overlay.reachability import Filtering, Mapping, Role, Verdict
from p2psip.base.core import address_text

_MAPPINGS = {
    Mapping.NONE: "no NAT: others see an address of this node's own",
    Mapping.ENDPOINT_INDEPENDENT: "a NAT that gives this node one outer address for everybody (endpoint-independent mapping)",
    Mapping.DEPENDENT: "a NAT that gives this node another outer address for each other side (address-dependent mapping)",
    Mapping.UNKNOWN: "not known yet",
}
_FILTERINGS = {
    Filtering.ENDPOINT_INDEPENDENT: "anybody gets through (endpoint-independent filtering)",
    Filtering.ADDRESS_DEPENDENT: "only hosts get through that this node has sent to (address-dependent filtering)",
    Filtering.ADDRESS_AND_PORT_DEPENDENT: "only the very ports get through that this node has sent to"
    " (address- and port-dependent filtering)",
    Filtering.UNKNOWN: "not known yet",
}
_ROLES = {
    Role.PEER: "peer: others can reach this node, and it holds records for them",
    Role.CLIENT: "client: others reach this node only through super-nodes",
}


def verdict_in_words(verdict: Verdict) -> dict[str, Any]:
    """The verdict as facts for the command line, the terms of RFC 5780 beside plain words."""
    return {
        "role": _ROLES[verdict.role],
        "mapping": _MAPPINGS[verdict.mapping],
        "filtering": _FILTERINGS[verdict.filtering],
        "outer_address": None if verdict.address is None else address_text(verdict.address),
        "proved": "yes: a host that this node had sent nothing to got through" if verdict.proved else "no",
    }


@dataclass(frozen=True, slots=True)
class TableSizes:
    """How many entries the tables hold that others can fill: each has a bound (`..._MAX`) in its own module."""

    keys: int
    members: int
    requests: int
    lookups: int
    routes: int


def table_sizes(peer: Peer) -> TableSizes:
    """Of this node, now."""
    return TableSizes(
        keys=len(peer._box),
        members=len(peer._members),
        requests=len(peer._requests),
        lookups=len(peer._searches),
        routes=len(peer.crossing.routes),
    )
