"""What an ICE agent says, and where it stands."""

import enum
from dataclasses import dataclass

from media.ice.candidates import Way
from p2psip.base.core import Transmit as Datagram


class State(enum.Enum):
    """Where the agent stands; the table is at the top of `media/ice/agent.py`."""

    GATHERED = "gathered"
    CHECKING = "checking"
    CONNECTED = "connected"
    FAILED = "failed"


@dataclass(slots=True)
class Transmit(Datagram):
    """One datagram that goes a way: from the port, as any driver sends it, or through a relay of ours if there are any."""

    destination: Way  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Selected:
    """Media goes to `remote` from now on; `nominated` says whether ICE has concluded on it."""

    remote: Way
    nominated: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no path, or no longer one; `reason` is a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """All ways that were known are dead. Checks go on until consent runs out; new candidates (a restart) may help."""


Output = Transmit | Selected | Failed | Stalled
