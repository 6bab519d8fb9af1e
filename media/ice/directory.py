"""Which of the agents on the one port a STUN datagram is for: by user name fragment, or for answers by transaction id."""

from collections import OrderedDict

from media import stun
from media.ice.agent import IceAgent

AGENTS_MAX = 4_096
CHECKS_MAX = 32_768
_USERNAME = b"\x00\x06"


class AgentDirectory:
    """All agents of a node by their local user name fragment, and the checks that wait for an answer."""

    def __init__(self) -> None:
        self._by_ufrag: dict[str, IceAgent] = {}
        self._by_transaction: OrderedDict[bytes, IceAgent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_ufrag)

    def add(self, agent: IceAgent) -> bool:
        """Register an agent; False when there are AGENTS_MAX, or one of its name."""
        if len(self._by_ufrag) >= AGENTS_MAX or agent.ufrag in self._by_ufrag:
            return False
        self._by_ufrag[agent.ufrag] = agent
        return True

    def note_check(self, data: bytes, agent: IceAgent) -> None:
        """`agent` sends this request: its answer is the agent's own. The oldest beyond CHECKS_MAX are forgotten."""
        self._by_transaction[stun.transaction_id(data)] = agent
        if len(self._by_transaction) > CHECKS_MAX:
            self._by_transaction.popitem(last=False)

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent; answers to its checks find nobody."""
        if self._by_ufrag.get(agent.ufrag) is agent:
            del self._by_ufrag[agent.ufrag]

    def find(self, data: bytes) -> IceAgent | None:
        """The agent for a datagram that `stun.is_stun`, or None."""
        if stun.is_response(data):
            agent = self._by_transaction.pop(stun.transaction_id(data), None)
            return agent if agent is not None and agent.ufrag in self._by_ufrag else None
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
