"""Bytes to a message (RFC 3261 §7, §18.3, §25), with the treatment that RFC 4475 asks for."""

import re

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import is_token
from p2psip.sip.headers import Headers, canonical_name
from p2psip.sip.message import Message, Request, Response
from p2psip.sip.uri import SipUri, parse_uri

MESSAGE_BYTES_MAX = 65_535
HEADER_LINES_MAX = 256

_FOLD = re.compile(r"(?<![ \t])[ \t]*+\r\n[ \t]++")
_REQUEST_LINE = re.compile(r"([^ \r\n]+) ([^ \r\n]+) (SIP/[0-9]+\.[0-9]+)", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: ([^\r\n\0]*))?", re.IGNORECASE)
_STRAY = re.compile(r"[\r\n]|(?<!\\)\0")  # a quoted pair may hold NUL (§25.1)
_ONCE = frozenset(("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type", "Expires"))


def parse_message(data: bytes) -> Message:
    """The one message in a datagram (or a framed part of a stream).

    Bytes after Content-Length are dropped (§18.3); SipSyntaxError carries the status to answer with and, where enough
    could be read, the request to answer.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise SipSyntaxError("a message that is too large", status=513)
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise SipSyntaxError("a message without the empty line after its header fields")
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    if len(lines) > HEADER_LINES_MAX:
        raise SipSyntaxError("a message with too many header lines")
    stray = "\0" in text or not text.count("\r") == text.count("\n") == len(lines) - 1
    headers, problem = _read_headers(lines, stray)
    if lines[0][:4].upper() == "SIP/":
        if problem is not None:
            raise problem
        return _response(lines[0], headers, body)
    return _request(lines[0], headers, body, problem)


def _read_headers(lines: list[str], stray: bool) -> tuple[Headers, SipSyntaxError | None]:
    """All header lines that can be read, and the first problem met."""
    items: list[tuple[str, str]] = []
    problem: SipSyntaxError | None = None
    once: set[str] = set()
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        try:
            canonical = canonical_name(name)
        except SipSyntaxError as error:
            problem = problem or error
            continue
        if not colon or (stray and _STRAY.search(value)):
            problem = problem or SipSyntaxError("a header line without a colon, or with a stray control character")
            continue
        if canonical in _ONCE:
            if canonical in once:
                problem = problem or SipSyntaxError(f"{canonical} stands more than once")
                continue
            once.add(canonical)
        items.append((canonical, value.strip(" \t")))
    return Headers.of_canonical(items), problem


def _request(line: str, headers: Headers, body: bytes, problem: SipSyntaxError | None) -> Request:
    match = _REQUEST_LINE.fullmatch(line)
    method = match[1] if match else line.split(" ", 1)[0]
    request = Request(method, parse_uri("sip:unreadable.invalid"), headers, body)
    try:
        if match is None or not is_token(method):
            raise SipSyntaxError("a request line that cannot be read")
        if match[3].upper() != "SIP/2.0":
            raise SipSyntaxError("a SIP version that is not 2.0", status=505)
        if problem is not None:
            raise problem
        request.uri = parse_uri(match[2])
        if isinstance(request.uri, SipUri) and request.uri.headers:
            raise SipSyntaxError("a Request-URI with header fields in it")
        _check_common(request)
        if request.cseq.method != method:
            raise SipSyntaxError("the method of CSeq is not that of the request")
        _ = request.max_forwards
        request.body = _cut_body(headers, body)
    except SipSyntaxError as error:
        raise SipSyntaxError(str(error), status=error.status, request=_answerable(request)) from error
    return request


def _response(line: str, headers: Headers, body: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise SipSyntaxError("a status line that cannot be read")
    response = Response(int(match[1]), match[2] or "", headers, b"")
    _check_common(response)
    response.body = _cut_body(headers, body)
    return response


def _check_common(message: Message) -> None:
    """Parse what every message must have, and every address that routing rests upon."""
    _ = message.top_via, message.from_, message.to, message.call_id, message.cseq
    _ = message.contacts, message.routes, message.record_routes


def _cut_body(headers: Headers, body: bytes) -> bytes:
    text = headers.get("Content-Length")
    if text is None:
        return body
    if not (text.isascii() and text.isdigit()):
        raise SipSyntaxError("a Content-Length that is no number")
    if len(text) > 9 or int(text) > len(body):
        raise SipSyntaxError("a Content-Length that is larger than the body")
    return body[: int(text)]


def _answerable(request: Request) -> Request | None:
    """The request if a response can be built from it (Via, From, To, Call-ID, CSeq); ACK is never answered."""
    present = all(request.headers.get(name) for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    try:
        _ = request.top_via
    except SipSyntaxError:
        return None
    return request if present and request.method != "ACK" else None
