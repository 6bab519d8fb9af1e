"""Requests and responses (RFC 3261 §7): a start line, header fields with typed access, a body of bytes."""

from collections.abc import Callable

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.headers import CSeq, Headers, NameAddr, Via, parse_name_addrs, parse_vias
from p2psip.sip.uri import OtherUri, SipUri

SECONDS_MAX = 2**32 - 1


class _Message:
    """What requests and responses share. Typed values are parsed once and forgotten when `headers` change."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body

    def start_line(self) -> str:
        """The first line, without its line end."""
        raise AssertionError("each kind of message has its own start line")

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire, with a Content-Length that is true."""
        lines = [self.start_line()]
        lines += [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Via values, topmost first."""
        return self.headers.typed("Via", parse_vias)

    @property
    def top_via(self) -> Via:
        """The topmost Via; SipSyntaxError when there is none."""
        vias = self.vias
        if not vias:
            raise SipSyntaxError("a message without a Via")
        return vias[0]

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        return self.headers.typed("From", _one_address)

    @property
    def to(self) -> NameAddr:
        """The To address."""
        return self.headers.typed("To", _one_address)

    @property
    def call_id(self) -> str:
        """The Call-ID, compared letter by letter."""
        return self.headers.typed("Call-ID", _one_text)

    @property
    def cseq(self) -> CSeq:
        """Number and method."""
        return self.headers.typed("CSeq", _one_cseq)

    @property
    def is_star_contact(self) -> bool:
        """Whether Contact is `*` (REGISTER only)."""
        values = self.headers.all("Contact")
        return len(values) == 1 and values[0].strip() == "*"

    @property
    def contacts(self) -> tuple[NameAddr, ...]:
        """All Contact addresses; empty for `*`."""
        return self.headers.typed("Contact", _contacts)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """All Route addresses, next hop first."""
        return self.headers.typed("Route", parse_name_addrs)

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """All Record-Route addresses, topmost first."""
        return self.headers.typed("Record-Route", parse_name_addrs)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, or None when absent."""
        return self.headers.typed("Max-Forwards", _max_forwards)

    @property
    def expires(self) -> int | None:
        """Expires in seconds; None when absent or, as RFC 3261 §10.3 asks of registrars, when malformed."""
        return self.headers.typed("Expires", _seconds)

    @property
    def content_type(self) -> str | None:
        """The media type in lower case without parameters, or None."""
        value = self.headers.get("Content-Type")
        return value.partition(";")[0].strip().lower() if value is not None else None


class Request(_Message):
    """A SIP request. `authorise`, if any, gives one of ours again with an answer to the challenge in a 401 or 407, or None."""

    __slots__ = ("authorise", "method", "uri")

    def __init__(self, method: str, uri: SipUri | OtherUri, headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers if headers is not None else Headers(), body)
        self.authorise: Callable[[Request, Response], Request | None] | None = None
        self.method = method
        self.uri = uri

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"

    def start_line(self) -> str:
        """`METHOD uri SIP/2.0`."""
        return f"{self.method} {self.uri} SIP/2.0"

    def copy(self) -> "Request":
        """An independent copy."""
        copied = Request(self.method, self.uri, self.headers.copy(), self.body)
        copied.authorise = self.authorise
        return copied


class Response(_Message):
    """A SIP response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers if headers is not None else Headers(), body)
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"

    def start_line(self) -> str:
        """`SIP/2.0 status reason`."""
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def warning(self) -> str:
        """The text of the first Warning, which says in words why (RFC 3261 §20.43); empty without one."""
        return (self.headers.get("Warning") or "").partition('"')[2].partition('"')[0]


Message = Request | Response


def _contacts(values: list[str]) -> tuple[NameAddr, ...]:
    return () if len(values) == 1 and values[0].strip() == "*" else parse_name_addrs(values)


def _one_text(values: list[str]) -> str:
    if len(values) != 1 or not values[0]:
        raise SipSyntaxError("a header field that must stand exactly once is missing, empty or repeated")
    return values[0]


def _one_address(values: list[str]) -> NameAddr:
    return NameAddr.parse(_one_text(values))


def _one_cseq(values: list[str]) -> CSeq:
    return CSeq.parse(_one_text(values))


def _max_forwards(values: list[str]) -> int | None:
    if not values:
        return None
    text = _one_text(values).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > 255:
        raise SipSyntaxError("a Max-Forwards that is no number from 0 to 255")
    return int(text)


def _seconds(values: list[str]) -> int | None:
    text = values[0].strip() if values else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    return min(int(text), SECONDS_MAX)
