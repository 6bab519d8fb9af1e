"""Whole ladders: every message between phones and nodes, in the order in which it was sent, to be compared as one text."""

from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.message import Response
from p2psip.sip.parser import parse_message
from tests.calls.world import MemorySip, Node, Phone, World


class Ladder:
    """All messages from `begin` on. Each line is `who > whom message`; nodes are called by their person: `alice's node`."""

    def __init__(self, world: World, **people: Node | Phone) -> None:
        self.lines: list[str] = []
        self._names = {each.sip: name for name, each in people.items()}
        self._world = world

    def begin(self) -> None:
        """Forget what was, and log from now on."""
        network = self._world.network
        carry = network.carry
        self.lines.clear()

        def carried(source: MemorySip, data: bytes, flow: Flow) -> None:
            target = network.nodes[flow.remote[0]] if flow.transport == OVERLAY else network.services[flow.remote]
            self.lines.append(f"{self._name(source)} > {self._name(target)} {summary(data)}")
            carry(source, data, flow)

        network.carry = carried  # type: ignore[method-assign]

    def add(self, name: str, party: Node | Phone) -> None:
        """Somebody who comes later; nobody else is named."""
        self._names[party.sip] = name

    def _name(self, sip: MemorySip) -> str:
        return self._names.get(sip, "somebody")

    def compare(self, expected: str) -> None:
        """AssertionError with the whole ladder unless it is this one."""
        wanted = [" ".join(line.split()) for line in expected.splitlines() if line.strip()]
        assert self.lines == wanted, "\n" + "\n".join(self.lines)


def summary(data: bytes) -> str:
    """`INVITE sdp`, `200 INVITE sdp`, `ACK`."""
    message = parse_message(data)
    status = f"{message.status} " if isinstance(message, Response) else ""
    return f"{status}{message.cseq.method}{' sdp' if message.body else ''}"
