"""Which of the agents on the one port a STUN datagram is for: requests by user name fragment, responses by destination."""

from media import stun
from media.ice.agent import IceAgent
from p2psip.base.core import Address

AGENTS_MAX = 4_096
_USERNAME = b"\x00\x06"


class AgentDirectory:
    """All agents of a node by their local user name fragment, and by the remote addresses that they have checked."""

    def __init__(self) -> None:
        self._by_ufrag: dict[str, IceAgent] = {}
        self._by_remote: dict[Address, IceAgent] = {}

    def __len__(self) -> int:
        return len(self._by_ufrag)

    def add(self, agent: IceAgent) -> bool:
        """Register an agent; False when there are AGENTS_MAX."""
        if len(self._by_ufrag) >= AGENTS_MAX:
            return False
        self._by_ufrag[agent.ufrag] = agent
        return True

    def note_remote(self, remote: Address, agent: IceAgent) -> None:
        """`agent` sends to `remote`: responses from there are its own."""
        self._by_remote[remote] = agent

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent and all its remote addresses."""
        self._by_ufrag.pop(agent.ufrag, None)
        self._by_remote = {remote: found for remote, found in self._by_remote.items() if found is not agent}

    def find(self, data: bytes, source: Address) -> IceAgent | None:
        """The agent for a datagram that `stun.is_stun`, or None."""
        if not stun.is_request(data):
            return self._by_remote.get(source)
        ufrag = _username(data).partition(b":")[0]
        return self._by_ufrag.get(ufrag.decode("utf-8", "replace"))


def _username(data: bytes) -> bytes:
    """The USERNAME attribute without parsing the rest; empty when there is none."""
    position = stun.HEADER_BYTES
    while position + 4 <= len(data):
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position : position + 2] == _USERNAME:
            return data[position + 4 : position + 4 + length]
        position += 4 + (length + 3) // 4 * 4
    return b""
