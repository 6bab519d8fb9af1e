"""Super-nodes of a swarm: how many clients and allocations each takes, and what it announces of that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from overlay.crossing import Volunteering
from overlay.relay_record import Announcement, uptime_class_of
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.grants import Grant, TurnServer, make_grant
from simulations.nodes import Node

if TYPE_CHECKING:
    from simulations.swarm import Swarm

GRANT_SECONDS = 3_600


@dataclass(slots=True)
class SuperNodeLimits:
    """`clients_max`: flows that a super-node keeps; `allocations_max`: TURN allocations that it announces when it is empty."""

    clients_max: int = 100
    allocations_max: int = 100


def volunteering(node: Node, swarm: "Swarm") -> Volunteering:
    """What makes this node a super-node. No media flows in a swarm: its capacity goes down with the flows that it keeps."""
    limits, world, secret = swarm.limits, swarm.world, swarm.chance.child(f"turn {node.number}").bytes(32)

    def announcement() -> Announcement:
        relaying = node.core.peer.crossing.relaying
        kept = 0 if relaying is None else len(relaying)
        capacity = max(0, limits.allocations_max - kept * limits.allocations_max // max(1, limits.clients_max))
        uptime = uptime_class_of(world.now - node.started_at)
        return Announcement(node.key, (node.endpoint.address,), capacity=capacity, uptime_class=uptime)

    def grants(certificate: DeviceCertificate, unix: float) -> Grant:
        servers = (TurnServer("udp", node.endpoint.address),)
        return make_grant(secret, certificate.node_id.hex(), swarm.enrolment.overlay, unix, GRANT_SECONDS, servers)

    return Volunteering(grants=grants, announcement=announcement, clients_max=limits.clients_max)
