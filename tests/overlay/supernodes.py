"""Super-nodes for the world of the tests: volunteers that announce themselves, and clients that attach to them."""

from overlay.crossing import Volunteering
from overlay.events import MessageArrived
from overlay.records import RELAY, make_record
from overlay.registration import Registration, Rendezvous, encode_registration
from overlay.relay_record import Announcement, announcement_keys, encode_announcement
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.grants import Grant, TurnServer, make_grant
from tests.overlay.nats import Nat
from tests.overlay.world import Node, World

SECRET = b"the secret of a relay server"


def volunteer(world: World, node: Node, *, capacity: int = 50, clients_max: int = 100, **fields: object) -> None:
    """The node is a super-node from now on, and its announcement stands in the overlay."""
    told = Announcement(
        node.key,
        tuple(address for address in (node.address, node.other_address) if address is not None),
        capacity=capacity,
        draining=bool(fields.get("draining")),
    )

    def grants(certificate: DeviceCertificate, unix: float) -> Grant:
        servers = (TurnServer("udp", node.address),)
        return make_grant(SECRET, certificate.node_id.hex(), world.town.overlay, unix, 600, servers)

    allows_private = bool(fields.get("allows_private", True))
    node.peer.crossing.volunteer(Volunteering(grants, lambda: told, clients_max, allows_private))
    announce(world, node, told, sequence=int(str(fields.get("sequence", 1))))


def announce(world: World, node: Node, told: Announcement, *, sequence: int = 1, seconds: int = 600) -> None:
    """Store an announcement at the places of this node."""
    for key in announcement_keys(world.town.overlay, node.device.node_key.node_id):
        record = make_record(
            RELAY,
            key,
            encode_announcement(told),
            certificate=node.device.certificate,
            signing_key=node.device.signing_key,
            sequence=sequence,
            expiry=int(world.unix) + seconds,
        )
        world.store(node, record)


def attached(world: World, node: Node, flows: int = 3) -> None:
    """Wait until the client has flows to so many super-nodes."""
    assert world.run_until(lambda: len(node.peer.crossing.rendezvous.flows) == flows, 20), "no rendezvous"


def rendezvous(node: Node) -> tuple[Rendezvous, ...]:
    """What the node's registration says."""
    return tuple(Rendezvous(flow.node_key, flow.address) for flow in node.peer.crossing.rendezvous.flows)


def flows_of(node: Node) -> set[bytes]:
    """The super-nodes that a client is attached to."""
    return {flow.node_key for flow in node.peer.crossing.rendezvous.flows}


def publish(world: World, node: Node) -> bytes:
    """Store the registration of a client; its body."""
    body = encode_registration(Registration(node.key, (), rendezvous(node)))
    world.sequence += 1
    record = node.device.record(world.sequence, expiry=int(world.unix) + 600, body=body)
    assert world.store(node, record).holders > 0
    return body


def say(world: World, node: Node, other: Node, data: bytes) -> None:
    """Say something over the ways of the other's rendezvous."""
    node.peer.say(other.key, rendezvous(other), data, world.now)
    world.pump(node)


def heard(node: Node) -> list[bytes]:
    """What the node was told, in order."""
    return [event.data for event in node.events if isinstance(event, MessageArrived)]


def town(seed: int, *nats: Nat, peers: int = 12, volunteers: int = 5) -> tuple[World, list[Node], list[Node]]:
    """A world with super-nodes among its peers, and clients behind these NATs that are attached to three of them."""
    world = World(seed)
    world.populate(peers)
    supernodes = world.nodes[1 : 1 + volunteers]
    for node in supernodes:
        volunteer(world, node)
    clients = []
    for number, nat in enumerate(nats):
        client = world.add(f"client{number}", nat=nat)
        world.join(client, world.nodes[0])
        attached(world, client)
        clients.append(client)
    return world, supernodes, clients
