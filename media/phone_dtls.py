"""DTLS-SRTP towards a phone without ICE (RFC 5763, RFC 5764), as a core: the keys of one leg from handshakes on its own ports.

RTP and RTCP have an association each (RFC 5764 §4.1), unless they share a port (RFC 5761). A phone behind a NAT is answered where
its datagrams come from.
"""

from collections import deque
from dataclasses import dataclass

from media.dtls import DtlsFailed, DtlsIdentity, DtlsTransport, Keys, is_fingerprint
from media.srtp import MasterKey, SrtpKeys
from p2psip.base.core import Address, Transmit

_SUITES = {
    "SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    "SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
}


@dataclass(frozen=True, slots=True)
class DtlsPeer:
    """What was agreed on: whether this side is the client, the phone's fingerprint, and whether RTCP shares the RTP port."""

    is_client: bool
    fingerprint: str
    is_muxed: bool


@dataclass(frozen=True, slots=True)
class ToSend:
    """A DTLS datagram; `is_control`: from the RTCP port."""

    data: bytes
    destination: Address
    is_control: bool


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The handshake of one port is done."""

    keys: SrtpKeys
    is_control: bool


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """No keys will come; `reason` is a sentence."""

    reason: str


class PhoneDtls:
    """The one or two associations of a leg."""

    def __init__(self, identity: DtlsIdentity, peer: DtlsPeer, rtp: Address, rtcp: Address, now: float) -> None:
        """Begin; RemoteError(488) for a fingerprint that is not SHA-256."""
        is_fingerprint(peer.fingerprint)
        self.peer = peer
        self.aimed_at = (rtp, rtcp)
        self._outputs: deque[ToSend | KeysFound | HandshakeFailed] = deque()
        self._associations = [DtlsTransport(identity)]
        if not peer.is_muxed:
            self._associations.append(DtlsTransport(identity))
        for association, destination in zip(self._associations, self.aimed_at, strict=False):
            association.start(client=peer.is_client, fingerprint=peer.fingerprint, destination=destination, now=now)
        self._drain()

    def receive(self, data: bytes, source: Address, now: float, *, is_control: bool) -> None:
        """Take one datagram that is DTLS by its first byte, from an address that may be the phone's."""
        if is_control and self.peer.is_muxed:
            return
        association = self._associations[is_control]
        association.move(source)
        association.receive(data, source, now)
        self._drain()

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for association in self._associations:
            association.handle_timeout(now)
        self._drain()

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        deadlines = [association.poll_timeout() for association in self._associations]
        return min((when for when in deadlines if when is not None), default=None)

    def poll_output(self) -> ToSend | KeysFound | HandshakeFailed | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _drain(self) -> None:
        for is_control, association in enumerate(self._associations):
            while (output := association.poll_output()) is not None:
                match output:
                    case Transmit(data, destination):
                        self._outputs.append(ToSend(data, destination, bool(is_control)))
                    case Keys(profile, local, remote):
                        suite = _SUITES[profile]
                        keys = SrtpKeys(MasterKey(suite, local), MasterKey(suite, remote))
                        self._outputs.append(KeysFound(keys, bool(is_control)))
                    case DtlsFailed(reason):
                        if not is_control:  # a call without RTCP is a call
                            self._outputs.append(HandshakeFailed(reason))
