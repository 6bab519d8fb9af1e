"""What a TURN client is told, and what it tells: credentials, addresses, data of peers, the end (`media/turn/client.py`)."""

import enum
from dataclasses import dataclass

from p2psip.base.core import Address


class State(enum.Enum):
    """Where the allocation stands; the table is in `media/turn/client.py`."""

    ALLOCATING = "allocating"
    READY = "ready"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: a user name and password (`p2psip/base/grants.py`), and the realm that is expected."""

    username: str
    password: str
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Allocated:
    """There is a relayed address, and perhaps one of the other family; `mapped` is where the server sees us."""

    relayed: Address
    mapped: Address
    other: Address | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A peer's datagram, come through the server."""

    peer: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The allocation is gone. `forgotten`: the server lives and does not know it, so that another may be asked for at once."""

    reason: str
    forgotten: bool = False
