"""Sealing for simulations: both ends of a pair are in one process, so they may share what they would each compute.

`SharedSealing` is real: real keys, real ChaCha20-Poly1305, but one X25519 and one key derivation for a pair, not two.
`StandInSealing` is a stand-in that keeps no secret. It has the lengths of the real one, and refuses what was not sealed
between these two ends under this number, or was altered by accident; an attacker who computes a CRC gets through, so what
a simulation says about forged frames must not rest on it. Neither may be used outside `simulations`.
"""

import zlib

from overlay.sealing import Cipher, PairCipher, direction_key
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey

PAIRS_MAX = 65_536
PEERS_MAX = 256
"""Each node remembers the keys of so many others, not of PEER_KEYS_MAX: to find them again costs little here, and thousands of
nodes must find room in one process, at 350 bytes for each that is remembered. What those have shown and given goes with their
keys, as in production. Who was forgotten could have frames repeated to it; no scenario does that."""
TAG_BYTES = 16

_TAG_FILL = bytes(TAG_BYTES - 4)


class SharedSealing:
    """Real ciphers. The keys of the PAIRS_MAX pairs derived last are remembered until the other end asks for them, too."""

    peers_max: int | None = PEERS_MAX

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}

    def __len__(self) -> int:
        """How many pairs wait for their other end (at most PAIRS_MAX)."""
        return len(self._keys)

    def cipher(self, ours: NodeKey, theirs: bytes) -> Cipher:
        """The cipher of our end."""
        shared = self._keys.pop(theirs + ours.public, None)
        if shared is not None:
            return PairCipher(shared[1], shared[0])
        secret = ours.exchange(theirs)
        keys = direction_key(secret, ours.public, theirs), direction_key(secret, theirs, ours.public)
        self._keys[ours.public + theirs] = keys
        if len(self._keys) > PAIRS_MAX:
            del self._keys[next(iter(self._keys))]
        return PairCipher(*keys)


class StandInSealing:
    """No cipher at all: the payload in the clear, and a tag that holds a CRC-32 begun with a number of the pair."""

    peers_max: int | None = PEERS_MAX

    def cipher(self, ours: NodeKey, theirs: bytes) -> Cipher:
        """The stand-in between these two nodes; RemoteError(400) for what has not the length of a key."""
        if len(theirs) != KEY_BYTES:
            raise RemoteError("a node key that is not a usable X25519 key")
        return _StandIn(zlib.crc32(min(ours.public, theirs) + max(ours.public, theirs)))


class _StandIn(int):
    """The number of a pair, and nothing else: a simulation holds one for each end of millions of pairs."""

    __slots__ = ()

    def encrypt(self, nonce: bytes, payload: bytes) -> bytes:
        return payload + zlib.crc32(payload, zlib.crc32(nonce, self)).to_bytes(4, "big") + _TAG_FILL

    def decrypt(self, nonce: bytes, ciphertext: bytes) -> bytes:
        payload = ciphertext[:-TAG_BYTES]
        tag = zlib.crc32(payload, zlib.crc32(nonce, self)).to_bytes(4, "big") + _TAG_FILL
        if ciphertext[-TAG_BYTES:] != tag or len(ciphertext) < TAG_BYTES:
            raise RemoteError("a frame that is not authentic", status=403)
        return payload
