"""Header fields: an ordered table that knows compact forms, and the typed values of the structured ones.

RFC 3261 §7.3 (case, compact forms), §20 (the fields themselves), RFC 3581 (rport).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import (
    Parameters,
    format_parameters,
    get_parameter,
    is_token,
    parse_parameters,
    quote,
    split_list,
    unquote,
)
from p2psip.sip.uri import OtherUri, SipUri, parse_uri

T = TypeVar("T")

COMPACT_FORMS = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
}
_IRREGULAR = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "mime-version": "MIME-Version",
    "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match",
    "min-se": "Min-SE",
    "rack": "RAck",
    "rseq": "RSeq",
}
_NAMES_CACHED_MAX = 512

_USUAL_NAME_ADDR = re.compile(r'(?:"([^"\\]*)" ?)?<([^<>]*)>(;[^\s"]*)?')
_NAME_ADDR = re.compile(
    r"""\s*+(?:(?P<quoted>"(?:[^"\\]|\\.)*+")\s*+|(?P<words>[A-Za-z0-9\-.!%*_+`'~\s]*+))<(?P<uri>[^<>]*+)>\s*+(?P<rest>.*)""",
    re.DOTALL,
)
_ADDR_SPEC = re.compile(r"\s*([^\s;,<>?\"]+)\s*(.*)", re.DOTALL)
_USUAL_VIA = re.compile(r"SIP/2\.0/([A-Z]{2,4}) ([A-Za-z0-9\-.]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(;[^\s\"]*)?")
_VIA = re.compile(
    r"\s*SIP\s*/\s*([0-9]{1,5}\.[0-9]{1,5})\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+([A-Za-z0-9\-._]+|\[[0-9A-Fa-f:.]+\])\s*(?::\s*([0-9]{1,5})\s*)?(.*)",
    re.DOTALL | re.IGNORECASE,
)
_CSEQ = re.compile(r"\s*([0-9]{1,10})\s+([A-Za-z0-9\-.!%*_+`'~]+)\s*")
CSEQ_MAX = 2**31 - 1


@lru_cache(maxsize=_NAMES_CACHED_MAX)
def canonical_name(name: str) -> str:
    """The usual spelling of a header field's name, compact forms expanded; SipSyntaxError if it is no token."""
    name = name.rstrip(" \t")
    lower = name.lower()
    if lower in COMPACT_FORMS:
        return COMPACT_FORMS[lower]
    if not is_token(name):
        raise SipSyntaxError("a header field with a malformed name")
    return _IRREGULAR.get(lower) or "-".join(part.capitalize() for part in lower.split("-"))


class Headers:
    """Header fields in order. Names are compared without regard to case; values are text without line ends."""

    __slots__ = ("_items", "_typed", "_values")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = [(canonical_name(name), value) for name, value in items]
        self._typed: dict[str, Any] = {}
        self._values: dict[str, list[str]] | None = None

    @classmethod
    def of_canonical(cls, items: list[tuple[str, str]]) -> "Headers":
        """Headers that own `items`, whose names are canonical already."""
        found = cls()
        found._items = items
        return found

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __contains__(self, name: str) -> bool:
        return canonical_name(name) in self._by_name()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]

    def items(self) -> list[tuple[str, str]]:
        """All (name, value) pairs in order."""
        return list(self._items)

    def get(self, name: str) -> str | None:
        """The first value of `name`, or None."""
        values = self._by_name().get(canonical_name(name))
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """All values of `name` in order, one for each header line."""
        return list(self._by_name().get(canonical_name(name), ()))

    def add(self, name: str, value: str) -> None:
        """Append a header line."""
        name = canonical_name(name)
        self._items.append((name, value))
        self._forget(name)

    def insert_first(self, name: str, value: str) -> None:
        """Put a header line before all others (a Via, a Route)."""
        name = canonical_name(name)
        self._items.insert(0, (name, value))
        self._forget(name)

    def set(self, name: str, value: str) -> None:
        """Replace all lines of `name` by one, in the place of the first."""
        wanted = canonical_name(name)
        for index, (key, _value) in enumerate(self._items):
            if key == wanted:
                rest = [pair for pair in self._items[index + 1 :] if pair[0] != wanted]
                self._items[index:] = [(wanted, value), *rest]
                break
        else:
            self._items.append((wanted, value))
        self._forget(wanted)

    def remove(self, name: str) -> None:
        """Drop all lines of `name`."""
        wanted = canonical_name(name)
        self._items = [pair for pair in self._items if pair[0] != wanted]
        self._forget(wanted)

    def put_first(self, name: str, values: Sequence[tuple[str, T]]) -> None:
        """Replace all lines of the canonical `name` by these, each as text and parsed, before all others."""
        self._items = [(name, text) for text, _ in values] + [pair for pair in self._items if pair[0] != name]
        self._forget(name)
        self._typed[name] = tuple([parsed for _, parsed in values])

    def picked(self, names: Collection[str]) -> "Headers":
        """New headers of these canonical `names` only, with what has been parsed of them."""
        found = Headers.of_canonical([pair for pair in self._items if pair[0] in names])
        found._typed = {name: self._typed[name] for name in names if name in self._typed}
        return found

    def copy(self) -> "Headers":
        """An independent copy."""
        return Headers.of_canonical(list(self._items))

    def typed(self, name: str, parse: Callable[[list[str]], T]) -> T:
        """`parse` of all values of the canonical `name`, remembered until those change."""
        found: T
        try:
            found = self._typed[name]
        except KeyError:
            found = self._typed[name] = parse((self._values or self._by_name()).get(name, []))
        return found

    def _by_name(self) -> dict[str, list[str]]:
        """All values of each name, gathered once and until the headers change."""
        values = self._values
        if values is None:
            values = self._values = {}
            for name, value in self._items:
                if name in values:
                    values[name].append(value)
                else:
                    values[name] = [value]
        return values

    def _forget(self, name: str) -> None:
        self._values = None
        self._typed.pop(name, None)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A display name, a URI and the header's own parameters: From, To, Contact, Route, Refer-To (RFC 3261 §20.10)."""

    display: str | None
    uri: SipUri | OtherUri
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "NameAddr":
        """The value in `text`; SipSyntaxError otherwise."""
        match = _USUAL_NAME_ADDR.fullmatch(text)
        if match is not None:
            return cls(match[1], parse_uri(match[2]), parse_parameters(match[3] or ""))
        match = _NAME_ADDR.fullmatch(text)
        if match is not None:
            quoted, words, uri, rest = match.groups()
            display = unquote(quoted) if quoted else " ".join(words.split()) or None
        else:
            bare = _ADDR_SPEC.fullmatch(text)
            if bare is None:
                raise SipSyntaxError("an address that cannot be read")
            display, uri, rest = None, bare[1], bare[2]
        return cls(display, parse_uri(uri), parse_parameters(rest))

    def __str__(self) -> str:
        display = "" if self.display is None else quote(self.display) + " "
        return f"{display}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The tag parameter, or None."""
        return get_parameter(self.parameters, "tag") or None

    def parameter(self, name: str) -> str | None:
        """The value of a header parameter; "" for a flag; None when absent."""
        return get_parameter(self.parameters, name)

    def with_tag(self, tag: str) -> "NameAddr":
        """The same with this tag."""
        kept = [pair for pair in self.parameters if pair[0] != "tag"]
        return NameAddr(self.display, self.uri, (*kept, ("tag", tag)))

    def sip_uri(self) -> SipUri:
        """The URI if it is SIP or SIPS; SipSyntaxError(416) otherwise."""
        if isinstance(self.uri, OtherUri):
            raise SipSyntaxError(f"the scheme {self.uri.scheme!r} is not supported", status=416)
        return self.uri


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 §20.42). `transport` is in upper case; `host` as written.

    `version` is that of SIP: a request of another version is refused, yet it must be readable for the 505 to find its way.
    """

    transport: str
    host: str
    port: int | None
    parameters: Parameters = ()
    version: str = "2.0"

    @classmethod
    def parse(cls, text: str) -> "Via":
        """The value in `text`; SipSyntaxError otherwise."""
        match = _USUAL_VIA.fullmatch(text)
        if match is not None:
            transport, host, port, rest = match.groups("")
            version = "2.0"
        else:
            match = _VIA.fullmatch(text)
            if match is None:
                raise SipSyntaxError("a Via that cannot be read")
            version, transport, host, port, rest = match.groups()
        number = int(port) if port else None
        if number is not None and number > 65_535:
            raise SipSyntaxError("a Via with a port above 65535")
        return cls(transport.upper(), host, number, parse_parameters(rest), version)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/{self.version}/{self.transport} {self.host}{port}{format_parameters(self.parameters)}"

    @property
    def branch(self) -> str | None:
        """The branch parameter, or None."""
        return get_parameter(self.parameters, "branch") or None

    def parameter(self, name: str) -> str | None:
        """The value of a parameter; "" for a flag; None when absent."""
        return get_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str) -> "Via":
        """The same with the parameter set once, at the end."""
        kept = [pair for pair in self.parameters if pair[0] != name]
        return Via(self.transport, self.host, self.port, (*kept, (name, value)), self.version)


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number (below 2**31) and method (RFC 3261 §20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """The value in `text`; SipSyntaxError otherwise."""
        match = _CSEQ.fullmatch(text)
        if match is None or int(match[1]) > CSEQ_MAX:
            raise SipSyntaxError("a CSeq that cannot be read, or above 2**31 - 1")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_name_addrs(values: list[str]) -> tuple[NameAddr, ...]:
    """All addresses of a header field that may be a list (Contact, Route, Record-Route)."""
    return tuple([NameAddr.parse(item) for value in values for item in split_list(value)])


def parse_vias(values: list[str]) -> tuple[Via, ...]:
    """All Via values in order."""
    return tuple([Via.parse(item) for value in values for item in split_list(value)])
