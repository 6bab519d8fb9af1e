"""SIP and SIPS URIs (RFC 3261 §19.1), and every other URI as an opaque value."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import PARAMETERS_MAX, Parameters

URI_CHARACTERS_MAX = 2_048
URIS_CACHED_MAX = 1_024

_SIP = re.compile(
    r"(?P<scheme>sips?):"
    r"(?:(?P<user>(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]++|%[0-9A-Fa-f]{2})++)"
    r"(?::(?P<password>(?:[A-Za-z0-9\-_.!~*'()&=+$,]++|%[0-9A-Fa-f]{2})*+))?@)?"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9\-._]*)|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]++|%[0-9A-Fa-f]{2})++(?:=(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]++|%[0-9A-Fa-f]{2})++)?)*)"
    r"(?:\?(?P<headers>(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$&=]|%[0-9A-Fa-f]{2})*))?",
    re.IGNORECASE | re.ASCII,
)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):([!#-;=?-~]+)")  # ASCII without <, > and quotes (RFC 3986 §2)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_RESERVED = frozenset(
    ";/?:@&=+$,%"
)  # RFC 2396 §2.2, and the percent sign, so that undoing an escape never makes another
_UNSAFE = re.compile(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")
_ALWAYS_COMPARED = ("user", "ttl", "method", "maddr", "transport")


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP or SIPS URI. Parts are kept as written, escapes included; scheme and parameter names are in lower case."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "SipUri":
        """The URI in `text`; SipSyntaxError(400), or 416 for another scheme."""
        found = parse_uri(text)
        if isinstance(found, OtherUri):
            raise SipSyntaxError(f"the scheme {found.scheme!r} is not supported", status=416)
        return found

    @classmethod
    def of_address(cls, address: str, *, port: int | None = None) -> "SipUri":
        """`sip:` and a plain `user@host`; the user part is escaped where it must be."""
        user, _, host = address.rpartition("@")
        return cls("sip", escape_user(user) if user else None, None, host, port)

    def __str__(self) -> str:
        user = "" if self.user is None else self.user
        if self.password is not None:
            user += ":" + self.password
        text = f"{self.scheme}:{user}@{self.host}" if self.user is not None else f"{self.scheme}:{self.host}"
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.parameters:
            text += f";{name}" if value is None else f";{name}={value}"
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers)
        return text

    @property
    def address(self) -> str:
        """`user@host` unescaped, all in lower case: the key under which people are known here."""
        user = unescape(self.user).lower() if self.user else ""
        return f"{user}@{self.host.lower()}" if user else self.host.lower()

    @property
    def ip_host(self) -> str:
        """The host without the brackets of an IPv6 address."""
        return self.host.strip("[]")

    def parameter(self, name: str) -> str | None:
        """The value of a URI parameter; "" for a flag; None when absent."""
        for key, value in self.parameters:
            if key == name:
                return "" if value is None else value
        return None

    def with_parameter(self, name: str, value: str | None = None) -> "SipUri":
        """The same URI with `name` set once, at the end."""
        kept = tuple(pair for pair in self.parameters if pair[0] != name)
        return replace(self, parameters=(*kept, (name, value)))

    def without_parameter(self, name: str) -> "SipUri":
        """The same URI without the parameter `name`."""
        return replace(self, parameters=tuple(pair for pair in self.parameters if pair[0] != name))

    def matches(self, other: "SipUri | OtherUri") -> bool:
        """Whether the two are equivalent by RFC 3261 §19.1.4 (not transitive, as the RFC says)."""
        if self is other:
            return True
        if not isinstance(other, SipUri) or (self.scheme, self.host.lower(), self.port) != (
            other.scheme,
            other.host.lower(),
            other.port,
        ):
            return False
        if (_normal(self.user), _normal(self.password)) != (_normal(other.user), _normal(other.password)):
            return False
        mine, theirs = _comparable(self.parameters), _comparable(other.parameters)
        if any(mine.get(name) != theirs.get(name) for name in _ALWAYS_COMPARED):
            return False
        if any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys()):
            return False
        return _comparable_headers(self.headers) == _comparable_headers(other.headers)


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of another scheme (tel:, http:, urn:), kept as written; all of it is ASCII."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


def unescape(text: str) -> str:
    """`%hh` escapes as UTF-8 text; bytes that are no UTF-8 become replacement characters."""
    if "%" not in text:
        return text
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "replace")


def escape_user(text: str) -> str:
    """`text` with everything escaped that may not stand in the user part."""
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode("utf-8", "surrogateescape")), text)


@lru_cache(maxsize=URIS_CACHED_MAX)
def parse_uri(text: str) -> SipUri | OtherUri:
    """The URI in `text` (exactly, without surrounding white space); SipSyntaxError(400) if it is none."""
    if len(text) > URI_CHARACTERS_MAX:
        raise SipSyntaxError("a URI that is too long", status=414)
    match = _SIP.fullmatch(text)
    if match is None:
        other = _ABSOLUTE.fullmatch(text)
        if other is None or other[1].lower() in ("sip", "sips"):
            raise SipSyntaxError("a URI that cannot be read")
        return OtherUri(other[1].lower(), other[2])
    scheme, user, password, host, port, parameters, headers = match.groups()
    number = int(port) if port else None
    if number is not None and number > 65_535:
        raise SipSyntaxError("a URI with a port above 65535")
    return SipUri(scheme.lower(), user, password, host, number, _parameters(parameters), _headers(headers))


def _parameters(text: str) -> Parameters:
    if not text:
        return ()
    pairs = [part.partition("=") for part in text[1:].split(";")]
    if len(pairs) > PARAMETERS_MAX:
        raise SipSyntaxError("a URI with too many parameters")
    return tuple([(name.lower(), value if equals else None) for name, equals, value in pairs])


def _headers(text: str | None) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    pairs = [part.partition("=") for part in text.split("&")]
    if len(pairs) > PARAMETERS_MAX or not all(name and equals for name, equals, _value in pairs):
        raise SipSyntaxError("a URI with header fields that cannot be read")
    return tuple((name, value) for name, _equals, value in pairs)


def _comparable(parameters: Parameters) -> dict[str, str]:
    return {(_normal(name) or "").lower(): (_normal(value) or "").lower() for name, value in parameters}


def _comparable_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted(((_normal(name) or "").lower(), _normal(value) or "") for name, value in headers)


def _normal(text: str | None) -> str | None:
    """One spelling for all equivalent ones: escapes of what is not reserved are undone, the others in upper case."""
    return text if text is None or "%" not in text else _ESCAPE.sub(_normal_escape, text)


def _normal_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0].upper() if character in _RESERVED else character
