"""DTLS 1.2 for SRTP keys (RFC 5764, RFC 8842) over pyOpenSSL, as a core: datagrams in, datagrams and keys out.

OpenSSL's retransmission timer reads the real clock and waits a second. So that a lost flight costs less, and that a run
on virtual time is a run on virtual time, the core sends the last flight again by itself as well.
"""

import datetime
import enum
import re
from collections import deque
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError

DATAGRAM_BYTES = 1_200
DEADLINE_SECONDS = 15.0
RESEND_SECONDS = 0.25
RESEND_SECONDS_MAX = 2.0
RESENDS_MAX = 16
CERTIFICATE_DAYS = 30
PROFILES = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
_READ_BYTES = 16_384
_OF_A_HANDSHAKE = frozenset((20, 22))  # content types change_cipher_spec and handshake
_FINGERPRINT = re.compile("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}")
_LABEL = b"EXTRACTOR-dtls_srtp"
_KEY_AND_SALT_BYTES = {b"SRTP_AEAD_AES_128_GCM": (16, 12), b"SRTP_AES128_CM_SHA1_80": (16, 14)}


class DtlsIdentity:
    """A self-signed certificate for DTLS, made once by a node; only its fingerprint counts (RFC 8122)."""

    def __init__(self, unix: float) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2psip")])
        start = datetime.datetime.fromtimestamp(unix, tz=datetime.UTC) - datetime.timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=CERTIFICATE_DAYS))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = f"sha-256 {_colons(certificate.fingerprint(hashes.SHA256()))}"
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_cipher_list(
            b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256"
        )
        self.context.set_tlsext_use_srtp(PROFILES)


class State(enum.Enum):
    """NEW -> HANDSHAKE -> ESTABLISHED | FAILED."""

    NEW = "new"
    HANDSHAKE = "handshake"
    ESTABLISHED = "established"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Keys:
    """SRTP master keys with salts appended, for our direction and the peer's; `profile` is its OpenSSL name."""

    profile: str
    local: bytes
    remote: bytes


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The handshake failed; `reason` is a sentence."""

    reason: str


Output = Transmit | Keys | DtlsFailed


class DtlsTransport:
    """One DTLS association. Start it once the path and the peer's fingerprint are known."""

    def __init__(self, identity: DtlsIdentity) -> None:
        self._identity = identity
        self._connection: SSL.Connection | None = None
        self._fingerprint = ""
        self._client = False
        self._destination: Address = ("", 0)
        self._deadline = 0.0
        self._retransmit: float | None = None
        self._flight: list[bytes] = []
        self._resend: float | None = None
        self._resends = 0
        self._outputs: deque[Output] = deque()
        self.state = State.NEW

    def start(self, *, client: bool, fingerprint: str, destination: Address, now: float) -> None:
        """Begin the handshake towards `destination`. `fingerprint` is the peer's, as `sha-256 AB:CD:…`."""
        try:
            self._fingerprint = is_fingerprint(fingerprint).split()[1].upper()
        except RemoteError:
            self._fail("the other side offers a fingerprint that is not SHA-256")
            return
        self._client, self._destination = client, destination
        self._connection = SSL.Connection(self._identity.context)
        self._connection.set_ciphertext_mtu(DATAGRAM_BYTES)
        if client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.state = State.HANDSHAKE
        self._deadline = now + DEADLINE_SECONDS
        self._continue(now)

    def move(self, destination: Address) -> None:
        """ICE has chosen another address."""
        self._destination = destination

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one DTLS datagram."""
        if self._connection is None or self.state is State.FAILED or not data or not 20 <= data[0] < 64:
            return
        self._connection.bio_write(data)
        if self.state is State.HANDSHAKE:
            self._continue(now)
            return
        self._read_on(self._connection)
        if not self._flush() and not self._client and data[0] in _OF_A_HANDSHAKE and self._resends < RESENDS_MAX:
            self._send_flight()  # the client repeats its last flight: it has not seen ours

    def handle_timeout(self, now: float) -> None:
        """Retransmit, or give up."""
        if self.state is not State.HANDSHAKE or self._connection is None:
            return
        if now >= self._deadline:
            self._fail("the DTLS handshake was not answered in time")
            return
        if self._retransmit is not None and now >= self._retransmit:
            self._connection.DTLSv1_handle_timeout()
            self._continue(now)
        elif self._resend is not None and now >= self._resend:
            self._send_flight()
            delay = min(RESEND_SECONDS * 2**self._resends, RESEND_SECONDS_MAX)
            self._resend = now + delay if self._resends < RESENDS_MAX else None

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        if self.state is not State.HANDSHAKE:
            return None
        return min(when for when in (self._deadline, self._retransmit, self._resend) if when is not None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _continue(self, now: float) -> None:
        assert self._connection is not None
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._flush()
            self._fail(f"the DTLS handshake failed: {error}")
            return
        else:
            self._flush()
            self._finish()
            return
        if self._flush():
            self._resend, self._resends = now + RESEND_SECONDS, 0
        delay = self._connection.DTLSv1_get_timeout()
        self._retransmit = None if delay is None else now + delay

    def _flush(self) -> bool:
        """Send what OpenSSL has written, and keep it as the last flight; False when there is nothing."""
        assert self._connection is not None
        written = bytearray()
        try:
            while True:
                written += self._connection.bio_read(_READ_BYTES)
        except SSL.Error:  # the memory BIO is empty
            pass
        if written:
            self._flight = _datagrams(bytes(written))
            self._outputs.extend(Transmit(each, self._destination) for each in self._flight)
        return bool(written)

    def _send_flight(self) -> None:
        self._resends += 1
        self._outputs.extend(Transmit(each, self._destination) for each in self._flight)

    @staticmethod
    def _read_on(connection: SSL.Connection) -> None:
        """Repeated flights are answered by OpenSSL itself; alerts and application data are read and dropped."""
        try:
            while connection.recv(_READ_BYTES):
                pass
        except SSL.Error:
            return

    def _finish(self) -> None:
        assert self._connection is not None
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or _colons(certificate.fingerprint(hashes.SHA256())) != self._fingerprint:
            self._fail("the other side's DTLS certificate is not the one that its signalling named")
            return
        profile = self._connection.get_selected_srtp_profile()
        if profile not in _KEY_AND_SALT_BYTES:
            self._fail("the other side offers no SRTP protection that this side knows")
            return
        key, salt = _KEY_AND_SALT_BYTES[profile]
        material = self._connection.export_keying_material(_LABEL, 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        self.state = State.ESTABLISHED
        local, remote = (client, server) if self._client else (server, client)
        self._outputs.append(Keys(profile.decode(), local, remote))

    def _fail(self, reason: str) -> None:
        if self.state is State.FAILED:
            return
        self.state = State.FAILED
        self._outputs.append(DtlsFailed(reason))


def is_fingerprint(text: str) -> str:
    """`text` if it is a SHA-256 fingerprint of the form of RFC 8122; RemoteError(488) otherwise."""
    algorithm, _, digits = text.strip().partition(" ")
    if algorithm.lower() != "sha-256" or _FINGERPRINT.fullmatch(digits.strip()) is None:
        raise RemoteError("a media description without a SHA-256 fingerprint", status=488)
    return text


def _datagrams(data: bytes) -> list[bytes]:
    """OpenSSL's memory BIO runs records together; cut them apart and fill datagrams up to DATAGRAM_BYTES."""
    found: list[bytes] = []
    position = 0
    while position + 13 <= len(data):
        end = position + 13 + int.from_bytes(data[position + 11 : position + 13], "big")
        record = data[position:end]
        if found and len(found[-1]) + len(record) <= DATAGRAM_BYTES:
            found[-1] += record
        else:
            found.append(record)
        position = end
    return found


def _colons(digest: bytes) -> str:
    return ":".join(f"{byte:02X}" for byte in digest)


def _accept_any(_connection: SSL.Connection, _certificate: object, _number: int, _depth: int, _ok: int) -> bool:
    return True  # the fingerprint decides, in `_finish`
