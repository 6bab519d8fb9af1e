"""Dialogs (RFC 3261 §12): identity, route set, remote target and sequence numbers, seen from one side."""

from dataclasses import dataclass, field, replace

from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_request
from p2psip.sip.credentials import Authorisation, Credentials
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

DialogId = tuple[str, str, str]
"""(Call-ID, local tag, remote tag)."""


@dataclass(slots=True)
class Dialog:
    """One side of a dialog. `local` and `remote` carry the tags; `cseq` is the last number that we used.

    `credentials` answer the challenges to our requests in it.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    target: SipUri | OtherUri
    routes: tuple[NameAddr, ...]
    cseq: int
    remote_cseq: int | None
    contact: str
    extra_headers: list[tuple[str, str]] = field(default_factory=list)
    credentials: Credentials | None = None

    @classmethod
    def of_server(cls, invite: Request, response: Response, contact: str) -> "Dialog":
        """The callee's side (§12.1.1). `response` carries our tag in To; `contact` is our Contact value."""
        contacts = invite.contacts
        if not contacts:
            raise RemoteError("a request that makes a dialog needs a Contact", status=400)
        return cls(
            call_id=invite.call_id,
            local=response.to,
            remote=invite.from_,
            target=contacts[0].uri,
            routes=invite.record_routes,
            cseq=0,
            remote_cseq=invite.cseq.number,
            contact=contact,
        )

    @classmethod
    def of_client(cls, request: Request, response: Response, contact: str) -> "Dialog":
        """The caller's side (§12.1.2), from a response with a tag in To."""
        contacts = response.contacts
        target = contacts[0].uri if contacts else request.uri
        routes = tuple(reversed(response.record_routes))
        return cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            target=target,
            routes=routes,
            cseq=request.cseq.number,
            remote_cseq=None,
            contact=contact,
            credentials=request.authorise.credentials if isinstance(request.authorise, Authorisation) else None,
        )

    def confirm(self, response: Response) -> None:
        """The 2xx to our INVITE: target and route set are taken from it anew, numbers go on (§13.2.2.4)."""
        self.refresh_target(response)
        self.routes = tuple(reversed(response.record_routes))

    @property
    def id(self) -> DialogId:
        """(Call-ID, local tag, remote tag)."""
        return (self.call_id, self.local.tag or "", self.remote.tag or "")

    def request(
        self,
        method: str,
        *,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """The next request in this dialog (§12.2.1.1); ACK keeps the number of its INVITE (`acknowledge`)."""
        request = self._make(method, self._next_number(), headers, body, content_type)
        if self.credentials is not None:
            self.credentials.attach(request, self._next_number)
        return request

    def acknowledge(self, number: int, *, body: bytes = b"", content_type: str | None = None) -> Request:
        """The ACK of a 2xx to the INVITE with this number (§13.2.2.4)."""
        return self._make("ACK", number, None, body, content_type)

    def accept_request(self, request: Request) -> None:
        """Check the order of a request of the peer (§12.2.2); RemoteError(500) when it comes too late."""
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            raise RemoteError("a request that is older than one already seen in this dialog", status=500)
        self.remote_cseq = number
        self.refresh_target(request)

    def refresh_target(self, message: Request | Response) -> None:
        """Take over the Contact of a target refresh: re-INVITE, UPDATE, and their 2xx (§12.2.1.2, §12.2.2)."""
        if message.contacts and message.cseq.method in ("INVITE", "UPDATE"):
            self.target = message.contacts[0].uri

    def _next_number(self) -> int:
        self.cseq += 1
        return self.cseq

    def _make(
        self, method: str, number: int, headers: list[tuple[str, str]] | None, body: bytes, content_type: str | None
    ) -> Request:
        uri, routes = self.target, [str(route) for route in self.routes]
        first = self.routes[0].uri if self.routes else None
        if isinstance(first, SipUri) and first.parameter("lr") is None:  # a strict router (§12.2.1.1)
            uri, routes = first, [*routes[1:], f"<{self.target}>"]
        request = make_request(
            method,
            _request_uri(uri),
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=number,
            body=body,
            content_type=content_type,
        )
        for route in routes:
            request.headers.add("Route", route)
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"):
            request.headers.add("Contact", self.contact)
        for name, value in (headers or []) + self.extra_headers:
            request.headers.add(name, value)
        return request


def _request_uri(uri: SipUri | OtherUri) -> SipUri | OtherUri:
    """Without what may stand in Contact and Record-Route, but not in a Request-URI (§19.1.1, table 1)."""
    if isinstance(uri, SipUri) and (uri.headers or uri.parameter("method") is not None):
        return replace(uri.without_parameter("method"), headers=())
    return uri
