"""New requests and responses (RFC 3261 §8.1.1, §8.2.6)."""

from collections.abc import Iterable

from p2psip.sip.headers import CSeq, Headers, NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

MAX_FORWARDS = 70

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 429: "Provide Referrer Identity",
    430: "Flow Failed", 433: "Anonymity Disallowed", 439: "First Hop Lacks Outbound Support",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip

_COPIED = ("Via", "From", "To", "Call-ID", "CSeq")


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """A response to `request` (§8.2.6.2). `to_tag` is set on To when the request has none and status is not 100."""
    copied = request.headers.picked(_COPIED)
    response = Response(status, REASONS.get(status, "Unknown") if reason is None else reason, copied, body)
    if to_tag is not None and status != 100 and request.to.tag is None:
        copied.set("To", str(request.to.with_tag(to_tag)))
    if status < 300 and request.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"):
        for value in request.headers.all("Record-Route"):
            response.headers.add("Record-Route", value)
    for name, value in headers:
        response.headers.add(name, value)
    if content_type is not None:
        response.headers.add("Content-Type", content_type)
    return response


def make_request(
    method: str,
    uri: SipUri | OtherUri,
    *,
    from_: NameAddr,
    to: NameAddr,
    call_id: str,
    cseq: int,
    max_forwards: int = MAX_FORWARDS,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Request:
    """A request (§8.1.1) without a Via: the transaction layer adds that."""
    request = Request(
        method,
        uri,
        Headers(
            (
                ("Max-Forwards", str(max_forwards)),
                ("From", str(from_)),
                ("To", str(to)),
                ("Call-ID", call_id),
                ("CSeq", str(CSeq(cseq, method))),
            )
        ),
        body,
    )
    for name, value in headers:
        request.headers.add(name, value)
    if content_type is not None:
        request.headers.add("Content-Type", content_type)
    return request
