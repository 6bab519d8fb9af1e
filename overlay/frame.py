"""Sealed frames: every overlay datagram, encrypted and authenticated between two node keys without a handshake.

Layout (FRAME_OVERHEAD_BYTES around the payload):

    0xC0 | 4 bytes mark | 32 bytes sender's node key | 12 bytes number | ChaCha20-Poly1305 ciphertext and tag (RFC 8439)

The key comes from X25519 (RFC 7748) of the two static keys through HKDF-SHA-256 (RFC 5869), one key per direction, with
both node keys in its info. So a frame proves who sent it and to whom, and nothing in the header can be changed.

**Number.** 4 bytes start of the sender in unix seconds, 3 random bytes, 5 bytes counter, read as one number that only
grows; it is the nonce as well. The start must not be lower than that of an earlier run with the same key.

**What is guaranteed.** While the receiver runs and remembers the sender (the PEER_KEYS_MAX peers used last), no frame
is taken twice, and none whose number is behind the highest one by the replay window (`overlay.replay`) or more; in
particular none of an earlier run of the sender after one of a later run. After the receiver's own restart, or once the
sender was forgotten, recorded frames can be replayed until the sender's next true frame arrives; so what a frame asks
for must bear repeating.

**What garbage costs.** The mark is a hash of both node keys: who does not know ours is told apart with one SHA-256. A
stranger who does know it costs one X25519, at most NEW_PEERS_PER_SECOND_MAX times a second, and no memory until a frame
of theirs was authentic. Who comes with many keys pushes other strangers out, and not the members that we know. There is no
forward secrecy here; conversations (`overlay.conversation`) add it.
"""

import hashlib
from collections.abc import Callable

from overlay.budget import Budget
from overlay.forgetting import forget_one
from overlay.heard import HeardFrom
from overlay.replay import ReplayWindow
from overlay.sealing import STATIC_SEALING, Cipher, Sealing
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey, identity_of

FIRST_BYTE = 0xC0
FRAME_OVERHEAD_BYTES = 65
FRAME_BYTES_MAX = 2_048
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES
NEW_PEERS_PER_SECOND_MAX = 500
PEER_KEYS_MAX = 8_192

_MARK_BYTES = 4
_KEY_AT = 1 + _MARK_BYTES
_NUMBER_AT = _KEY_AT + KEY_BYTES
_SEALED_AT = _NUMBER_AT + 12
_COUNTER_BITS = 40
_COUNT_MAX = (1 << _COUNTER_BITS) - 1
_FIRST = bytes((FIRST_BYTE,))


class _Peer(ReplayWindow):
    """Cipher, counter, marks (of what we send, then of what we get) and replay window of one peer; there are thousands."""

    __slots__ = ("address", "cipher", "count", "heard_at", "key", "marks")

    def __init__(self, key: bytes, cipher: Cipher, marks: bytes, count: int) -> None:
        super().__init__()
        self.key = key
        self.address: Address | None = None
        self.heard_at = 0.0
        self.cipher = cipher
        self.marks = marks
        self.count = count


class FrameBox:
    """Seals frames of one node and opens those sent to it. `started` is the start of this run in unix seconds."""

    __slots__ = ("_first_count", "_key", "_peers", "_public", "_run_number", "_sealing", "_strangers", "is_member")

    def __init__(self, node_key: NodeKey, chance: Chance, started: float, sealing: Sealing | None = None) -> None:
        self._key = node_key
        self._sealing: Sealing = STATIC_SEALING if sealing is None else sealing
        self._public = node_key.public
        self._peers: dict[bytes, _Peer] = {}  # once half full, in the order of use
        run = (int(started) & 0xFFFFFFFF) << 24 | chance.integer(24)
        self._run_number = run << _COUNTER_BITS
        self._first_count = 0
        self._strangers = Budget(NEW_PEERS_PER_SECOND_MAX)
        self.is_member: Callable[[bytes], bool] = lambda _key: False  # those are forgotten after strangers

    def __len__(self) -> int:
        """How many peers' keys are remembered (at most PEER_KEYS_MAX, fewer in simulations)."""
        return len(self._peers)

    def seal(self, peer_public: bytes, payload: bytes) -> bytes:
        """A frame for the node with this key. LocalError if too large; RemoteError if that key is no X25519 key."""
        peers = self._peers
        peer = peers.get(peer_public)
        if peer is None:
            peer = self._remember(self._new_peer(peer_public))
        elif 2 * len(peers) > (self._sealing.peers_max or PEER_KEYS_MAX):
            peers[peer.key] = peers.pop(peer_public)
        count = peer.count
        if len(payload) > PAYLOAD_BYTES_MAX or count > _COUNT_MAX:
            raise LocalError(f"a payload of {len(payload)} bytes, or the frames of this run are used up")
        peer.count = count + 1
        nonce = (self._run_number | count).to_bytes(12, "big")
        return b"".join((peer.marks[:_KEY_AT], self._public, nonce, peer.cipher.encrypt(nonce, payload)))

    def peer(self, node_key: bytes) -> HeardFrom | None:
        """Where the newest authentic frame of this node came from, if it is remembered."""
        return self._peers.get(node_key)

    def open(self, datagram: bytes, now: float, source: Address | None = None) -> tuple[bytes, bytes]:
        """(sender's node key, payload) of a frame from `source` that is authentic, for us and new; else RemoteError."""
        sender = datagram[_KEY_AT:_NUMBER_AT]
        peers = self._peers
        peer = peers.get(sender)
        known = peer is not None
        if peer is None:
            peer = self._stranger(datagram, sender, now)
        if datagram[:_KEY_AT] != peer.marks[_KEY_AT:] or len(datagram) > FRAME_BYTES_MAX:
            raise RemoteError("a frame that is malformed or for another node")
        nonce = datagram[_NUMBER_AT:_SEALED_AT]
        number = int.from_bytes(nonce, "big")
        if number <= peer.highest:
            peer.check(number)
        payload = peer.cipher.decrypt(nonce, datagram[_SEALED_AT:])
        peer.add(number)
        peer.address, peer.heard_at = source, now
        if not known:
            self._remember(peer)
        elif 2 * len(peers) > (self._sealing.peers_max or PEER_KEYS_MAX):
            peers[peer.key] = peers.pop(sender)
        return peer.key, payload

    def _stranger(self, datagram: bytes, sender: bytes, now: float) -> _Peer:
        if not FRAME_OVERHEAD_BYTES <= len(datagram) <= FRAME_BYTES_MAX:
            raise RemoteError("a frame that is too short or too long")
        if datagram[:_NUMBER_AT] != _head(sender, self._public) or sender == self._public:
            raise RemoteError("a frame that is malformed or for another node")
        if not self._strangers.spend(now):
            raise RemoteError(f"more than {NEW_PEERS_PER_SECOND_MAX} new peers in a second", status=503)
        return self._new_peer(sender)

    def _new_peer(self, theirs: bytes) -> _Peer:
        marks = _FIRST + _mark(self._public, theirs) + _FIRST + _mark(theirs, self._public)
        key = identity_of(theirs).node_key
        return _Peer(key, self._sealing.cipher(self._key, key), marks, self._first_count)

    def _remember(self, peer: _Peer) -> _Peer:
        self._peers[peer.key] = peer
        if len(self._peers) > (self._sealing.peers_max or PEER_KEYS_MAX):
            forgotten = forget_one(self._peers, self.is_member)[1]
            # A peer that returns goes on from the highest number ever used, so that no nonce repeats.
            self._first_count = max(self._first_count, forgotten.count)
        return peer


def _mark(sender: bytes, receiver: bytes) -> bytes:
    return hashlib.sha256(b"p2psip frame mark 0" + receiver + sender).digest()[:_MARK_BYTES]


def _head(sender: bytes, receiver: bytes) -> bytes:
    return _FIRST + _mark(sender, receiver) + sender
