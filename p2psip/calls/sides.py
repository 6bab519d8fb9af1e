"""One side of a call: its dialog, the flow to reach it, its media end, its requests, its session timer."""

from collections import deque

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import ALLOWED_METHODS, SUPPORTED, Failure, refuse, unsupported_options
from p2psip.calls.call_log import CallRecord
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment
from p2psip.calls.reliable import ReliableProvisionals
from p2psip.calls.session_timer import SessionTimer
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.dialog_table import DIALOG_QUEUED_MAX, Take
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.extensions import tokens
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.message import Request, Response

ANSWER_SECONDS_MAX = 32.0
SDP = "application/sdp"


class Side:
    """A leg of a call from its (early) dialog on. `owns_call_id`: we began the dialog (RFC 3261 §14.1).

    `provisionals` are the reliable responses to the INVITE of this side; `is_early` until its 2xx.
    """

    def __init__(
        self,
        equipment: Equipment,
        record: CallRecord,
        *,
        name: str,
        flow: Flow,
        end: MediaEnd,
        dialog: Dialog,
        owns_call_id: bool = False,
        timer: SessionTimer | None = None,
    ) -> None:
        self._equipment = equipment
        self._record = record
        self._allow: frozenset[str] = frozenset()
        self._supported: frozenset[str] = frozenset()
        self._changing: ClientExchange | None = None
        self.name = name
        self.flow = flow
        self.end = end
        self.dialog = dialog
        self.owns_call_id = owns_call_id
        self.timer = timer or SessionTimer(equipment.settings.session_seconds)
        self.provisionals: ReliableProvisionals | None = None
        self.is_early = True
        self._take: Take | None = None
        self._waiting: deque[ServerExchange] = deque()
        equipment.sip.serve_dialog(dialog.id, self._receive)

    def close(self) -> None:
        """Forget the dialog, and answer 481 to what nobody took; the media end is left to its owner."""
        self._equipment.sip.close_dialog(self.dialog.id)
        while self._waiting:
            exchange = self._waiting.popleft()
            exchange.respond(make_response(exchange.request, 481))

    def establish(self, response: Response | None = None) -> None:
        """The dialog is confirmed: by the peer's 2xx, or (None) by ours."""
        self.is_early = False
        if response is not None:
            self.learn(response)
            self.timer.note_answer(response)

    def learn(self, message: Request | Response) -> None:
        """Take note of what the peer can do: Allow and Supported (RFC 3261 §20.5, §20.37)."""
        self._allow = tokens(message.headers, "Allow") or self._allow
        self._supported = tokens(message.headers, "Supported") or self._supported

    def allows(self, method: str) -> bool:
        """Whether the peer has said that it serves `method`."""
        return method in self._allow

    def supports(self, option: str) -> bool:
        """Whether the peer has said that it understands `option`."""
        return option in self._supported

    # Requests of the peer

    def serve(self, take: Take) -> None:
        """Give requests that may be served (see `admit`) to `take`, which may refuse them by RemoteError; first what has waited."""
        self._take = take
        while self._waiting and self._take is not None:
            self._receive(self._waiting.popleft())

    def leave_waiting(self, take: Take) -> None:
        """Let requests wait for somebody else, if it is `take` that they are given to."""
        if self._take == take:
            self._take = None

    def _receive(self, exchange: ServerExchange) -> None:
        if self._take is None:
            if len(self._waiting) >= DIALOG_QUEUED_MAX:
                raise trio.WouldBlock
            self._waiting.append(exchange)
            return
        try:
            self.admit(exchange)
            self._take(exchange)
        except RemoteError as error:
            self.refuse(exchange, error)

    def admit(self, exchange: ServerExchange) -> None:
        """Check a request of the peer; RemoteError when it is late (500), from somebody else (403), or asks too much (420)."""
        request = exchange.request
        self.note_heard(request.method)
        flow = exchange.flow
        same_kind = (flow.transport == OVERLAY) == (self.flow.transport == OVERLAY)
        if not same_kind or (flow.transport == OVERLAY and flow.remote != self.flow.remote):
            raise RemoteError("this call belongs to somebody else", status=403)
        if unknown := unsupported_options(request):
            raise RemoteError(f"{', '.join(unknown)} is not supported here", status=420)
        self.dialog.accept_request(request)
        self.learn(request)
        self.flow = flow

    def answer(self, exchange: ServerExchange, body: bytes = b"") -> None:
        """200 to a request that is no INVITE."""
        exchange.respond(self._ok(exchange.request, body))
        self.note_said("200 OK")

    async def accept(self, exchange: ServerExchange, body: bytes) -> bytes:
        """200 to a re-INVITE; the description in its ACK. RemoteError when that never comes."""
        self.note_said("200 OK")
        ack = await exchange.accept(self._ok(exchange.request, body))
        self.note_heard("ACK")
        return ack.body

    def leave(self, exchange: ServerExchange) -> None:
        """The call is over: what is still open gets 487 (RFC 3261 §15.1.2)."""
        if not exchange.answered:
            self.refuse(exchange, RemoteError("the call is over", status=487))

    def refuse(self, exchange: ServerExchange, error: RemoteError) -> None:
        """The final response that says why not."""
        overlay, tag = self._equipment.settings.overlay, self._equipment.tag()
        exchange.respond(refuse(exchange.request, Failure.of_error(error), overlay, to_tag=tag))

    def acknowledge_provisional(self, exchange: ServerExchange) -> Response:
        """The response that a PRACK acknowledges; RemoteError(481) when there is none."""
        if self.provisionals is None:
            raise RemoteError("this PRACK matches no response that waits for one", status=481)
        return self.provisionals.take(exchange.request)

    # Requests of ours

    def send(
        self,
        method: str,
        *,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        content_type: str | None = None,
    ) -> ClientExchange:
        """Start a request in the dialog."""
        request = self.dialog.request(method, headers=headers, body=body, content_type=content_type)
        self.note_said(method)
        return self._equipment.sip.start(request, self.flow)

    async def final_response(self, exchange: ClientExchange) -> Response:
        """The final response to a request that `send` started."""
        response = await exchange.final_response()
        self.note_heard(f"{response.status} {response.reason}")
        return response

    async def offer(self, body: bytes, *, method: str = "INVITE") -> tuple[ClientExchange, Response]:
        """Re-INVITE or UPDATE with `body` (empty: ask for an offer, or only refresh); its 2xx, or RemoteError.

        A 2xx to INVITE is still to be acknowledged. An interval that is too short for the peer is raised (RFC 4028 §7.3).
        """
        while True:
            headers = [("Allow", ALLOWED_METHODS), ("Supported", "timer")]
            if not self.is_early:
                headers += self.timer.asking()
            exchange = self._changing = self.send(
                method, headers=headers, body=body, content_type=SDP if body else None
            )
            try:
                response = await self.final_response(exchange)
            except trio.Cancelled:
                self._leave_change(exchange)
                raise
            finally:
                self._changing = None
            if response.status == 422 and self.timer.raise_interval(response):
                continue
            if response.status >= 300:
                raise RemoteError(f"{self.name} refused the change: {response.reason}", status=response.status)
            self.learn(response)
            self.dialog.refresh_target(response)
            if not self.is_early:
                self.timer.note_answer(response)
            return exchange, response

    def cancel_change(self) -> None:
        """CANCEL the re-INVITE that `offer` waits for."""
        if self._changing is not None and self._changing.request.method == "INVITE":
            self.note_said("CANCEL")
            self._changing.cancel()

    def _leave_change(self, exchange: ClientExchange) -> None:
        """Nobody waits for the answer: who agrees all the same must be told so, or would end the call (RFC 3261 §13.3.1.4)."""
        if exchange.request.method == "INVITE":
            self.note_said("CANCEL")
            exchange.leave(lambda response: self.acknowledge(exchange, response))

    def acknowledge(self, exchange: ClientExchange, response: Response, body: bytes = b"") -> None:
        """The ACK of a 2xx to INVITE; nothing for that of an UPDATE."""
        if response.cseq.method != "INVITE":
            return
        self.note_said("ACK")
        content_type = SDP if body else None
        number = response.cseq.number
        exchange.acknowledge(response, self.dialog.acknowledge(number, body=body, content_type=content_type))

    async def hang_up(self, header: tuple[str, str]) -> None:
        """BYE with a Reason; returns when it was answered, or could not be. What comes in the dialog from now on gets 481."""
        exchange = self.send("BYE", headers=[header])
        self.close()
        with trio.move_on_after(ANSWER_SECONDS_MAX):
            try:
                await self.final_response(exchange)
            except RemoteError as error:
                self.note_heard(f"no answer to BYE: {error}")

    def note_said(self, summary: str) -> None:
        """Put a message of ours into the ladder."""
        self._record.step(self._equipment.clock.unix(), "this node", self.name, summary)

    def note_heard(self, summary: str) -> None:
        """Put a message of the peer into the ladder."""
        self._record.step(self._equipment.clock.unix(), self.name, "this node", summary)

    def _ok(self, request: Request, body: bytes) -> Response:
        headers = [("Contact", self.dialog.contact), ("Allow", ALLOWED_METHODS), ("Supported", SUPPORTED)]
        if request.method in ("INVITE", "UPDATE") and not self.is_early:
            headers += self.timer.answer(request)
        return make_response(request, 200, headers=headers, body=body, content_type=SDP if body else None)
