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

from overlay.budget import Budget
from overlay.forgetting import forget_one
from overlay.replay import ReplayWindow
from overlay.sealing import STATIC_SEALING, Cipher, Sealing
from p2psip.base.certificates import DeviceCertificate
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


class Known(ReplayWindow):
    """All that is remembered of one other node, found by its key; there are thousands, and thousands of nodes in a simulation.

    Cipher, counter, marks (of what we send, then of what we get) and replay window; where its newest frame came from and when
    (`overlay.heard`); the certificate it has shown (`overlay.members`); the write token it gave (`overlay.rpc`).
    """

    __slots__ = ("address", "certificate", "cipher", "count", "heard_at", "key", "marks", "token")

    def __init__(self, key: bytes, cipher: Cipher, marks: bytes, count: int) -> None:
        super().__init__()
        self.key = key
        self.certificate: DeviceCertificate | None = None
        self.token = b""
        self.address: Address | None = None
        self.heard_at = 0.0
        self.cipher = cipher
        self.marks = marks
        self.count = count


class FrameBox:
    """Seals frames of one node and opens those sent to it. `started` is the start of this run in unix seconds."""

    __slots__ = ("_first_count", "_key", "_peers", "_public", "_run_number", "_sealing", "_strangers")

    def __init__(self, node_key: NodeKey, chance: Chance, started: float, sealing: Sealing | None = None) -> None:
        self._key = node_key
        self._sealing: Sealing = STATIC_SEALING if sealing is None else sealing
        self._public = node_key.public
        self._peers: dict[bytes, Known] = {}  # once half full, in the order of use
        run = (int(started) & 0xFFFFFFFF) << 24 | chance.integer(24)
        self._run_number = run << _COUNTER_BITS
        self._first_count = 0
        self._strangers = Budget(NEW_PEERS_PER_SECOND_MAX)

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

    def peer(self, node_key: bytes) -> Known | None:
        """What is remembered of this node, if it is."""
        return self._peers.get(node_key)

    def is_member(self, node_key: bytes) -> bool:
        """Whether this node is remembered and has shown a certificate: it is forgotten after strangers."""
        peer = self._peers.get(node_key)
        return peer is not None and peer.certificate is not None

    @property
    def members(self) -> int:
        """How many of those that are remembered have shown a certificate."""
        return sum(peer.certificate is not None for peer in self._peers.values())

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

    def _stranger(self, datagram: bytes, sender: bytes, now: float) -> Known:
        if not FRAME_OVERHEAD_BYTES <= len(datagram) <= FRAME_BYTES_MAX:
            raise RemoteError("a frame that is too short or too long")
        if datagram[:_NUMBER_AT] != _head(sender, self._public) or sender == self._public:
            raise RemoteError("a frame that is malformed or for another node")
        if not self._strangers.spend(now):
            raise RemoteError(f"more than {NEW_PEERS_PER_SECOND_MAX} new peers in a second", status=503)
        return self._new_peer(sender)

    def _new_peer(self, theirs: bytes) -> Known:
        marks = _FIRST + _mark(self._public, theirs) + _FIRST + _mark(theirs, self._public)
        key = identity_of(theirs).node_key
        return Known(key, self._sealing.cipher(self._key, key), marks, self._first_count)

    def _remember(self, peer: Known) -> Known:
        if len(self._peers) >= (self._sealing.peers_max or PEER_KEYS_MAX):
            forgotten = forget_one(self._peers, self.is_member)[1]
            # A peer that returns goes on from the highest number ever used, so that no nonce repeats.
            self._first_count = max(self._first_count, forgotten.count)
        self._peers[peer.key] = peer  # after that, for where all are members a newcomer would be the first to go
        return peer


def _mark(sender: bytes, receiver: bytes) -> bytes:
    return hashlib.sha256(b"p2psip frame mark 0" + receiver + sender).digest()[:_MARK_BYTES]


def _head(sender: bytes, receiver: bytes) -> bytes:
    return _FIRST + _mark(sender, receiver) + sender
