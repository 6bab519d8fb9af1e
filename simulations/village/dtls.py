"""DTLS without OpenSSL's randomness and clock: associations with the messages, sizes and order of DTLS 1.2, keys from both randoms.

OpenSSL draws its own randomness and its retransmission timer reads the machine's clock, so a run with it is never the same twice.
What stands in for it here is the association alone (`OpenSSL.SSL.Connection`); `media.dtls.DtlsTransport`, which carries, repeats
and believes, is production's. Nothing here is secret. The sizes are those of OpenSSL 3 with the certificates of production.
"""

import hashlib
from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from media.dtls import DtlsIdentity
from p2psip.base.chance import Chance

RANDOM_BYTES = 32
_HANDSHAKE, _CHANGE_CIPHER_SPEC = 22, 20
_VERSION = b"\xfe\xfd"
_HEADER_BYTES = 13
_FLIGHT_BYTES = {1: 156, 2: 633, 3: 491, 4: 538}  # of the first record of a flight; what follows it is in `_FINISHED`
_FINISHED = ((_CHANGE_CIPHER_SPEC, b"\x01"), (_HANDSHAKE, b"\x00" + bytes(47)))
_PROFILE = b"SRTP_AEAD_AES_128_GCM"


class StandInCertificate:
    """The peer's certificate, of which only the fingerprint counts."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def fingerprint(self, _algorithm: hashes.HashAlgorithm) -> bytes:
        """SHA-256 of nothing in particular."""
        return self._digest


class StandInAssociation:
    """The methods of `SSL.Connection` that `DtlsTransport` calls. Flights 1 to 4 are those of RFC 6347 §4.2.4 without cookies."""

    def __init__(self, own_random: bytes, digest: bytes) -> None:
        self._own, self._digest = own_random, digest
        self._peer: tuple[bytes, bytes] | None = None  # its random, the fingerprint of its certificate
        self._is_client = False
        self._heard: set[int] = set()
        self._said: set[int] = set()
        self._written = bytearray()
        self._sequence = 0

    def set_ciphertext_mtu(self, _size: int) -> None:
        """All flights fit."""

    def set_connect_state(self) -> None:
        """Be the client."""
        self._is_client = True

    def set_accept_state(self) -> None:
        """Be the server."""
        self._is_client = False

    def bio_write(self, data: bytes) -> int:
        """A datagram of the peer."""
        position = 0
        while position + _HEADER_BYTES <= len(data):
            size = int.from_bytes(data[position + 11 : position + 13], "big")
            self._take(data[position], data[position + _HEADER_BYTES : position + _HEADER_BYTES + size])
            position += _HEADER_BYTES + size
        return len(data)

    def bio_read(self, _size: int) -> bytes:
        """What is to be sent, or SSL.WantReadError."""
        if not self._written:
            raise SSL.WantReadError
        written, self._written = bytes(self._written), bytearray()
        return written

    def do_handshake(self) -> None:
        """Go on as far as the messages of the peer allow; SSL.WantReadError until it is finished."""
        if self._is_client:
            self._say(1)
            if 2 in self._heard:
                self._say(3)
            is_done = 4 in self._heard
        else:
            if 1 in self._heard:
                self._say(2)
            is_done = 3 in self._heard
            if is_done:
                self._say(4)
        if not is_done:
            raise SSL.WantReadError

    def DTLSv1_get_timeout(self) -> float | None:
        """No timer of its own: `DtlsTransport` repeats flights four times sooner than OpenSSL would."""
        return None

    def DTLSv1_handle_timeout(self) -> bool:
        """Never due."""
        return False

    def recv(self, _size: int) -> bytes:
        """There is no application data."""
        raise SSL.WantReadError

    def get_peer_certificate(self, *, as_cryptography: bool) -> StandInCertificate | None:
        """What the peer has shown."""
        assert as_cryptography
        return None if self._peer is None else StandInCertificate(self._peer[1])

    def get_selected_srtp_profile(self) -> bytes:
        """The one that our nodes offer first."""
        return _PROFILE

    def export_keying_material(self, label: bytes, size: int) -> bytes:
        """The same on both sides, and new for each association."""
        assert self._peer is not None
        randoms = (self._own, self._peer[0]) if self._is_client else (self._peer[0], self._own)
        return hashlib.shake_256(label + b"".join(randoms)).digest(size)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind != _HANDSHAKE or len(payload) < 1 + 2 * RANDOM_BYTES or payload[0] not in _FLIGHT_BYTES:
            return
        self._heard.add(payload[0])
        if self._peer is None or payload[0] in (2, 3):
            self._peer = payload[1 : 1 + RANDOM_BYTES], payload[1 + RANDOM_BYTES : 1 + 2 * RANDOM_BYTES]

    def _say(self, flight: int) -> None:
        if flight in self._said:
            return
        self._said.add(flight)
        payload = bytes([flight]) + self._own + self._digest
        self._write(_HANDSHAKE, payload.ljust(_FLIGHT_BYTES[flight], b"\x00"))
        for kind, rest in _FINISHED if flight > 2 else ():
            self._write(kind, rest)

    def _write(self, kind: int, payload: bytes) -> None:
        self._sequence += 1
        number = self._sequence.to_bytes(8, "big")
        self._written += bytes([kind]) + _VERSION + number + len(payload).to_bytes(2, "big") + payload


class StandInIdentity(DtlsIdentity):
    """A fingerprint without a certificate behind it."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._digest = chance.bytes(32)
        self.fingerprint = f"sha-256 {self._digest.hex(':').upper()}"

    def connect(self) -> SSL.Connection:
        """A fresh association."""
        association: Any = StandInAssociation(self._chance.bytes(RANDOM_BYTES), self._digest)
        return cast(SSL.Connection, association)
