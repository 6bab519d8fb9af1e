"""A small SIP phone: registers, calls, answers, speaks and records G.711. An ordinary user agent."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.naming.typed import as_typed, number_of_tel
from p2psip.sip.build import make_request, make_response
from p2psip.sip.dialog import Dialog, DialogId
from p2psip.sip.digest import Challenge, respond
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri
from p2psip.softphone.session import Line, Session

REGISTRATION_SECONDS = 120
CHALLENGES_MAX = 2
SDP_TYPE = "application/sdp"
_CHALLENGES = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
_DIALABLE = re.compile(r"[^\s<>\"]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person types into a phone."""

    name: str
    address: str
    password: str
    server: Address
    transport: str = "udp"


class Speech(Protocol):
    """Speaks and hears: `media.player.PlayerLeg`."""

    @property
    def finished(self) -> trio.Event:
        """Set when all is spoken."""

    async def run(self) -> None:
        """Speak."""

    def recording(self) -> "array[int]":
        """What was heard."""


class Audio(Protocol):
    """Makes lines and what speaks on them."""

    def line(self, host: str) -> Line:
        """A fresh RTP line."""

    def speech(self, line: Line, samples: "array[int]") -> Speech:
        """Speaks these samples in PCMU over `line`, and hears what comes from it."""


class Sip(Protocol):
    """SIP exchanges: `p2psip.sip.service.SipService`."""

    @property
    def incoming(self) -> trio.MemoryReceiveChannel[ServerExchange]:
        """New requests."""

    async def connect(self, transport: str, remote: Address) -> Flow:
        """A flow to the server."""

    def start(self, request: Request, flow: Flow) -> ClientExchange:
        """Send a request."""

    def open_dialog(self, dialog_id: DialogId) -> trio.MemoryReceiveChannel[ServerExchange]:
        """Requests in a dialog."""

    def close_dialog(self, dialog_id: DialogId) -> None:
        """Forget a dialog."""


@dataclass(slots=True)
class CallReport:
    """How a call went. Times are steady seconds; None for what did not happen."""

    status: int = 0
    reason: str = ""
    why: str = ""
    started: float = 0.0
    rang: float | None = None
    answered: float | None = None
    ended: float | None = None
    ended_by: str = ""
    heard: "array[int]" = field(default_factory=lambda: array("h"))


class Softphone:
    """One phone of one account."""

    def __init__(self, credentials: Credentials, sip: Sip, audio: Audio, chance: Chance) -> None:
        self._credentials = credentials
        self._sip = sip
        self._audio = audio
        self._chance = chance
        self._flow: Flow | None = None
        self._register_id = chance.token(8)
        self._cseq = 0
        self._domain = credentials.address.partition("@")[2]

    async def register(self, seconds: int = REGISTRATION_SECONDS) -> Response:
        """REGISTER (0 seconds: leave); RemoteError with the status when it is refused."""
        flow = await self._connect()
        uri = SipUri("sip", None, None, self._domain, None)
        own = NameAddr(None, SipUri.of_address(self._credentials.address))

        def make() -> Request:
            self._cseq += 1
            return make_request(
                "REGISTER",
                uri,
                from_=own.with_tag(self._register_id),
                to=own,
                call_id=self._register_id,
                cseq=self._cseq,
                headers=[("Contact", self._contact(flow)), ("Expires", str(seconds))],
            )

        response = await (await self._authenticated(make(), make, flow)).final_response()
        if response.status >= 300:
            raise RemoteError(f"{response.status} {response.reason}", status=response.status)
        return response

    async def stay_registered(self) -> None:
        """Refresh at half life until cancelled."""
        while True:
            await trio.sleep(REGISTRATION_SECONDS / 2)
            await self.register()

    async def send_text(self, target: str, text: str) -> Response:
        """MESSAGE (RFC 3428); the final response."""
        flow = await self._connect()
        make = self._maker("MESSAGE", target, [], text.encode(), "text/plain")
        exchange = await self._authenticated(make(), make, flow)
        return await exchange.final_response()

    async def call(self, target: str, samples: "array[int]", seconds: float) -> CallReport:
        """Call, speak `samples`, hang up after `seconds` of talk (0: when all is spoken); the report of it."""
        flow = await self._connect()
        line = self._audio.line(flow.local[0])
        report = CallReport(started=trio.current_time())
        try:
            session = Session(line, self._chance, flow.remote[0])
            for secure in (False, True):  # a node that requires SRTP says 488 to RTP
                headers = [("Contact", self._contact(flow))]
                make = self._maker("INVITE", target, headers, session.offer(secure=secure), SDP_TYPE)
                exchange = await self._authenticated(make(), make, flow, report)
                response = await self._await_answer(exchange, report)
                if response.status != 488:
                    break
            report.status, report.reason, report.why = response.status, response.reason, response.warning
            if response.status < 300:
                dialog = Dialog.of_client(exchange.request, response, self._contact(flow))
                exchange.acknowledge(response, dialog.acknowledge(exchange.request.cseq.number))
                session.take_answer(response.body)
                await self._talk(dialog, flow, line, session, samples, seconds, report)
        finally:
            report.ended = trio.current_time()
            line.close()
        return report

    async def answer(self, samples: "array[int]", *, ring_seconds: float = 0.2) -> CallReport:
        """Wait for one call, ring, answer, speak, and listen until the caller hangs up; the report of it."""
        while True:
            exchange = await self._sip.incoming.receive()
            if exchange.request.method == "INVITE":
                break
            status = 200 if exchange.request.method in ("OPTIONS", "MESSAGE", "NOTIFY") else 501
            exchange.respond(make_response(exchange.request, status, to_tag=self._chance.token(4)))
        return await self._answer_one(exchange, samples, ring_seconds)

    async def _answer_one(self, exchange: ServerExchange, samples: "array[int]", ring_seconds: float) -> CallReport:
        report = CallReport(started=trio.current_time())
        invite, flow, tag = exchange.request, exchange.flow, self._chance.token(4)
        line = self._audio.line(flow.local[0])
        contact = self._contact(flow)
        try:
            exchange.respond(make_response(invite, 180, to_tag=tag, headers=[("Contact", contact)]))
            with trio.move_on_after(ring_seconds):
                await exchange.cancelled.wait()
                exchange.respond(make_response(invite, 487, to_tag=tag))
                report.status, report.reason = 487, "Request Terminated"
                return report
            session = Session(line, self._chance, flow.remote[0])
            answer = session.answer(invite.body) if invite.body else session.offer(secure=False)
            response = make_response(
                invite, 200, to_tag=tag, headers=[("Contact", contact)], body=answer, content_type=SDP_TYPE
            )
            dialog = Dialog.of_server(invite, response, contact)
            requests = self._sip.open_dialog(dialog.id)
            await exchange.accept(response)
            report.status, report.reason, report.answered = 200, "OK", trio.current_time()
            await self._talk(dialog, flow, line, session, samples, float("inf"), report, requests)
        finally:
            report.ended = trio.current_time()
            line.close()
        return report

    async def _talk(
        self,
        dialog: Dialog,
        flow: Flow,
        line: Line,
        session: Session,
        samples: "array[int]",
        seconds: float,
        report: CallReport,
        requests: trio.MemoryReceiveChannel[ServerExchange] | None = None,
    ) -> None:
        channel = requests if requests is not None else self._sip.open_dialog(dialog.id)
        speech = self._audio.speech(line, samples)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speech.run)
            nursery.start_soon(self._serve_dialog, channel, session, flow, report, nursery.cancel_scope)
            if seconds == 0.0:
                await speech.finished.wait()
                await trio.sleep(0.3)
            else:
                await trio.sleep(seconds)
            report.ended_by = "us"
            nursery.cancel_scope.cancel()
        report.heard = speech.recording()
        if report.ended_by == "us":
            await self._sip.start(dialog.request("BYE"), flow).final_response()
        self._sip.close_dialog(dialog.id)

    async def _serve_dialog(
        self,
        requests: trio.MemoryReceiveChannel[ServerExchange],
        session: Session,
        flow: Flow,
        report: CallReport,
        scope: trio.CancelScope,
    ) -> None:
        async for exchange in requests:
            request = exchange.request
            if request.method == "INVITE":  # hold and resume: the same line, a fresh description
                body = session.answer(request.body)
                headers = [("Contact", self._contact(flow))]
                response = make_response(request, 200, headers=headers, body=body, content_type=SDP_TYPE)
                await exchange.accept(response)
                continue
            exchange.respond(make_response(request, 200))
            if request.method == "BYE":
                report.ended_by = request.headers.get("Reason") or "the other side"
                scope.cancel()
                return

    async def _await_answer(self, exchange: ClientExchange, report: CallReport) -> Response:
        while True:
            response = await exchange.next_response()
            if 101 <= response.status < 200 and report.rang is None:
                report.rang = trio.current_time()
            if response.status >= 200:
                report.answered = trio.current_time() if response.status < 300 else None
                return response

    async def _authenticated(
        self, request: Request, make: "Maker", flow: Flow, report: CallReport | None = None
    ) -> ClientExchange:
        """Send `request`; answer challenges; the exchange whose next response is not a challenge."""
        header: tuple[str, str] | None = None
        for _ in range(CHALLENGES_MAX + 1):
            if header is not None:
                request.headers.add(*header)
            exchange = self._sip.start(request, flow)
            response = await exchange.next_response()
            while response.status == 100:
                response = await exchange.next_response()
            if response.status not in _CHALLENGES or (
                header is not None and "stale=true" not in str(response.headers.items())
            ):
                return _Replayed(exchange, response)
            asked, answer = _CHALLENGES[response.status]
            challenge = Challenge.parse(response.headers.get(asked) or "")
            uri = str(request.uri)
            value = respond(
                challenge,
                method=request.method,
                uri=uri,
                user=self._credentials.name,
                password=self._credentials.password,
                cnonce=self._chance.token(8),
            )
            header = (answer, value)
            request = make()
        raise RemoteError("the server asks for a password again and again", status=401)

    def _maker(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes, kind: str) -> "Maker":
        """Builds the request again with the next CSeq and the same Call-ID (RFC 3261 §22.2)."""
        uri = self._uri(target)
        own = NameAddr(None, SipUri.of_address(self._credentials.address)).with_tag(self._chance.token(4))
        call_id, number = self._chance.token(12), 0

        def make() -> Request:
            nonlocal number
            number += 1
            return make_request(
                method,
                uri,
                from_=own,
                to=NameAddr(None, uri),
                call_id=call_id,
                cseq=number,
                headers=headers,
                body=body,
                content_type=kind,
            )

        return make

    async def _connect(self) -> Flow:
        if self._flow is None:
            self._flow = await self._sip.connect(self._credentials.transport, self._credentials.server)
        return self._flow

    def _contact(self, flow: Flow) -> str:
        host = f"[{flow.local[0]}]" if ":" in flow.local[0] else flow.local[0]
        return f"<sip:{self._credentials.name}@{host}:{flow.local[1]};transport={flow.transport}>"

    def _uri(self, target: str) -> SipUri:
        typed = as_typed(target)
        if not _DIALABLE.fullmatch(typed):
            raise RemoteError(f"{target!r} cannot be dialled: give a name, a number or sip:name@domain")
        if typed.lower().startswith(("sip:", "sips:")):
            return SipUri.parse(typed if "@" in typed else f"{typed}@{self._domain}")
        text = number_of_tel(typed).replace("#", "%23")
        return SipUri.parse(f"sip:{text}" if "@" in text else f"sip:{text}@{self._domain}")


class Maker(Protocol):
    """Makes a request anew."""

    def __call__(self) -> Request:
        """The request with the next CSeq."""


class _Replayed(ClientExchange):
    """An exchange whose first response was taken already: it gives that one again first."""

    def __init__(self, exchange: ClientExchange, first: Response) -> None:
        self._exchange = exchange
        self._first: Response | None = first
        self.request, self.flow, self.key = exchange.request, exchange.flow, exchange.key

    async def next_response(self) -> Response:
        first, self._first = self._first, None
        return first if first is not None else await self._exchange.next_response()

    def acknowledge(self, response: Response, ack: Request) -> None:
        self._exchange.acknowledge(response, ack)

    def cancel(self) -> None:
        self._exchange.cancel()
