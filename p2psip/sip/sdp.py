"""Session descriptions (RFC 8866): an exact tree of lines, and typed access to what a call needs."""

import re
from dataclasses import dataclass, field

from p2psip.base.errors import RemoteError

SDP_BYTES_MAX = 16_384
LINES_MAX = 512
MEDIA_MAX = 16

_STRAY = re.compile(r"[\r\0]")
_ORIGIN = re.compile(r"(\S+) ([0-9]{1,20}) ([0-9]{1,20}) IN (IP4|IP6) (\S+)")
_CONNECTION = re.compile(r"IN (IP4|IP6) ([^\s/]+)(?:/[0-9/]+)?")
_MEDIA = re.compile(r"([a-z0-9\-]+) ([0-9]{1,5})(?:/([0-9]{1,5}))? ([A-Za-z0-9/\-]+)((?: \S+)+)")
_RTPMAP = re.compile(r"([0-9]{1,3}) ([A-Za-z0-9.\-_]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?")
_SESSION_KINDS = frozenset("osiuepcbtrzkam")
_MEDIA_KINDS = frozenset("micbka")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


class SdpSyntaxError(RemoteError):
    """A session description that cannot be read; answered with 488 or 400."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of a media line: `name` as written, `clock_rate` in Hz, `channels` 1 unless said."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int
    format_parameters: str | None


STATIC_CODECS = {
    0: Codec(0, "PCMU", 8000, 1, None),
    3: Codec(3, "GSM", 8000, 1, None),
    4: Codec(4, "G723", 8000, 1, None),
    8: Codec(8, "PCMA", 8000, 1, None),
    9: Codec(9, "G722", 8000, 1, None),
    13: Codec(13, "CN", 8000, 1, None),
    18: Codec(18, "G729", 8000, 1, None),
}


@dataclass(slots=True)
class MediaDescription:
    """One m= section. `attributes` are (name, value or None) in order; `other` are its i=, b= and k= lines.

    `port_count` is the number of ports when the line says `port/number` (RFC 8866 §5.14).
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str | None = None
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    port_count: int = 1

    def get(self, name: str) -> str | None:
        """The first value of attribute `name`; "" for a flag; None when absent."""
        return _get(self.attributes, name)

    def all(self, name: str) -> list[str]:
        """All values of attribute `name`."""
        return [value or "" for key, value in self.attributes if key == name]

    def remove(self, *names: str) -> None:
        """Drop all attributes of these names."""
        self.attributes = [pair for pair in self.attributes if pair[0] not in names]

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The payload types in order of preference; those without an rtpmap and not static are left out."""
        mapped: dict[int, tuple[str, int, int]] = {}
        for value in self.all("rtpmap"):
            match = _RTPMAP.fullmatch(value.strip())
            if match is not None:
                mapped[int(match[1])] = (match[2], int(match[3]), int(match[4] or 1))
        parameters = {value.partition(" ")[0]: value.partition(" ")[2] for value in self.all("fmtp")}
        found: list[Codec] = []
        for text in self.formats:
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1
            if number in mapped:
                name, rate, channels = mapped[number]
                found.append(Codec(number, name, rate, channels, parameters.get(text)))
            elif number in STATIC_CODECS:
                found.append(STATIC_CODECS[number])
        return tuple(found)


@dataclass(slots=True)
class SessionDescription:
    """A whole description. `other` are session lines that are kept as written (i=, u=, e=, p=, b=, z=, k=, r=)."""

    username: str
    session_id: int
    version: int
    origin_host: str
    name: str = "-"
    connection: str | None = None
    times: list[str] = field(default_factory=lambda: ["0 0"])
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    media: list[MediaDescription] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, data: bytes) -> "SessionDescription":
        """The description in `data`; SdpSyntaxError otherwise. Line ends may be LF or CRLF."""
        if len(data) > SDP_BYTES_MAX:
            raise SdpSyntaxError("a session description that is too large", status=413)
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        lines = [line for line in text.split("\n") if line]
        if _STRAY.search(text):
            lines = [bare for line in lines if (bare := line.rstrip("\r"))]
        if len(lines) > LINES_MAX or any(line[1:2] != "=" for line in lines) or _STRAY.search("".join(lines)):
            raise SdpSyntaxError("a session description with lines that cannot be read")
        return _read(lines)

    def to_bytes(self) -> bytes:
        """The description as it goes on the wire."""
        family = "IP6" if ":" in self.origin_host else "IP4"
        origin = f"o={self.username} {self.session_id} {self.version} IN {family} {self.origin_host}"
        lines = ["v=0", origin, f"s={self.name}", *_of_kinds("iuep", self.other)]
        if self.connection is not None:
            lines.append(_connection_line(self.connection))
        lines += _of_kinds("b", self.other)
        lines += [f"t={time}" for time in self.times]
        lines += _of_kinds("rzk", self.other)
        lines += [_attribute_line(pair) for pair in self.attributes]
        for media in self.media:
            lines += _media_lines(media)
        return ("\r\n".join(lines) + "\r\n").encode()

    def get(self, name: str) -> str | None:
        """The first value of session attribute `name`; "" for a flag; None when absent."""
        return _get(self.attributes, name)

    def direction(self, media: MediaDescription) -> str:
        """The direction of `media`: its own, else the session's, else sendrecv (RFC 3264 §5.1)."""
        for attributes in (media.attributes, self.attributes):
            for name, _value in attributes:
                if name in DIRECTIONS:
                    return name
        return "sendrecv"

    def host(self, media: MediaDescription) -> str:
        """The connection address that holds for `media`; SdpSyntaxError when there is none."""
        found = media.connection or self.connection
        if found is None:
            raise SdpSyntaxError("a session description without a connection address")
        return found

    def attribute(self, media: MediaDescription, name: str) -> str | None:
        """An attribute of `media`, or else the session's (fingerprint, setup, ice-ufrag, ice-pwd)."""
        own = media.get(name)
        return self.get(name) if own is None else own


def _read(lines: list[str]) -> SessionDescription:
    origin = next((match for line in lines if line[0] == "o" and (match := _ORIGIN.fullmatch(line[2:].strip()))), None)
    if lines[:1] != ["v=0"] or origin is None:
        raise SdpSyntaxError("a session description without v=0 or with an o= that cannot be read")
    found = SessionDescription(origin[1], int(origin[2]), int(origin[3]), origin[5], times=[])
    media: MediaDescription | None = None
    for line in lines[1:]:
        kind, value = line[0], line[2:]
        if kind not in (_SESSION_KINDS if media is None else _MEDIA_KINDS):
            raise SdpSyntaxError(f"a session description with a {kind}= line where none may stand")
        if kind == "m":
            if len(found.media) == MEDIA_MAX:
                raise SdpSyntaxError("a session description with too many media lines")
            media = _read_media(value)
            found.media.append(media)
        elif kind == "a":
            name, colon, rest = value.partition(":")
            (media or found).attributes.append((name, rest if colon else None))
        elif kind == "c":
            (media or found).connection = _read_connection(value)
        elif kind == "s":
            found.name = value
        elif kind == "t":
            found.times.append(value)
        elif kind != "o":
            (media or found).other.append(line)
    found.times = found.times or ["0 0"]
    return found


def _read_media(text: str) -> MediaDescription:
    match = _MEDIA.fullmatch(text.strip())
    if match is None or int(match[2]) > 65_535:
        raise SdpSyntaxError("an m= line that cannot be read")
    formats = tuple(match[5].split())
    return MediaDescription(match[1], int(match[2]), match[4], formats, port_count=int(match[3] or 1))


def _read_connection(text: str) -> str:
    match = _CONNECTION.fullmatch(text.strip())
    if match is None:
        raise SdpSyntaxError("a c= line that cannot be read")
    return match[2]


def _get(attributes: list[tuple[str, str | None]], name: str) -> str | None:
    for key, value in attributes:
        if key == name:
            return "" if value is None else value
    return None


def _media_lines(media: MediaDescription) -> list[str]:
    count = "" if media.port_count == 1 else f"/{media.port_count}"
    lines = [f"m={media.kind} {media.port}{count} {media.protocol} {' '.join(media.formats)}"]
    lines += _of_kinds("i", media.other)
    if media.connection is not None:
        lines.append(_connection_line(media.connection))
    lines += _of_kinds("bk", media.other)
    return lines + [_attribute_line(pair) for pair in media.attributes]


def _of_kinds(kinds: str, lines: list[str]) -> list[str]:
    """The lines of these kinds, kind by kind: RFC 8866 §5 fixes their order."""
    return [line for kind in kinds for line in lines if line[0] == kind] if lines else lines


def _connection_line(host: str) -> str:
    return f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"


def _attribute_line(pair: tuple[str, str | None]) -> str:
    return f"a={pair[0]}" if pair[1] is None else f"a={pair[0]}:{pair[1]}"
