"""Who makes the ciphers between two nodes: X25519 and ChaCha20-Poly1305 on every real node.

A `Sealing` is handed to a node from outside, so that a simulation of thousands of nodes in one process may share the work
of both ends (`simulations.sealing`). A real node has `StaticSealing` and nothing else.

A cipher object of `cryptography` takes 2.2 KB, a key 65 bytes; a node remembers thousands of keys, and few are in use at a
time. So a peer's cipher holds keys, and the objects are in one bounded pool of the process.
"""

from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey

POOLED_CIPHERS_MAX = 2_048

pooled_cipher = lru_cache(maxsize=POOLED_CIPHERS_MAX)(ChaCha20Poly1305)
"""The cipher object of a key: a pure function of it, so one pool serves all nodes of a process."""


class Cipher(Protocol):
    """What one end of a pair of nodes seals and opens with. The nonce has 12 bytes, the tag 16."""

    def encrypt(self, nonce: bytes, payload: bytes) -> bytes:
        """The ciphertext and its tag. A nonce must not be used twice."""

    def decrypt(self, nonce: bytes, ciphertext: bytes) -> bytes:
        """The payload; RemoteError(403) if the other end has not sealed it under this nonce."""


class Sealing(Protocol):
    """Makes the cipher between a node of ours and another one, of which `peers_max` are remembered, or PEER_KEYS_MAX."""

    peers_max: int | None

    def cipher(self, ours: NodeKey, theirs: bytes) -> Cipher:
        """The cipher of our end; RemoteError(400) if `theirs` is no X25519 key."""


class PairCipher:
    """ChaCha20-Poly1305 (RFC 8439) with one key per direction."""

    __slots__ = ("_key_in", "_key_out")

    def __init__(self, key_out: bytes, key_in: bytes) -> None:
        self._key_out = key_out
        self._key_in = key_in

    def encrypt(self, nonce: bytes, payload: bytes) -> bytes:
        """The ciphertext and its tag."""
        return pooled_cipher(self._key_out).encrypt(nonce, payload, None)

    def decrypt(self, nonce: bytes, ciphertext: bytes) -> bytes:
        """The payload; RemoteError(403) if it is not authentic."""
        try:
            return pooled_cipher(self._key_in).decrypt(nonce, ciphertext, None)
        except (InvalidTag, ValueError) as error:
            raise RemoteError("a frame that is not authentic", status=403) from error


class StaticSealing:
    """X25519 (RFC 7748) of the two static keys, through HKDF-SHA-256 (RFC 5869), with both node keys in its info."""

    peers_max: int | None = None

    def cipher(self, ours: NodeKey, theirs: bytes) -> Cipher:
        """The cipher of our end."""
        shared = ours.exchange(theirs)
        return PairCipher(direction_key(shared, ours.public, theirs), direction_key(shared, theirs, ours.public))


def direction_key(shared: bytes, sender: bytes, receiver: bytes) -> bytes:
    """The key of the frames from `sender` to `receiver`, whose X25519 secret is `shared`."""
    info = b"p2psip frame key 0" + sender + receiver
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(shared)


STATIC_SEALING = StaticSealing()
