"""SRTP and SRTCP of one leg (RFC 3711, RFC 7714) over libsrtp: a key for each direction, and the change of keys in a call.

Where the keys come from is no business of this file: from session descriptions (`media/sdes.py`) or from DTLS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from media.rtp import HEADER_BYTES, is_rtcp

STREAMS_MAX = 32
OVERLAP_PACKETS = 100
_RTCP_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Suite:
    """One crypto-suite. Sizes in bytes; `tags` stand behind an MKI in SRTP and SRTCP (in AEAD suites nothing does)."""

    name: str
    profile: int
    key_bytes: int
    salt_bytes: int
    tags: tuple[int, int]


SUITES = {
    suite.name: suite
    for suite in (
        Suite("AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12, (0, 0)),
        Suite("AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12, (0, 0)),
        Suite("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14, (10, 10)),
        Suite("AES_CM_128_HMAC_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14, (4, 10)),
    )
}
"""Those that pylibsrtp offers, the strongest first; AES_256_CM (RFC 6188) is not among them."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """Key and salt for one direction. `mki_bytes`: how long the master key identifier is that each packet carries."""

    suite: str
    secret: bytes = field(repr=False)
    mki_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What is agreed for both directions; None while it is not: then nothing passes, in the clear neither."""

    send: MasterKey | None = None
    receive: MasterKey | None = None


class SrtpContexts:
    """Protects what goes out and believes what comes in. A key that stays keeps its context, and so its rollover counter.

    After a change the key before still opens what was under way, until OVERLAP_PACKETS have come with the new one.
    """

    def __init__(self) -> None:
        self._keys = SrtpKeys()
        self._send: Session | None = None
        self._receive: Session | None = None
        self._before: Session | None = None
        self._overlap = 0
        self._mki = self._mki_before = (0, 0, 0)
        self._sent: set[bytes] = set()
        self._received: set[bytes] = set()

    def set_keys(self, keys: SrtpKeys) -> None:
        """Use these keys from now on; `keys` that are the ones in use change nothing."""
        if keys.send != self._keys.send:
            self._send = _session(keys.send, Policy.SSRC_ANY_OUTBOUND)
            self._sent.clear()
        if keys.receive != self._keys.receive:
            self._before, self._mki_before, self._overlap = self._receive, self._mki, OVERLAP_PACKETS
            self._receive = _session(keys.receive, Policy.SSRC_ANY_INBOUND)
            self._mki = _mki(keys.receive)
            self._received.clear()
        self._keys = keys

    def protect(self, packet: bytes) -> bytes | None:
        """The SRTP or SRTCP form of an RTP or RTCP packet; None without a key, for a repeated packet, or above STREAMS_MAX."""
        session = self._send
        is_control = is_rtcp(packet)
        if session is None or len(packet) < (_RTCP_HEADER_BYTES if is_control else HEADER_BYTES):
            return None
        source = packet[4:8] if is_control else packet[8:12]
        if source not in self._sent:
            if len(self._sent) >= STREAMS_MAX:
                return None
            self._sent.add(source)
        try:
            return session.protect_rtcp(packet) if is_control else session.protect(packet)
        except (SrtpError, ValueError):
            return None

    def unprotect(self, packet: bytes) -> bytes | None:
        """The packet that an SRTP or SRTCP datagram protects; None for what is forged, repeated or not to be read."""
        is_control = is_rtcp(packet)
        if self._receive is None or len(packet) < HEADER_BYTES:
            return None
        source = packet[4:8] if is_control else packet[8:12]
        if source not in self._received and len(self._received) >= STREAMS_MAX:
            return None
        opened = _open(self._receive, packet, self._mki, is_control=is_control)
        if opened is not None:
            self._received.add(source)
            if self._before is not None:
                self._overlap -= 1
                self._before = self._before if self._overlap > 0 else None
            return opened
        if self._before is not None:
            return _open(self._before, packet, self._mki_before, is_control=is_control)
        return None


def _session(key: MasterKey | None, direction: int) -> Session | None:
    if key is None:
        return None
    return Session(Policy(key.secret, direction, srtp_profile=SUITES[key.suite].profile))


def _mki(key: MasterKey | None) -> tuple[int, int, int]:
    """(bytes of the MKI, bytes behind it in SRTP, in SRTCP)."""
    return (0, 0, 0) if key is None else (key.mki_bytes, *SUITES[key.suite].tags)


def _open(session: Session, packet: bytes, mki: tuple[int, int, int], *, is_control: bool) -> bytes | None:
    size, *tags = mki
    if size:
        end = len(packet) - tags[is_control]
        packet = packet[: max(end - size, 0)] + packet[end:]
    opener: Callable[[bytes], bytes] = session.unprotect_rtcp if is_control else session.unprotect
    try:
        return opener(packet)
    except (SrtpError, ValueError):
        return None
