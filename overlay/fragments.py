"""Messages larger than a datagram: cut into fragments, put together again, within bounds. Lost is lost.

A fragment is `4 bytes message id | 1 byte index | 1 byte count | piece`. Every piece but the last is full, so that a
message cannot be cut smaller than necessary.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass, field

from p2psip.base.errors import LocalError, RemoteError

FRAGMENT_BYTES_MAX = 1_050
"""So that a fragment sealed twice (through a super-node) still fits IPv6's smallest packet of 1280 bytes."""
FRAGMENTS_MAX = 63
FRAGMENTED_BYTES_MAX = FRAGMENTS_MAX * FRAGMENT_BYTES_MAX
PARTIAL_MESSAGES_MAX = 256
PARTIAL_MESSAGES_PER_PEER_MAX = 8
REASSEMBLY_SECONDS_MAX = 10.0

_HEAD = struct.Struct(">IBB")


def split(message: bytes, message_id: int) -> list[bytes]:
    """The fragments of a message of at most FRAGMENTED_BYTES_MAX bytes; `message_id` is a number of 32 bits."""
    if len(message) > FRAGMENTED_BYTES_MAX:
        raise LocalError(f"a message of {len(message)} bytes is over the limit of {FRAGMENTED_BYTES_MAX}")
    count = max(1, -(-len(message) // FRAGMENT_BYTES_MAX))
    pieces = (message[at * FRAGMENT_BYTES_MAX : (at + 1) * FRAGMENT_BYTES_MAX] for at in range(count))
    return [_HEAD.pack(message_id, index, count) + piece for index, piece in enumerate(pieces)]


@dataclass(slots=True)
class _Partial:
    count: int
    deadline: float
    pieces: dict[int, bytes] = field(default_factory=dict)


class Reassembler:
    """Partial messages by (peer, message id). The oldest gives way, of the same peer first."""

    __slots__ = ("_partials", "_per_peer")

    def __init__(self) -> None:
        self._partials: OrderedDict[tuple[bytes, int], _Partial] = OrderedDict()
        self._per_peer: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many messages are incomplete (at most PARTIAL_MESSAGES_MAX)."""
        return len(self._partials)

    def add(self, peer: bytes, fragment: bytes, now: float) -> bytes | None:
        """The whole message if this fragment completes it, else None; RemoteError if malformed."""
        self.expire(now)
        message_id, index, count, piece = _parse(fragment)
        if count == 1:
            return piece
        name = (peer, message_id)
        partial = self._partials.get(name) or self._start(name, count, now)
        if partial.count != count:
            raise RemoteError("a fragment that contradicts an earlier one")
        partial.pieces.setdefault(index, piece)
        if len(partial.pieces) < count:
            return None
        self._drop(name)
        return b"".join(partial.pieces[at] for at in range(count))

    def expire(self, now: float) -> None:
        """Drop what has waited too long."""
        while (deadline := self.next_expiry()) is not None and deadline <= now:
            self._drop(next(iter(self._partials)))

    def next_expiry(self) -> float | None:
        """When `expire` has something to do next."""
        return next(iter(self._partials.values())).deadline if self._partials else None

    def _start(self, name: tuple[bytes, int], count: int, now: float) -> _Partial:
        peer = name[0]
        if self._per_peer.get(peer, 0) >= PARTIAL_MESSAGES_PER_PEER_MAX:
            self._drop(next(each for each in self._partials if each[0] == peer))
        if len(self._partials) >= PARTIAL_MESSAGES_MAX:
            self._drop(next(iter(self._partials)))
        partial = self._partials[name] = _Partial(count, now + REASSEMBLY_SECONDS_MAX)
        self._per_peer[peer] = self._per_peer.get(peer, 0) + 1
        return partial

    def _drop(self, name: tuple[bytes, int]) -> None:
        del self._partials[name]
        peer = name[0]
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]


def _parse(fragment: bytes) -> tuple[int, int, int, bytes]:
    if len(fragment) < _HEAD.size:
        raise RemoteError("a fragment that is too short")
    message_id, index, count = _HEAD.unpack_from(fragment)
    piece = fragment[_HEAD.size :]
    if not index < count <= FRAGMENTS_MAX:
        raise RemoteError("a fragment with an impossible index or count")
    whole = index < count - 1
    if len(piece) > FRAGMENT_BYTES_MAX or (whole and len(piece) < FRAGMENT_BYTES_MAX) or (count > 1 and not piece):
        raise RemoteError("a fragment of a wrong size")
    return message_id, index, count, piece
