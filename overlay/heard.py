"""Where nodes were heard from: the address of the newest authentic frame of each."""

from collections.abc import Callable

from overlay.forgetting import forget_one
from p2psip.base.core import Address

ADDRESSES_MAX = 4_096
HEARD_SECONDS_MAX = 10.0


class HeardAddresses:
    """The addresses of the ADDRESSES_MAX nodes heard from last; those that `is_member` knows are forgotten after others."""

    __slots__ = ("_heard", "is_member")

    def __init__(self) -> None:
        self.is_member: Callable[[bytes], bool] = lambda _key: False
        self._heard: dict[bytes, tuple[Address, float]] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def note(self, node_key: bytes, address: Address, now: float) -> None:
        """A frame of this node came from there, or we were told that it lives there."""
        heard = self._heard
        heard.pop(node_key, None)
        heard[node_key] = address, now
        if len(heard) > ADDRESSES_MAX:
            forget_one(heard, self.is_member)

    def get(self, node_key: bytes) -> Address | None:
        """Where it was heard from last."""
        heard = self._heard.get(node_key)
        return None if heard is None else heard[0]

    def is_fresh(self, node_key: bytes, now: float) -> bool:
        """Whether it was heard within HEARD_SECONDS_MAX: else a registration knows better, for the node may have moved."""
        heard = self._heard.get(node_key)
        return heard is not None and now - heard[1] < HEARD_SECONDS_MAX
