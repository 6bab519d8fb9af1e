"""Where nodes were heard from: the address of the newest authentic frame of each, which stands beside the keys of that node."""

from typing import Protocol

from p2psip.base.core import Address

HEARD_SECONDS_MAX = 10.0


class HeardFrom(Protocol):
    """What is remembered of a node in its place in a `FrameBox`: where its newest frame came from, and when."""

    address: Address | None
    heard_at: float


class Frames(Protocol):
    """Knows the nodes whose frames were opened."""

    def peer(self, node_key: bytes) -> HeardFrom | None:
        """The node, or None if it is not remembered."""


class HeardAddresses:
    """The addresses of the nodes that `frames` remembers."""

    __slots__ = ("_frames",)

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def get(self, node_key: bytes) -> Address | None:
        """Where it was heard from last."""
        peer = self._frames.peer(node_key)
        return None if peer is None else peer.address

    def is_fresh(self, node_key: bytes, now: float) -> bool:
        """Whether it was heard within HEARD_SECONDS_MAX: else a registration knows better, for the node may have moved."""
        peer = self._frames.peer(node_key)
        return peer is not None and peer.address is not None and now - peer.heard_at < HEARD_SECONDS_MAX
