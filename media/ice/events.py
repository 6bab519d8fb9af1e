"""What an ICE agent says, and where it stands."""

import enum
from dataclasses import dataclass

from p2psip.base.core import Address, Transmit


class State(enum.Enum):
    """Where the agent stands; the table is at the top of `media/ice/agent.py`."""

    GATHERED = "gathered"
    CHECKING = "checking"
    CONNECTED = "connected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Selected:
    """Media goes to `remote` from now on; `nominated` says whether ICE has concluded on it."""

    remote: Address
    nominated: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no path, or no longer one; `reason` is a sentence."""

    reason: str


Output = Transmit | Selected | Failed
