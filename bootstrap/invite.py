"""Invite links: all that a newcomer needs to find an overlay's bootstrap server and to be sure that it is the right one.

    p2psip://home.example?ca=<fingerprint>&b=<host>:<port>[&b=<host>:<port>...][&t=<one-time token>]

`ca` is the SHA-256 fingerprint of the authority's certificate, in base32 (52 characters, as written here) or hexadecimal
(64). Each `b` is one address of the bootstrap server: its number names the TCP port of enrolment (HTTPS) and, at the same
host, the UDP port of the overlay. Brackets of IPv6 addresses are percent-encoded, as RFC 3986 §3.4 wants, and read either
way. Unknown parameters are passed over, so that later links may say more.
"""

import base64
import binascii
import io
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

import segno

from bootstrap.names import check_overlay_name, is_host_name
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError

LINK_CHARACTERS_MAX = 2_048
BOOTSTRAPS_MAX = 8
PARAMETERS_MAX = 32
FINGERPRINT_BYTES = 32
_SCHEME = "p2psip://"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Invite:
    """A parsed link. `fingerprint` is the SHA-256 of the authority's DER form; `token` is None for those with a password."""

    overlay: str
    fingerprint: bytes
    bootstraps: tuple[Address, ...]
    token: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Invite":
        """The invite in `text` (blanks around it are passed over); RemoteError says what is wrong with the link."""
        text = text.strip()
        if len(text) > LINK_CHARACTERS_MAX:
            raise RemoteError(f"this invite link is longer than {LINK_CHARACTERS_MAX} characters: copy it again")
        if text[: len(_SCHEME)].lower() != _SCHEME:
            raise RemoteError("this is no invite link: it must begin with p2psip://")
        overlay, _, query = text[len(_SCHEME) :].partition("?")
        found = _parameters(query)
        bootstraps = tuple(dict.fromkeys(parse_address(each) for each in found.get("b", [])))
        if not bootstraps:
            raise RemoteError("this invite link names no bootstrap server (b=host:port): copy all of it")
        if len(bootstraps) > BOOTSTRAPS_MAX:
            raise RemoteError(f"this invite link names more than {BOOTSTRAPS_MAX} bootstrap servers")
        return cls(
            overlay=check_overlay_name(overlay.removesuffix("/")),
            fingerprint=_parse_fingerprint(_single(found, "ca")),
            bootstraps=bootstraps,
            token=_parse_token(_single(found, "t")),
        )

    def __str__(self) -> str:
        parts = [f"ca={format_fingerprint(self.fingerprint)}"]
        parts += [f"b={quote(address_text(address), safe=':')}" for address in self.bootstraps]
        parts += [f"t={self.token}"] if self.token is not None else []
        return f"{_SCHEME}{self.overlay}?{'&'.join(parts)}"


def qr_code(content: str) -> str:
    """`content` as a QR code of half-block characters, for a terminal."""
    out = io.StringIO()
    segno.make(content, error="l").terminal(out=out, compact=True)
    return out.getvalue()


def format_fingerprint(fingerprint: bytes) -> str:
    """A fingerprint as it stands in a link: base32 in small letters without padding."""
    return base64.b32encode(fingerprint).decode().rstrip("=").lower()


def parse_address(text: str) -> Address:
    """(host, port) of `host:port` or `[IPv6]:port`, in canonical form; RemoteError if it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65_535:
        raise RemoteError("a bootstrap server must be written as host:port, with a port from 1 to 65535")
    return _parse_host(host), int(port)


def _parse_host(host: str) -> str:
    try:
        if host.startswith("[") and host.endswith("]") and "%" not in host:
            return str(ipaddress.IPv6Address(host[1:-1]))
        if _IPV4.fullmatch(host):
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise RemoteError("a bootstrap server has an IP address that does not exist") from error
    if not host.isascii() or not is_host_name(host.lower()):
        raise RemoteError("a bootstrap server must be a host name, an IPv4 address, or an IPv6 address in brackets")
    return host.lower()


def _parameters(query: str) -> dict[str, list[str]]:
    pairs = query.split("&")
    if len(pairs) > PARAMETERS_MAX:
        raise RemoteError(f"this invite link has more than {PARAMETERS_MAX} parameters")
    found: dict[str, list[str]] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        found.setdefault(name, []).append(unquote(value, errors="replace"))
    return found


def _single(found: dict[str, list[str]], name: str) -> str | None:
    values = found.get(name, [])
    if len(values) > 1:
        raise RemoteError(f"this invite link says {name}= twice")
    return values[0] if values else None


def _parse_fingerprint(text: str | None) -> bytes:
    if text is None:
        raise RemoteError("this invite link lacks the authority's fingerprint (ca=): copy all of it")
    try:
        if len(text) == 2 * FINGERPRINT_BYTES:
            return binascii.unhexlify(text)
        raw = base64.b32decode(text.upper() + "====")
    except ValueError as error:
        raise RemoteError("this invite link has a mistyped fingerprint (ca=): copy it again") from error
    if len(raw) != FINGERPRINT_BYTES or format_fingerprint(raw) != text.lower():
        raise RemoteError("this invite link has a fingerprint (ca=) of the wrong length: copy all of it")
    return raw


def _parse_token(text: str | None) -> str | None:
    if text is not None and not _TOKEN.fullmatch(text):
        raise RemoteError("this invite link has a mistyped token (t=): copy it again, or ask for a new link")
    return text
