"""How a sealed frame leaves this node: as a datagram, through a super-node, or through a gateway for lack of a direct way."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from overlay.forgetting import forget_one
from overlay.frame import FrameBox
from overlay.via import is_via, make_relay, make_relay_to_address, via_address
from p2psip.base.core import Address, Transmit, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import node_id_of

VIAS_MAX = 4_096
HOPS_MAX = 3
"""A frame crosses two super-nodes at most: a gateway, and the rendezvous of the node that it is for."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The super-node through which frames go to addresses of other families than `families` (4, 6), which we reach ourselves."""

    node_key: bytes
    address: Address
    families: frozenset[int] = frozenset()


class Paths:
    """Seals payloads and finds the way out. `own_flow(node_id)`: the address of a node attached to us, if we are a super-node."""

    __slots__ = ("_box", "_own_flow", "_own_key", "_transmit", "_vias", "dropped", "gateways")

    def __init__(
        self,
        own_key: bytes,
        box: FrameBox,
        transmit: Callable[[Transmit], None],
        own_flow: Callable[[bytes], Address | None],
    ) -> None:
        self.gateways: dict[bytes, Gateway] = {}
        self.dropped = 0
        self._own_key = own_key
        self._box = box
        self._transmit = transmit
        self._own_flow = own_flow
        self._vias: OrderedDict[Address, tuple[bytes, Address]] = OrderedDict()

    def __len__(self) -> int:
        """How many super-nodes are known as ways (at most VIAS_MAX)."""
        return len(self._vias)

    @property
    def gateway(self) -> Gateway | None:
        """The one that frames go through: the first; the others are spare, but what is for them goes to them straight."""
        return next(iter(self.gateways.values()), None)

    def via(self, node_key: bytes, address: Address) -> Address:
        """The way through the super-node that is at `address`."""
        way = via_address(node_key)
        self._vias[way] = node_key, address
        self._vias.move_to_end(way)
        if len(self._vias) > VIAS_MAX:
            forget_one(self._vias, lambda known: self._box.is_member(self._vias[known][0]))
        return way

    def hop(self, way: Address) -> tuple[bytes, Address] | None:
        """The node key and address of the super-node that a via address stands for."""
        return self._vias.get(way)

    def send(self, node_key: bytes, address: Address, payload: bytes, *, is_last: bool = False) -> None:
        """Seal a payload for a node and send it. LocalError when too large; RemoteError when the key is none.

        `is_last` when we pass on what others have sent: no further super-node is to do so.
        """
        frame = self._box.seal(node_key, payload)
        if self.gateways or is_synthetic(address[0]):
            self.forward(node_key, address, frame, is_last=is_last)
        else:
            self._transmit(Transmit(frame, address))

    def seal(self, node_key: bytes, payload: bytes) -> bytes:
        """A frame for this node, to be forwarded over several ways: the receiver takes one of its copies."""
        return self._box.seal(node_key, payload)

    def forward(self, node_key: bytes, address: Address, frame: bytes, *, is_last: bool = False) -> None:
        """Send a sealed frame for a node over one way; what no way is known for is dropped and counted."""
        try:
            for _hop in range(HOPS_MAX):
                gateway = self.gateway
                if (straight := self.gateways.get(node_key)) is not None:
                    address = straight.address
                if is_via(address):
                    step = self._through(node_key, address, frame, is_last)
                elif gateway is not None and self._needs_gateway(gateway, address):
                    payload = make_relay_to_address(node_key, address, frame)
                    step = gateway.node_key, gateway.address, self._box.seal(gateway.node_key, payload)
                else:
                    self._transmit(Transmit(frame, address))
                    return
                if step is None:
                    break
                node_key, address, frame = step
        except (LocalError, RemoteError):
            pass
        self.dropped += 1

    def _through(
        self, node_key: bytes, way: Address, frame: bytes, is_last: bool
    ) -> tuple[bytes, Address, bytes] | None:
        hop = self._vias.get(way)
        if hop is None:
            return None
        if hop[0] == self._own_key:
            flow = self._own_flow(node_id_of(node_key))
            return None if flow is None else (node_key, flow, frame)
        return hop[0], hop[1], self._box.seal(hop[0], make_relay(node_id_of(node_key), frame, is_last=is_last))

    @staticmethod
    def _needs_gateway(gateway: Gateway, address: Address) -> bool:
        if address == gateway.address or is_synthetic(address[0]):
            return False
        return (6 if ":" in address[0] else 4) not in gateway.families
