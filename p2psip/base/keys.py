"""Keys and names: the X25519 node key that names a node, and the Ed25519 key that signs for a device.

Sources: RFC 7748 (X25519), RFC 8032 (Ed25519). Node-ID = first 160 bits of SHA-256 of the node key.
"""

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError

KEY_BYTES = 32
NODE_ID_BYTES = 20
SIGNATURE_BYTES = 64
IDENTITIES_CACHED_MAX = 65_536


class Identity:
    """A public node key, its Node-ID, and that as a whole number."""

    __slots__ = ("node_id", "node_key", "number")

    def __init__(self, node_key: bytes) -> None:
        self.node_key = node_key
        self.node_id = hashlib.sha256(node_key).digest()[:NODE_ID_BYTES]
        self.number = int.from_bytes(self.node_id, "big")


identity_of = lru_cache(maxsize=IDENTITIES_CACHED_MAX)(Identity)
"""The identity of a node key. A pure function of it, so that all tables of all nodes in a process share one object per node:
what a datagram brought would else be kept in a hundred copies."""


def node_id_of(node_key: bytes) -> bytes:
    """The Node-ID (20 bytes) of a public node key (32 bytes)."""
    return identity_of(node_key).node_id


class NodeKey:
    """The X25519 key pair of a node; its public half is the node's identity in every frame."""

    __slots__ = ("_key", "node_id", "private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise LocalError(f"a node key has {KEY_BYTES} bytes, not {len(private)}")
        self.private = private
        self._key = X25519PrivateKey.from_private_bytes(private)
        identity = identity_of(self._key.public_key().public_bytes_raw())
        self.public: bytes = identity.node_key
        self.node_id: bytes = identity.node_id

    @classmethod
    def generate(cls, chance: Chance) -> "NodeKey":
        """A new key from `chance`."""
        return cls(chance.bytes(KEY_BYTES))

    @classmethod
    def from_private(cls, private: bytes) -> "NodeKey":
        """The key pair of these 32 private bytes."""
        return cls(private)

    def exchange(self, peer_public: bytes) -> bytes:
        """The 32-byte shared secret with `peer_public`; RemoteError(400) for a key of low order or wrong length."""
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:
            raise RemoteError("a node key that is not a usable X25519 key") from error


class SigningKey:
    """The Ed25519 key pair of a device, or of an overlay's certificate authority. `cryptography_key` is it for X.509 builders."""

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise LocalError(f"a signing key has {KEY_BYTES} bytes, not {len(private)}")
        self.private = private
        self.cryptography_key = Ed25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self.cryptography_key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, chance: Chance) -> "SigningKey":
        """A new key from `chance`."""
        return cls(chance.bytes(KEY_BYTES))

    @classmethod
    def from_private(cls, private: bytes) -> "SigningKey":
        """The key pair of these 32 private bytes."""
        return cls(private)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature of `data`."""
        return self.cryptography_key.sign(data)


def verify_signature(public: bytes, signature: bytes, data: bytes) -> None:
    """Return if `signature` is by the Ed25519 key `public` over `data`; else RemoteError(403)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise RemoteError("a signature that does not match", status=403) from error
