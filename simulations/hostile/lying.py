"""The seam between a hostile node and the real core: what the node answers passes through here, and may be altered or withheld.

The real holder (`overlay.holder`) still serves each request, so frames, tokens, certificates and sizes are what they are in
production; only status and result of the answer are replaced (its form: `overlay.rpc`). What a node asks and says of its own
accord needs no seam: that is done through the public commands of its core.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from overlay.holder import Served
from overlay.rpc import ANSWER, PING, REQUEST, STORE, parse_request
from p2psip.base.codec import pack, unpack
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

Answer = Callable[[bytes, bytes, Address, float, float], Served]

_METHOD, _STATUS, _RESULT = 1, 1, 6


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came: who asked (node key), from where, and what (`overlay.rpc`). `unix`: by the clock of the node asked."""

    sender: bytes
    source: Address
    method: int
    arguments: list[Any]
    now: float
    unix: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: 200 and the result, or another status and a sentence."""

    status: int
    result: Any


class Liar(Protocol):
    """Decides what a node answers."""

    def holds(self, asked: Asked) -> bool:
        """Whether a record that is to be stored is really held; if not, the answer says that it is."""

    def reply(self, asked: Asked, honest: Reply) -> Reply | None:
        """What to answer instead of the honest answer; None: nothing."""


def corrupt(peer: Any, liar: Liar) -> None:
    """From now on `liar` decides what this peer (`overlay.peer.Peer`) answers."""
    honestly: Answer = peer._answer

    def answer(sender: bytes, payload: bytes, source: Address, now: float, unix: float) -> Served:
        request = parse_request(payload)
        asked = Asked(sender, source, request.method, request.arguments, now, unix)
        if request.method == STORE and not liar.holds(asked):
            payload = _altered(REQUEST, payload, {_METHOD: PING})
        served = honestly(sender, payload, source, now, unix)
        fields = unpack(served.payload[1:])
        honest = Reply(fields[_STATUS], fields[_RESULT])
        reply = liar.reply(asked, honest)
        if reply is None:
            raise RemoteError("silence")
        if reply != honest:
            changes = {_STATUS: reply.status, _RESULT: reply.result}
            served = replace(served, payload=_altered(ANSWER, served.payload, changes))
        return served

    peer._answer = answer


def _altered(kind: int, payload: bytes, changes: dict[int, Any]) -> bytes:
    fields = unpack(payload[1:])
    for index, value in changes.items():
        fields[index] = value
    return bytes((kind,)) + pack(fields)
