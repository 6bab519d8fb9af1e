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
from collections import OrderedDict
from collections.abc import Callable

from overlay.budget import Budget
from overlay.forgetting import forget_one
from overlay.replay import ReplayWindow
from overlay.sealing import STATIC_SEALING, Cipher, Sealing
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey

FIRST_BYTE = 0xC0
FRAME_OVERHEAD_BYTES = 65
FRAME_BYTES_MAX = 2_048
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES
PEER_KEYS_MAX = 8_192
NEW_PEERS_PER_SECOND_MAX = 500

_MARK_BYTES = 4
_KEY_AT = 1 + _MARK_BYTES
_NUMBER_AT = _KEY_AT + KEY_BYTES
_SEALED_AT = _NUMBER_AT + 12
_COUNTER_BITS = 40


class _Peer:
    """Keys, counter and replay window of one peer."""

    __slots__ = ("decrypt", "encrypt", "head_in", "head_out", "number", "window")

    def __init__(self, cipher: Cipher, ours: bytes, theirs: bytes, number: int) -> None:
        self.encrypt, self.decrypt = cipher.encrypt, cipher.decrypt
        self.head_out = _head(ours, theirs)
        self.head_in = _head(theirs, ours)
        self.number = number
        self.window = ReplayWindow()


class FrameBox:
    """Seals frames of one node and opens those sent to it. `started` is the start of this run in unix seconds."""

    def __init__(self, node_key: NodeKey, chance: Chance, started: float, sealing: Sealing | None = None) -> None:
        self._key = node_key
        self._sealing: Sealing = sealing or STATIC_SEALING
        self._peers: OrderedDict[bytes, _Peer] = OrderedDict()
        run = (int(started) & 0xFFFFFFFF) << 24 | chance.integer(24)
        self._first_number = run << _COUNTER_BITS
        self._last_number = self._first_number | (1 << _COUNTER_BITS) - 1
        self._strangers = Budget(NEW_PEERS_PER_SECOND_MAX)
        self.is_member: Callable[[bytes], bool] = lambda _key: False  # those are forgotten after strangers

    def __len__(self) -> int:
        """How many peers' keys are remembered (at most PEER_KEYS_MAX)."""
        return len(self._peers)

    def seal(self, peer_public: bytes, payload: bytes) -> bytes:
        """A frame for the node with this key. LocalError if too large; RemoteError if that key is no X25519 key."""
        peer = self._peers.get(peer_public)
        if peer is None:
            peer = self._remember(peer_public, self._new_peer(peer_public))
        else:
            self._peers.move_to_end(peer_public)
        if len(payload) > PAYLOAD_BYTES_MAX or peer.number > self._last_number:
            raise LocalError(f"a payload of {len(payload)} bytes, or the frames of this run are used up")
        nonce = peer.number.to_bytes(12, "big")
        peer.number += 1
        return peer.head_out + nonce + peer.encrypt(nonce, payload)

    def open(self, datagram: bytes, now: float) -> tuple[bytes, bytes]:
        """(sender's node key, payload) of a frame that is authentic, for us and new; else RemoteError."""
        sender = datagram[_KEY_AT:_NUMBER_AT]
        peer = self._peers.get(sender)
        known = peer is not None
        if peer is None:
            peer = self._stranger(datagram, sender, now)
        if datagram[:_NUMBER_AT] != peer.head_in or len(datagram) > FRAME_BYTES_MAX:
            raise RemoteError("a frame that is malformed or for another node")
        nonce = datagram[_NUMBER_AT:_SEALED_AT]
        number = int.from_bytes(nonce, "big")
        peer.window.check(number)
        payload = peer.decrypt(nonce, datagram[_SEALED_AT:])
        peer.window.add(number)
        if known:
            self._peers.move_to_end(sender)
        else:
            self._remember(sender, peer)
        return sender, payload

    def _stranger(self, datagram: bytes, sender: bytes, now: float) -> _Peer:
        if not FRAME_OVERHEAD_BYTES <= len(datagram) <= FRAME_BYTES_MAX:
            raise RemoteError("a frame that is too short or too long")
        if datagram[:_NUMBER_AT] != _head(sender, self._key.public) or sender == self._key.public:
            raise RemoteError("a frame that is malformed or for another node")
        if not self._strangers.spend(now):
            raise RemoteError(f"more than {NEW_PEERS_PER_SECOND_MAX} new peers in a second", status=503)
        return self._new_peer(sender)

    def _new_peer(self, theirs: bytes) -> _Peer:
        return _Peer(self._sealing.cipher(self._key, theirs), self._key.public, theirs, self._first_number)

    def _remember(self, public: bytes, peer: _Peer) -> _Peer:
        self._peers[public] = peer
        if len(self._peers) > PEER_KEYS_MAX:
            forgotten = forget_one(self._peers, self.is_member)[1]
            # A peer that returns goes on from the highest number ever used, so that no nonce repeats.
            self._first_number = max(self._first_number, forgotten.number)
        return peer


def _head(sender: bytes, receiver: bytes) -> bytes:
    mark = hashlib.sha256(b"p2psip frame mark 0" + receiver + sender).digest()[:_MARK_BYTES]
    return bytes((FIRST_BYTE,)) + mark + sender
