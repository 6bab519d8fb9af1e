"""Session descriptions of a call's legs: what is taken from one side, and what the other side is told (RFC 8866, 3264).

Codecs and their payload types pass through unchanged, telephone-event included; addresses, keys and versions are each
leg's own. Audio only: other media lines are answered with port 0 and keep their place.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from media.dtls import FLIGHT_BYTES_MAX
from media.secure import TransportDescription
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.sdp import DIRECTIONS, MediaDescription, SessionDescription

PLAIN_PROFILES = ("RTP/AVP", "RTP/AVPF")
SECURE_PROFILES = ("RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
PHONE_PROFILES = SECURE_PROFILES + PLAIN_PROFILES
OVERLAY_PROFILES = ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
CANDIDATES_MAX = 32
DISCARD_PORT = 9
WRAPS_DTLS = "p2psip-dtls"
FAX_PROTOCOL = "udptl"
NO_FAX = "fax as T.38 is not carried here: send it as audio (G.711)"

_PASSED = ("rtpmap", "fmtp", "ptime", "maxptime")
_FAX_PREFIXES = ("T38", "Transcoding")
_UNSPECIFIED = ("0.0.0.0", "::")
_PORT = re.compile(r"[0-9]{1,5}")
_WITHOUT_RECEIVING = {"sendrecv": "sendonly", "sendonly": "sendonly", "recvonly": "inactive", "inactive": "inactive"}
REVERSED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(frozen=True, slots=True)
class Audio:
    """What both legs of a call share: payload types in order of preference, their attributes, the direction.

    `is_fax`: it is no audio but T.38 over UDPTL, which two legs without SRTP can pass.
    """

    formats: tuple[str, ...]
    attributes: tuple[tuple[str, str | None], ...] = ()
    direction: str = "sendrecv"
    is_fax: bool = False

    def with_direction(self, direction: str) -> "Audio":
        """The same with another direction."""
        return replace(self, direction=direction)

    def shares_codec(self, other: "Audio") -> bool:
        """Whether a payload type of this one, other than digits and comfort noise, is in `other` too."""
        return bool(self._speech() & other._speech())

    def _speech(self) -> set[str]:
        besides = {"13"}
        for name, value in self.attributes:
            if name == "rtpmap" and value and value.partition(" ")[2].lower().startswith(("telephone-event", "cn/")):
                besides.add(value.partition(" ")[0])
        return set(self.formats) - besides


@dataclass(slots=True)
class Layout:
    """The media lines of one leg as they were first agreed, and which of them is the audio; it only ever grows.

    `lines` are those of what was read last; of an offer that was refused nothing stays (RFC 3264 §8).
    """

    lines: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    audio: int = 0
    _agreed: tuple[list[tuple[str, str, tuple[str, ...]]], int] = field(default_factory=lambda: ([], 0))

    def agree(self) -> None:
        """The present lines were offered and answered."""
        self._agreed = self.lines, self.audio

    def revert(self) -> None:
        """Back to what was agreed on last."""
        self.lines, self.audio = self._agreed


@dataclass(slots=True)
class Origin:
    """Our o= line towards one side: the version goes up whenever the content changes (RFC 3264 §8)."""

    session_id: int
    host: str
    version: int = 1
    _last: bytes = b""

    @classmethod
    def make(cls, chance: Chance, host: str) -> "Origin":
        """A new session."""
        return cls(chance.integer(62), host)

    def finish(self, description: SessionDescription) -> bytes:
        """The bytes of `description`, with the version that it must have."""
        description.version = 0
        content = description.to_bytes()
        if self._last and content != self._last:
            self.version += 1
        self._last = content
        description.version = self.version
        return description.to_bytes()


def read_audio(
    body: bytes, profiles: tuple[str, ...], layout: Layout, *, takes_fax: bool = False
) -> tuple[Audio, SessionDescription, MediaDescription]:
    """The audio of a peer's description; RemoteError(488) when none of its lines can be used. Fills `layout`.

    Of several lines, as phones send them that leave the choice between SRTP and RTP, the secure one is taken.
    """
    try:
        description = SessionDescription.parse(body)
    except RemoteError as error:
        raise RemoteError(str(error), status=488) from error
    found = [
        index
        for index, media in enumerate(description.media)
        if media.kind == "audio" and media.port != 0 and media.protocol in profiles and media.codecs
    ]
    if not found and takes_fax:
        found = [index for index, media in enumerate(description.media) if _is_fax(media)]
    if not found:
        raise RemoteError(_why_no_audio(description), status=488)
    layout.audio = next((each for each in found if description.media[each].protocol in SECURE_PROFILES), found[0])
    layout.lines = [(line.kind, line.protocol, line.formats) for line in description.media]
    media = description.media[layout.audio]
    return _audio(description, media), description, media


def write_description(audio: Audio, origin: Origin, layout: Layout, ours: MediaDescription) -> bytes:
    """Our description with `ours` as its audio line, the other lines of the layout refused."""
    description = SessionDescription("p2psip", origin.session_id, 0, origin.host, connection=origin.host)
    ours.formats = audio.formats
    if audio.is_fax:
        ours.kind, ours.protocol, ours.attributes = "image", FAX_PROTOCOL, []
    ours.attributes = [*audio.attributes, (audio.direction, None), *ours.attributes]
    for index, (kind, protocol, formats) in enumerate(layout.lines):
        refused = MediaDescription(kind, 0, protocol, formats)
        description.media.append(ours if index == layout.audio else refused)
    if not layout.lines:
        layout.lines = [(ours.kind, ours.protocol, ours.formats)]
        description.media.append(ours)
    return origin.finish(description)


def phone_line(local: Address, protocol: str = "RTP/AVP", crypto: Sequence[str] = ()) -> MediaDescription:
    """The audio line towards a phone, with its a=crypto values (RFC 4568)."""
    return MediaDescription("audio", local[1], protocol, (), attributes=[("crypto", each) for each in crypto])


def overlay_line(transport: TransportDescription) -> MediaDescription:
    """The audio line towards a node: ICE (RFC 8839), DTLS-SRTP (RFC 5763), RTP and RTCP on one port (RFC 5761)."""
    attributes: list[tuple[str, str | None]] = [
        ("rtcp-mux", None),
        ("ice-ufrag", transport.ufrag),
        ("ice-pwd", transport.password),
        ("fingerprint", transport.fingerprint),
        ("setup", transport.setup),
    ]
    if transport.wraps_dtls:
        attributes.append(("ice-options", WRAPS_DTLS))
    if transport.dtls:
        attributes.append((WRAPS_DTLS, base64.b64encode(transport.dtls).decode()))
    attributes += [("candidate", each) for each in transport.candidates]
    return MediaDescription("audio", DISCARD_PORT, OVERLAY_PROFILES[0], (), attributes=attributes)


def phone_addresses(description: SessionDescription, media: MediaDescription) -> tuple[Address, Address | None] | None:
    """Where a phone wants RTP and (RFC 3605) RTCP; None for the old way of holding, an unspecified address."""
    host = description.host(media)
    if host in _UNSPECIFIED:
        return None
    words = (media.get("rtcp") or "").split()
    if not words or _PORT.fullmatch(words[0]) is None or not 0 < int(words[0]) < 65_536:
        return (host, media.port), None
    return (host, media.port), (words[3] if len(words) == 4 else host, int(words[0]))


def read_transport(description: SessionDescription, media: MediaDescription) -> TransportDescription:
    """The peer node's transport; RemoteError(488) when a part is missing."""
    names = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")
    found = [description.attribute(media, name) for name in names]
    if not all(found) or media.get("rtcp-mux") is None:
        raise RemoteError("a description of a node without ICE, fingerprint or rtcp-mux", status=488)
    ufrag, password, fingerprint, setup = (value or "" for value in found)
    fingerprint = read_fingerprint(description, media) or fingerprint
    wraps = WRAPS_DTLS in (description.attribute(media, "ice-options") or "").split()
    candidates = tuple(media.all("candidate")[:CANDIDATES_MAX])
    return TransportDescription(ufrag, password, candidates, fingerprint, setup, wraps_dtls=wraps, dtls=_flight(media))


def read_fingerprint(description: SessionDescription, media: MediaDescription) -> str | None:
    """The SHA-256 fingerprint among those that a peer names (RFC 8122 §5), else its first; None when there is none."""
    values = media.all("fingerprint") or [
        value or "" for name, value in description.attributes if name == "fingerprint"
    ]
    return next((each for each in values if each.strip().lower().startswith("sha-256 ")), values[0] if values else None)


def _flight(media: MediaDescription) -> bytes:
    """The first flight of a node's DTLS; nothing for one that cannot be read or is too long, since it only saves time."""
    try:
        flight = base64.b64decode(media.get(WRAPS_DTLS) or "", validate=True)
    except ValueError:
        return b""
    return flight if len(flight) <= FLIGHT_BYTES_MAX else b""


def _is_fax(media: MediaDescription) -> bool:
    return media.kind == "image" and media.port != 0 and media.protocol.lower() == FAX_PROTOCOL


def _why_no_audio(description: SessionDescription) -> str:
    if any(media.kind == "image" and media.port != 0 for media in description.media):
        return NO_FAX
    return "no audio that this node can carry: it takes RTP/AVP, RTP/SAVP with a=crypto, and UDP/TLS/RTP/SAVP"


def _audio(description: SessionDescription, media: MediaDescription) -> Audio:
    if media.kind == "image":
        kept = tuple(pair for pair in media.attributes if pair[0].startswith(_FAX_PREFIXES))
        return Audio(media.formats, kept, description.direction(media), is_fax=True)
    known = {str(codec.payload_type) for codec in media.codecs}
    formats = tuple(text for text in media.formats if text in known)
    attributes = tuple(
        pair
        for pair in media.attributes
        if pair[0] in _PASSED and (pair[0] not in ("rtpmap", "fmtp") or (pair[1] or "").split(" ")[0] in known)
    )
    direction = description.direction(media)
    assert direction in DIRECTIONS
    has_ice = description.attribute(media, "ice-ufrag") is not None
    held = (media.connection or description.connection) in _UNSPECIFIED and not has_ice
    if held:
        direction = _WITHOUT_RECEIVING[direction]
    return Audio(formats, attributes, direction)
