"""The Noise handshake IK with X25519, ChaCha20-Poly1305 and SHA-256 (Noise Protocol Framework, revision 34).

    IK:
      <- s
      ...
      -> e, es, s, ss
      <- e, ee, se

The initiator knows the responder's key beforehand; both messages carry a payload. After them each side has a
`Transport` whose messages carry their number beside them, so that they may be lost and overtaken (§11.4). Who checks
for replays, and when sessions begin and end, is `overlay.conversation`'s business.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey

PROTOCOL_NAME = b"Noise_IK_25519_ChaChaPoly_SHA256"
TAG_BYTES = 16
FIRST_OVERHEAD_BYTES = KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES
SECOND_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES


class Transport:
    """An established session: seals with one key, opens with the other. Numbers must not be used twice to seal."""

    __slots__ = ("_opening", "_sealing", "handshake_hash")

    def __init__(self, sealing: bytes, opening: bytes, handshake_hash: bytes) -> None:
        self._sealing = ChaCha20Poly1305(sealing)
        self._opening = ChaCha20Poly1305(opening)
        self.handshake_hash = handshake_hash

    def seal(self, number: int, payload: bytes) -> bytes:
        """The ciphertext of a payload under this number."""
        return self._sealing.encrypt(_nonce(number), payload, None)

    def open(self, number: int, ciphertext: bytes) -> bytes:
        """The payload; RemoteError(403) if it is not authentic under this number."""
        try:
            return self._opening.decrypt(_nonce(number), ciphertext, None)
        except (InvalidTag, ValueError) as error:
            raise RemoteError("a message that is not of this session", status=403) from error


class Initiator:
    """The side that speaks first. `ephemeral` must be fresh for each handshake."""

    def __init__(self, static: NodeKey, remote: bytes, ephemeral: NodeKey, prologue: bytes = b"") -> None:
        self._static = static
        self._remote = remote
        self._ephemeral = ephemeral
        self._state = _Symmetric.begin(prologue, remote)

    def write_first(self, payload: bytes) -> bytes:
        """-> e, es, s, ss and the payload."""
        state = self._state
        state.mix_hash(self._ephemeral.public)
        state.mix_key(self._ephemeral.exchange(self._remote))
        sealed_static = state.seal(self._static.public)
        state.mix_key(self._static.exchange(self._remote))
        return self._ephemeral.public + sealed_static + state.seal(payload)

    def read_second(self, message: bytes) -> tuple[bytes, Transport]:
        """The payload of `<- e, ee, se` and the session; RemoteError if it does not answer our first message."""
        if len(message) < SECOND_OVERHEAD_BYTES:
            raise RemoteError("a handshake message that is too short")
        state = self._state.copy()
        remote_ephemeral = message[:KEY_BYTES]
        state.mix_hash(remote_ephemeral)
        state.mix_key(self._ephemeral.exchange(remote_ephemeral))
        state.mix_key(self._static.exchange(remote_ephemeral))
        payload = state.open(message[KEY_BYTES:])
        ours, theirs = state.split()
        return payload, Transport(ours, theirs, state.hash)


class Responder:
    """The side that answers. `ephemeral` must be fresh for each handshake."""

    def __init__(self, static: NodeKey, ephemeral: NodeKey, prologue: bytes = b"") -> None:
        self._static = static
        self._ephemeral = ephemeral
        self._remote_ephemeral = b""
        self._state = _Symmetric.begin(prologue, static.public)
        self.remote = b""

    def read_first(self, message: bytes) -> bytes:
        """The payload of `-> e, es, s, ss`; sets `remote`, the initiator's key. RemoteError if it is not for us."""
        if len(message) < FIRST_OVERHEAD_BYTES:
            raise RemoteError("a handshake message that is too short")
        if self.remote:
            raise LocalError("a responder answers one handshake")
        state = self._state
        remote_ephemeral = message[:KEY_BYTES]
        state.mix_hash(remote_ephemeral)
        state.mix_key(self._static.exchange(remote_ephemeral))
        sealed_static_end = KEY_BYTES + KEY_BYTES + TAG_BYTES
        remote = state.open(message[KEY_BYTES:sealed_static_end])
        state.mix_key(self._static.exchange(remote))
        payload = state.open(message[sealed_static_end:])
        self._remote_ephemeral, self.remote = remote_ephemeral, remote
        return payload

    def write_second(self, payload: bytes) -> tuple[bytes, Transport]:
        """<- e, ee, se and the payload, and the session."""
        if not self.remote:
            raise LocalError("there is no handshake to answer yet")
        state = self._state
        state.mix_hash(self._ephemeral.public)
        state.mix_key(self._ephemeral.exchange(self._remote_ephemeral))
        state.mix_key(self._ephemeral.exchange(self.remote))
        message = self._ephemeral.public + state.seal(payload)
        theirs, ours = state.split()
        return message, Transport(ours, theirs, state.hash)


class _Symmetric:
    """SymmetricState and CipherState of a handshake in one (§5.1, §5.2)."""

    __slots__ = ("chaining_key", "cipher", "hash", "number")

    def __init__(self, chaining_key: bytes, digest: bytes, cipher: ChaCha20Poly1305 | None, number: int) -> None:
        self.chaining_key = chaining_key
        self.hash = digest
        self.cipher = cipher
        self.number = number

    @classmethod
    def begin(cls, prologue: bytes, responder: bytes) -> "_Symmetric":
        """Before the first message. The name has exactly the length of a hash, so it stands for itself (§5.2)."""
        state = cls(PROTOCOL_NAME, PROTOCOL_NAME, None, 0)
        state.mix_hash(prologue)
        state.mix_hash(responder)
        return state

    def copy(self) -> "_Symmetric":
        return _Symmetric(self.chaining_key, self.hash, self.cipher, self.number)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = _derive_two(self.chaining_key, material)
        self.cipher, self.number = ChaCha20Poly1305(key), 0

    def seal(self, plaintext: bytes) -> bytes:
        assert self.cipher is not None
        ciphertext = self.cipher.encrypt(_nonce(self.number), plaintext, self.hash)
        self.number += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def open(self, ciphertext: bytes) -> bytes:
        assert self.cipher is not None
        try:
            plaintext = self.cipher.decrypt(_nonce(self.number), ciphertext, self.hash)
        except (InvalidTag, ValueError) as error:
            raise RemoteError("a handshake message that is not authentic", status=403) from error
        self.number += 1
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        return _derive_two(self.chaining_key, b"")


def _derive_two(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs (§4.3)."""
    temporary = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")


def _nonce(number: int) -> bytes:
    """32 zero bits and the number, little-endian (§12.3)."""
    return b"\x00\x00\x00\x00" + number.to_bytes(8, "little")
