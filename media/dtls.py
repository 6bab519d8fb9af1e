"""DTLS 1.2 for SRTP keys (RFC 5764, RFC 8842) over pyOpenSSL, as a core: datagrams in, datagrams and keys out.

OpenSSL's retransmission timer reads the real clock and waits a second. So that a lost flight costs less, and that a run
on virtual time is a run on virtual time, the core sends the last flight again by itself as well.

Between our own nodes the first two flights may travel in signalling (`offer`, `answer`, `take_answer`): nothing is sent and no
timer runs until `start` names a destination. A client has its keys as soon as it has answered the server's flight: the server
has signed its part by then, and only one strength of cipher is offered (the false start of RFC 7918).
"""

import enum
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.base.self_signed import self_signed

DATAGRAM_BYTES = 1_200
FLIGHT_BYTES_MAX = 4_096
DEADLINE_SECONDS = 15.0
RESEND_SECONDS = 0.25
RESEND_SECONDS_MAX = 2.0
RESENDS_MAX = 16
CERTIFICATE_DAYS = 30
PROFILES = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
_READ_BYTES = 16_384
_CHANGE_CIPHER_SPEC, _HANDSHAKE = 20, 22  # content types
_FINGERPRINT = re.compile("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}")
_LABEL = b"EXTRACTOR-dtls_srtp"
_KEY_AND_SALT_BYTES = {b"SRTP_AEAD_AES_128_GCM": (16, 12), b"SRTP_AES128_CM_SHA1_80": (16, 14)}


class DtlsIdentity:
    """A self-signed certificate for DTLS, made once by a node; only its fingerprint counts (RFC 8122)."""

    def __init__(self, unix: float) -> None:
        certificate, key = self_signed("p2psip", unix, CERTIFICATE_DAYS)
        self.fingerprint = f"sha-256 {_colons(certificate.fingerprint(hashes.SHA256()))}"
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_cipher_list(
            b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256"
        )
        self.context.set_tlsext_use_srtp(PROFILES)

    def connect(self) -> SSL.Connection:
        """A fresh association of this side. A simulation hands in an identity whose associations read no clock."""
        return SSL.Connection(self.context)


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
    """One DTLS association. Start it once a path and the peer's fingerprint are known."""

    def __init__(self, identity: DtlsIdentity) -> None:
        self._identity = identity
        self._connection: SSL.Connection | None = None
        self._fingerprint = ""
        self._client = False
        self._destination: Address | None = None
        self._deadline: float | None = None
        self._retransmit: float | None = None
        self.flight: list[bytes] = []
        self._has_keys = False
        self._resend: float | None = None
        self._resends = 0
        self._outputs: deque[Output] = deque()
        self.state = State.NEW

    def offer(self) -> bytes:
        """Become the client before anything is known of the peer: the ClientHello, for signalling."""
        self._open(client=True)
        self._continue(0.0)
        return b"".join(self.flight)

    def answer(self, hello: bytes, fingerprint: str) -> bytes:
        """Become the server for a ClientHello that came by signalling: our flight, for signalling. Empty when it is none."""
        self._open(client=False)
        self._fingerprint = is_fingerprint(fingerprint).split()[1].upper()
        self._take(hello, 0.0)
        if self.flight and self.state is State.HANDSHAKE:
            return b"".join(self.flight)
        self._connection, self.state, self.flight = None, State.NEW, []
        self._outputs.clear()
        return b""

    def take_answer(self, flight: bytes, fingerprint: str) -> None:
        """The server's flight came by signalling: ours is in `flight`, and `Keys` follow, or `DtlsFailed`.

        One that cannot be read changes nothing: the server will repeat it on the path.
        """
        self._fingerprint = is_fingerprint(fingerprint).split()[1].upper()
        self._take(flight, 0.0)

    def start(self, *, client: bool, fingerprint: str, destination: Address, now: float) -> None:
        """Begin the handshake towards `destination`, or go on with it. `fingerprint` is the peer's, as `sha-256 AB:CD:…`.

        A server whose flight went by signalling leaves it at that for the time of one repetition.
        """
        try:
            self._fingerprint = is_fingerprint(fingerprint).split()[1].upper()
        except RemoteError:
            self._fail("the other side offers a fingerprint that is not SHA-256")
            return
        self._destination = destination
        if self.state in (State.ESTABLISHED, State.FAILED):
            return
        self._deadline = now + DEADLINE_SECONDS
        if self._connection is None or self._client != client:
            self._open(client=client)
            self._continue(now)
            return
        self._resend, self._resends = now + RESEND_SECONDS, 0
        if client:
            self._transmit()

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
        is_repeated = not self._client and data[0] in (_CHANGE_CIPHER_SPEC, _HANDSHAKE)
        if not self._flush() and is_repeated and self._resends < RESENDS_MAX:
            self._send_flight()  # the client repeats its last flight: it has not seen ours

    def handle_timeout(self, now: float) -> None:
        """Retransmit, or give up."""
        if self.state is not State.HANDSHAKE or self._connection is None or self._deadline is None:
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
        if self.state is not State.HANDSHAKE or self._deadline is None:
            return None
        return min(when for when in (self._deadline, self._retransmit, self._resend) if when is not None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _open(self, *, client: bool) -> None:
        self._client = client
        self._connection = self._identity.connect()
        self._connection.set_ciphertext_mtu(DATAGRAM_BYTES)
        if client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.state = State.HANDSHAKE
        self.flight = []

    def _take(self, flight: bytes, now: float) -> None:
        """Take a flight that came by signalling, whose records are run together."""
        for data in _datagrams(flight[:FLIGHT_BYTES_MAX]):
            self.receive(data, ("", 0), now)

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
            if self._give_keys():
                self.state = State.ESTABLISHED
            return
        if self._flush():
            self._resend, self._resends = now + RESEND_SECONDS, 0
            if self._client and _changes_cipher(self.flight) and not self._give_keys():
                return
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
            self.flight = _datagrams(bytes(written))
            self._transmit()
        return bool(written)

    def _send_flight(self) -> None:
        self._resends += 1
        self._transmit()

    def _transmit(self) -> None:
        if self._destination is not None:
            self._outputs.extend(Transmit(each, self._destination) for each in self.flight)

    @staticmethod
    def _read_on(connection: SSL.Connection) -> None:
        """Repeated flights are answered by OpenSSL itself; alerts and application data are read and dropped."""
        try:
            while connection.recv(_READ_BYTES):
                pass
        except SSL.Error:
            return

    def _give_keys(self) -> bool:
        """Once the peer's certificate is the right one; False when it is not."""
        assert self._connection is not None
        if self._has_keys:
            return True
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or _colons(certificate.fingerprint(hashes.SHA256())) != self._fingerprint:
            self._fail("the other side's DTLS certificate is not the one that its signalling named")
            return False
        profile = self._connection.get_selected_srtp_profile()
        if profile not in _KEY_AND_SALT_BYTES:
            self._fail("the other side offers no SRTP protection that this side knows")
            return False
        key, salt = _KEY_AND_SALT_BYTES[profile]
        material = self._connection.export_keying_material(_LABEL, 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        self._has_keys = True
        local, remote = (client, server) if self._client else (server, client)
        self._outputs.append(Keys(profile.decode(), local, remote))
        return True

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
    for record in _records(data):
        if found and len(found[-1]) + len(record) <= DATAGRAM_BYTES:
            found[-1] += record
        else:
            found.append(record)
    return found


def _records(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + 13 <= len(data):
        end = position + 13 + int.from_bytes(data[position + 11 : position + 13], "big")
        yield data[position:end]
        position = end


def _changes_cipher(flight: Sequence[bytes]) -> bool:
    return any(record[0] == _CHANGE_CIPHER_SPEC for data in flight for record in _records(data))


def _colons(digest: bytes) -> str:
    return ":".join(f"{byte:02X}" for byte in digest)


def _accept_any(_connection: SSL.Connection, _certificate: object, _number: int, _depth: int, _ok: int) -> bool:
    return True  # the fingerprint decides, in `_give_keys`
