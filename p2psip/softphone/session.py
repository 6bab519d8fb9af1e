"""What a softphone says of its audio and takes of the other side's: PCMU and telephone events, RTP or SRTP (RFC 4568)."""

from typing import Protocol

from media.sdes import SdesNegotiation
from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.sdp import MediaDescription, SessionDescription

PCMU = 0

_PLAIN, _SECURE = "RTP/AVP", "RTP/SAVP"


class Line(Protocol):
    """RTP of one call: `media.phone_leg.PhoneLeg`."""

    @property
    def local(self) -> Address:
        """Our RTP address."""

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the other side wants its packets."""

    def set_keys(self, keys: SrtpKeys | None) -> None:
        """Speak SRTP with these keys; None: RTP."""

    def close(self) -> None:
        """Free it."""


class Session:
    """The descriptions of one call on `line`, whose signalling comes from `host`."""

    def __init__(self, line: Line, chance: Chance, host: str) -> None:
        self._line = line
        self._chance = chance
        self._host = host
        self._sdes = SdesNegotiation(chance)

    def offer(self, *, secure: bool) -> bytes:
        """Ours, first."""
        if not secure:
            return self._describe(_PLAIN, [])
        self._line.set_keys(SrtpKeys())
        return self._describe(_SECURE, [each.to_sdp() for each in self._sdes.offer()])

    def take_answer(self, body: bytes) -> None:
        """The other side's answer; RemoteError(488) when it cannot be used."""
        media = self._aim(body)
        lines = media.all("crypto")
        if media.protocol == _SECURE or lines:
            self._sdes.take_answer(lines)
        self._line.set_keys(self._sdes.keys)

    def answer(self, offer: bytes) -> bytes:
        """Ours, to the other side's `offer` (empty: as before); RemoteError(488) when it cannot be used."""
        if not offer:
            return self._describe(_PLAIN, [])
        media = self._aim(offer)
        lines, keys = media.all("crypto"), []
        if media.protocol == _SECURE or lines:
            self._sdes.take_offer(lines)
            keys = [self._sdes.answer().to_sdp()]
        self._line.set_keys(self._sdes.keys if keys else None)
        return self._describe(media.protocol, keys)

    def _aim(self, body: bytes) -> MediaDescription:
        description = SessionDescription.parse(body)
        media = next((each for each in description.media if each.kind == "audio" and each.port), None)
        if media is None or media.protocol not in (_PLAIN, _SECURE):
            raise RemoteError("the other side offers no audio that this phone can take", status=488)
        self._line.set_remote((description.host(media), media.port), self._host)
        return media

    def _describe(self, protocol: str, crypto: list[str]) -> bytes:
        attributes: list[tuple[str, str | None]] = [
            ("rtpmap", f"{PCMU} PCMU/8000"),
            ("rtpmap", "101 telephone-event/8000"),
            ("fmtp", "101 0-16"),
            ("ptime", "20"),
            ("sendrecv", None),
            *(("crypto", each) for each in crypto),
        ]
        local = self._line.local
        media = MediaDescription("audio", local[1], protocol, (str(PCMU), "101"), attributes=attributes)
        number = self._chance.integer(31)
        return SessionDescription("-", number, number, local[0], connection=local[0], media=[media]).to_bytes()
