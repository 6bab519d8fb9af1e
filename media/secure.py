"""The media path between two nodes as a core: ICE finds the way, DTLS gives the keys, SRTP carries the packets.

ICE starts when both descriptions are known; DTLS starts on the first path that works, without waiting for nomination.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from media import stun
from media.dtls import DtlsFailed, DtlsIdentity, DtlsTransport, Keys, is_fingerprint
from media.dtls import Output as DtlsOutput
from media.ice.candidates import Candidate, Way, is_credential
from media.ice.events import Failed, Selected, Stalled, Transmit
from media.ice.path import IcePath
from media.rtp import is_rtcp
from p2psip.base.chance import Chance
from p2psip.base.core import Transmit as Datagram
from p2psip.base.errors import RemoteError

EARLY_PACKETS_MAX = 10
PACKET_BYTES_MIN = 8
SRTP_BYTES_MIN = 12

_PROFILES = {
    "SRTP_AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "SRTP_AES128_CM_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


@dataclass(frozen=True, slots=True)
class TransportDescription:
    """What one side tells the other in its session description (RFC 8839, RFC 8122, RFC 4145).

    `wraps_dtls`: this side takes DTLS inside STUN indications. All calls between two nodes share one pair of ports, and
    DTLS 1.2 has nothing in it that tells them apart; a browser has ports of its own and gets bare DTLS.
    """

    ufrag: str
    password: str
    candidates: tuple[str, ...]
    fingerprint: str
    setup: str
    wraps_dtls: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Packets pass both ways from now on."""

    remote: Way


@dataclass(frozen=True, slots=True)
class MediaReceived:
    """A packet from the peer that waited for the keys, decrypted."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RestartWanted:
    """All known ways are dead: an ICE restart with new candidates may find another."""


@dataclass(frozen=True, slots=True)
class PathLost:
    """The path could not be made, or is gone; `reason` is a sentence."""

    reason: str


Output = Transmit | Ready | MediaReceived | RestartWanted | PathLost


class SecureTransport:
    """One path for one call. Feed STUN and DTLS to `receive`; packets go through `protect` and `unprotect`."""

    def __init__(
        self, *, offerer: bool, candidates: Sequence[Candidate], identity: DtlsIdentity, chance: Chance
    ) -> None:
        self.path = IcePath(controlling=offerer, local=candidates, chance=chance)
        self.destination: Way | None = None
        self.ready = False
        self._offerer = offerer
        self._dtls = DtlsTransport(identity)
        self._dtls_client = False
        self._remote_fingerprint = ""
        self._send: Session | None = None
        self._receive: Session | None = None
        self._early: deque[bytes] = deque(maxlen=EARLY_PACKETS_MAX)
        self._unsent: deque[bytes] = deque(maxlen=EARLY_PACKETS_MAX)
        self._early_dtls: deque[tuple[bytes, Way, bool]] = deque(maxlen=EARLY_PACKETS_MAX)
        self._outputs: deque[Output] = deque()
        self._identity = identity
        self.description = self._describe()
        self._wraps = False
        self.lost = False
        self.undecryptable = 0

    def set_remote(self, remote: TransportDescription, now: float) -> bool:
        """The peer's description; RemoteError(488) when it cannot be used. True when the peer has restarted ICE, and
        this side with it: `description` is new then. Keys and DTLS roles stay.
        """
        fingerprint = is_fingerprint(remote.fingerprint)
        if self._remote_fingerprint and fingerprint.upper() != self._remote_fingerprint.upper():
            raise RemoteError("a description with another DTLS certificate in the middle of a call", status=488)
        if not (is_credential(remote.ufrag) and is_credential(remote.password)):
            raise RemoteError("ICE credentials that cannot be used", status=488)
        if not self._remote_fingerprint:
            self._remote_fingerprint = fingerprint
            self._dtls_client = remote.setup == "passive" if self._offerer else True
            self._wraps = remote.wraps_dtls
        restarted = self.path.needs_restart_for(remote.ufrag, remote.password)
        if restarted:
            self.restart()
        self.path.set_remote(remote.ufrag, remote.password, remote.candidates, now)
        self._drain(now)
        return restarted

    def needs_restart_for(self, remote: TransportDescription) -> bool:
        """Whether `remote` says that the peer has restarted ICE and this side has not yet."""
        return self.path.needs_restart_for(remote.ufrag, remote.password)

    def restart(self, candidates: Sequence[Candidate] | None = None) -> TransportDescription:
        """New ICE credentials and candidates (RFC 8445 §9), for the next description; the way in use stays meanwhile."""
        local = self.path.newest.local if candidates is None else candidates
        self.path.restart(local)
        self.description = self._describe()
        return self.description

    def add_local(self, candidate: Candidate, now: float) -> None:
        """One more candidate of ours."""
        self.path.add_local(candidate, now)
        self._drain(now)

    def drop_relay(self, relay: int, now: float) -> None:
        """A relay of ours is gone."""
        self.path.drop_relay(relay, now)
        self._drain(now)

    def suspect(self, now: float) -> None:
        """The way in use may be dead."""
        self.path.suspect(now)

    def receive(self, data: bytes, source: Way, now: float) -> None:
        """Take one STUN or DTLS datagram."""
        if self.lost:
            return
        if not stun.is_stun(data):
            self._receive_dtls(data, source, now, wrapped=False)
        elif not stun.is_indication(data):
            self.path.receive(data, source, now)
        elif (inner := self.path.unwrap(data)) is not None:
            self._receive_dtls(inner, source, now, wrapped=True)
        self._drain(now)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        if self.lost:
            return
        self.path.handle_timeout(now)
        self._dtls.handle_timeout(now)
        self._drain(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        if self.lost:
            return None
        deadlines = [when for when in (self.path.poll_timeout(), self._dtls.poll_timeout()) if when is not None]
        return min(deadlines, default=None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def protect(self, packet: bytes) -> bytes | None:
        """The SRTP or SRTCP form of `packet`; None when it cannot be sent yet (a few are kept) or not at all."""
        if len(packet) < PACKET_BYTES_MIN:
            return None
        if self._send is None:
            self._unsent.append(packet)
            return None
        try:
            return self._send.protect_rtcp(packet) if is_rtcp(packet) else self._send.protect(packet)
        except (SrtpError, ValueError):
            return None

    def unprotect(self, packet: bytes, source: Way) -> bytes | None:
        """The packet in an SRTP or SRTCP datagram; None when it is not to be believed.

        It comes from the chosen address, or from another that works: until ICE concludes, both sides may differ.
        """
        if len(packet) < SRTP_BYTES_MIN or (source != self.destination and not self.path.is_valid(source)):
            return None
        if self._receive is None:
            self._early.append(packet)
            return None
        try:
            return self._receive.unprotect_rtcp(packet) if is_rtcp(packet) else self._receive.unprotect(packet)
        except (SrtpError, ValueError):
            self.undecryptable += 1
            return None

    def _receive_dtls(self, data: bytes, source: Way, now: float, *, wrapped: bool) -> None:
        """Wrapped DTLS has proved who sent it; bare DTLS is believed from the chosen address, and only when agreed on."""
        if self.destination is None:
            self._early_dtls.append((data, source, wrapped))
        elif wrapped or (source == self.destination and not self._wraps):
            self._dtls.receive(data, source[:2], now)

    def _drain(self, now: float) -> None:
        while not self.lost:
            output = self.path.poll_output()
            if output is None and (dtls := self._dtls.poll_output()) is not None:
                self._take_dtls(dtls)
                continue
            match output:
                case None:
                    return
                case Transmit():
                    self._outputs.append(output)
                case Selected(remote, _nominated):
                    self._use(remote, now)
                case Stalled():
                    self._outputs.append(RestartWanted())
                case Failed(reason):
                    self._lose(reason)

    def _describe(self) -> TransportDescription:
        agent = self.path.newest
        return TransportDescription(
            agent.ufrag,
            agent.password,
            tuple(candidate.to_sdp() for candidate in agent.local),
            self._identity.fingerprint,
            "actpass" if self._offerer else "active",
            wraps_dtls=True,
        )

    def _take_dtls(self, output: DtlsOutput) -> None:
        match output:
            case Datagram(data, _) if self.destination is not None:
                wire = self.path.wrap(data) if self._wraps else data
                self._outputs.append(Transmit(wire, self.destination))
            case Keys():
                self._begin(output)
            case DtlsFailed(reason):
                self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.lost = True
        self._outputs.append(PathLost(reason))

    def _use(self, remote: Way, now: float) -> None:
        first, self.destination = self.destination is None, remote
        if first:
            self._dtls.start(
                client=self._dtls_client, fingerprint=self._remote_fingerprint, destination=remote[:2], now=now
            )
            while self._early_dtls:
                data, source, wrapped = self._early_dtls.popleft()
                self._receive_dtls(data, source, now, wrapped=wrapped)

    def _begin(self, keys: Keys) -> None:
        profile = _PROFILES[keys.profile]
        self._send = Session(Policy(keys.local, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self._receive = Session(Policy(keys.remote, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        self.ready = True
        assert self.destination is not None
        self._outputs.append(Ready(self.destination))
        while self._unsent:
            with contextlib.suppress(SrtpError, ValueError):
                packet = self._unsent.popleft()
                wire = self._send.protect_rtcp(packet) if is_rtcp(packet) else self._send.protect(packet)
                self._outputs.append(Transmit(wire, self.destination))
        while self._early:
            data = self.unprotect(self._early.popleft(), self.destination)
            if data is not None:
                self._outputs.append(MediaReceived(data))
