"""The open SIP world, before the public door of a node of `tests/calls/world.py`."""

from collections.abc import Mapping

from p2psip.calls.admission import AdmissionLimits
from p2psip.calls.strangers import DomainDoor, Strangers
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from tests.calls.fakes import OVERLAY_NAME
from tests.calls.world import Node, Phone, World

PUBLIC_PORT = 5062
DOMAIN = "people.example"
PEOPLE = {"alice": "alice@home.example", "1001": "1001@home.example"}
OFTEN = AdmissionLimits(10, 10, 6_000.0, 600.0)


def open_door(
    w: World,
    node: Node,
    limits: AdmissionLimits = OFTEN,
    ringing_seconds_max: float = 60.0,
    people: Mapping[str, str] = PEOPLE,
) -> Strangers:
    """Open the public door of a node."""
    door = DomainDoor(DOMAIN, people, limits, ringing_seconds_max)
    strangers = Strangers(door, node.server._equipment, node.server._carry)
    node.server.strangers = strangers
    node.sip.gate, node.sip.on_malformed = strangers.hears, strangers.note_malformed
    strangers.open(PUBLIC_PORT)
    node.sip.distrust(PUBLIC_PORT)
    w.network.services[node.sip.address[0], PUBLIC_PORT] = node.sip
    return strangers


class Stranger(Phone):
    """A user agent of elsewhere, at the public door."""

    def request(self, method: str, uri: str, *, to: str | None = None, **more: object) -> Request:
        request = super().request(method, uri, to=to, **more)
        request.headers.set("From", f'"Mallory" <sip:{self.name}@elsewhere.example>;tag=s{self.cseq}')
        return request

    async def first(self, request: Request) -> Response:
        return await self.sip.start(request, self.flow).final_response()


async def stranger(w: World, node: Node, port: int = 7000, host: str = "198.51.100.7") -> Stranger:
    """Somebody of elsewhere."""
    found = Stranger(w, node, "mallory", port)
    found.sip.address = (host, port)
    w.network.services[found.sip.address] = found.sip
    found.flow = Flow("udp", found.sip.address, (node.sip.address[0], PUBLIC_PORT))
    await w.nursery.start(found.sip.run)
    return found


async def ask_over_the_overlay(
    w: World, source: Node, target: Node, from_: str, method: str = "INVITE", user: str = "bob"
) -> Response:
    """What `target` answers to a request that the node `source` makes up."""
    phone = await w.phone(source, "alice", 6900, registered=False)
    request = phone.invitation(f"sip:{user}@{OVERLAY_NAME}", b"")
    request.method = method
    request.headers.set("CSeq", f"1 {method}")
    request.headers.set("From", f"{from_};tag=x")
    flow = source.sip.overlay_flow(target.sip.node_id)
    return await source.sip.start(request, flow).final_response()
