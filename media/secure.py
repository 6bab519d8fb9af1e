"""The media path between two nodes as a core: ICE finds the way, DTLS gives the keys, SRTP carries the packets.

ICE starts when both descriptions are known; DTLS starts on the first path that works, without waiting for nomination.

Between our own nodes the first flights of DTLS are in the descriptions. Then the offerer has its keys when the answer comes,
and nothing waits for the checks: its last flight and its first packets leave with them, on a few ways at once, and the answerer
replies the way that they came. What may go to an address before a check of it is answered is bounded (`_Early`).
"""

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
EARLY_WAYS_MAX = 12
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
    `dtls`: the first flight of this side's DTLS, if it wraps.
    """

    ufrag: str
    password: str
    candidates: tuple[str, ...]
    fingerprint: str
    setup: str
    wraps_dtls: bool = False
    dtls: bytes = b""


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
        self._early: deque[tuple[bytes, Way]] = deque(maxlen=EARLY_PACKETS_MAX)
        self._unsent: deque[bytes] = deque(maxlen=EARLY_PACKETS_MAX)
        self._early_dtls: deque[tuple[bytes, Way, bool]] = deque(maxlen=EARLY_PACKETS_MAX)
        self._outputs: deque[Output] = deque()
        self._identity = identity
        self._wraps = False
        self._early_ways: list[Way] = []
        self._early_sent = 0
        self._setup = "actpass" if offerer else "active"
        self.description = self._describe(self._dtls.offer() if offerer else b"")
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
            self._wraps = remote.wraps_dtls
            self._begin_dtls(remote)
        if self.lost:
            return False
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

    @property
    def ways(self) -> Sequence[Way]:
        """Where packets go: the chosen way, or, while there is none, those that may work, for the first packets."""
        return self._early_ways if self.destination is None else (self.destination,)

    def protect(self, packet: bytes) -> bytes | None:
        """The SRTP or SRTCP form of `packet`, to go all `ways`; None when it cannot be sent yet (a few are kept) or not at all."""
        if len(packet) < PACKET_BYTES_MIN:
            return None
        if self._send is None or (self.destination is None and not self._may_send_early()):
            self._unsent.append(packet)
            return None
        try:
            return self._send.protect_rtcp(packet) if is_rtcp(packet) else self._send.protect(packet)
        except (SrtpError, ValueError):
            return None

    def unprotect(self, packet: bytes, source: Way) -> bytes | None:
        """The packet in an SRTP or SRTCP datagram; None when it is not to be believed.

        It comes from the chosen address, or from another that is checked: the two sides may differ in what they have found.
        """
        if len(packet) < SRTP_BYTES_MIN or (source != self.destination and not self.path.is_checked(source)):
            return None
        if self._receive is None:
            self._early.append((packet, source))
            return None
        try:
            return self._receive.unprotect_rtcp(packet) if is_rtcp(packet) else self._receive.unprotect(packet)
        except (SrtpError, ValueError):
            self.undecryptable += 1
            return None

    def _may_send_early(self) -> bool:
        self._early_sent += bool(self._early_ways)
        return bool(self._early_ways) and self._early_sent <= EARLY_PACKETS_MAX

    def _begin_dtls(self, remote: TransportDescription) -> None:
        """Settle who is the client (RFC 8842 §5.3). Flights in descriptions count between nodes that wrap; what is wrong with
        one, or that there is none, costs time only.
        """
        if self._offerer:
            self._dtls_client = remote.setup == "passive"
            if remote.wraps_dtls and remote.dtls and self._dtls_client:
                self._dtls.take_answer(remote.dtls, remote.fingerprint)
                self._drain_dtls()
        elif remote.wraps_dtls and remote.dtls and (flight := self._dtls.answer(remote.dtls, remote.fingerprint)):
            self._setup = "passive"
            self.description = self._describe(flight)
        else:
            self._dtls_client = remote.setup != "active"
            if not self._dtls_client:
                self._setup = "passive"
                self.description = self._describe()

    def _receive_dtls(self, data: bytes, source: Way, now: float, *, wrapped: bool) -> None:
        """Wrapped DTLS has proved who sent it; bare DTLS is believed from the chosen address, and only when agreed on."""
        if self.destination is None and not (wrapped and self._setup == "passive"):
            self._early_dtls.append((data, source, wrapped))
        elif wrapped or (source == self.destination and not self._wraps):
            if self.destination is None and not self._early_ways:
                self._early_ways.append(source)  # the answer to our flight comes this way, so replies go it
                self._start_dtls(source, now)
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
                    self._accompany(output)
                case Selected(remote, _nominated):
                    self._use(remote, now)
                case Stalled():
                    self._outputs.append(RestartWanted())
                case Failed(reason):
                    self._lose(reason)

    def _accompany(self, output: Transmit) -> None:
        """The offerer's last flight goes with the first checks, while none of them is answered."""
        way = output.destination
        is_early = self.destination is None and self._offerer and self._wraps and self._send is not None
        if (
            not is_early
            or way in self._early_ways
            or len(self._early_ways) >= EARLY_WAYS_MAX
            or not self.path.is_checked(way)
        ):
            return
        self._early_ways.append(way)
        self._outputs.extend(Transmit(self.path.wrap(data), way) for data in self._dtls.flight)
        self._send_unsent()

    def _drain_dtls(self) -> None:
        while not self.lost and (output := self._dtls.poll_output()) is not None:
            self._take_dtls(output)

    def _describe(self, dtls: bytes = b"") -> TransportDescription:
        agent = self.path.newest
        return TransportDescription(
            agent.ufrag,
            agent.password,
            tuple(candidate.to_sdp() for candidate in agent.local),
            self._identity.fingerprint,
            self._setup,
            wraps_dtls=True,
            dtls=dtls,
        )

    def _take_dtls(self, output: DtlsOutput) -> None:
        match output:
            case Datagram(data, _):
                wire = self.path.wrap(data) if self._wraps else data
                self._outputs.extend(Transmit(wire, way) for way in self.ways)
            case Keys():
                self._take_keys(output)
            case DtlsFailed(reason):
                self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.lost = True
        self._outputs.append(PathLost(reason))

    def _use(self, remote: Way, now: float) -> None:
        first, self.destination = self.destination is None, remote
        if not first:
            return
        self._start_dtls(remote, now)
        while self._early_dtls:
            data, source, wrapped = self._early_dtls.popleft()
            self._receive_dtls(data, source, now, wrapped=wrapped)
        if self._send is not None:
            self._begin()

    def _start_dtls(self, way: Way, now: float) -> None:
        client, fingerprint = self._dtls_client, self._remote_fingerprint
        self._dtls.start(client=client, fingerprint=fingerprint, destination=way[:2], now=now)

    def _take_keys(self, keys: Keys) -> None:
        profile = _PROFILES[keys.profile]
        self._send = Session(Policy(keys.local, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self._receive = Session(Policy(keys.remote, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        while self._early:
            data = self.unprotect(*self._early.popleft())
            if data is not None:
                self._outputs.append(MediaReceived(data))
        self._send_unsent()
        if self.destination is not None:
            self._begin()

    def _begin(self) -> None:
        """There are keys, and a way that works."""
        assert self.destination is not None
        if not self.ready:
            self.ready = True
            self._outputs.append(Ready(self.destination))
        self._send_unsent()

    def _send_unsent(self) -> None:
        for _ in range(len(self._unsent)):
            wire = self.protect(self._unsent.popleft())
            if wire is not None:
                self._outputs.extend(Transmit(wire, way) for way in self.ways)
