"""One side of a call that stands: its dialog, the flow to reach it, its media end, its channel of requests."""

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.call_log import CallRecord
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.message import Response

ANSWER_SECONDS_MAX = 32.0


class Side:
    """A leg of an established call. `owns_call_id`: we began the dialog (RFC 3261 §14.1)."""

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
    ) -> None:
        self._equipment = equipment
        self._record = record
        self.name = name
        self.flow = flow
        self.end = end
        self.dialog = dialog
        self.owns_call_id = owns_call_id
        self.requests: trio.MemoryReceiveChannel[ServerExchange] = equipment.sip.open_dialog(dialog.id)

    def close(self) -> None:
        """Forget the dialog; the media end is left to its owner."""
        self._equipment.sip.close_dialog(self.dialog.id)

    def admit(self, exchange: ServerExchange) -> None:
        """Check a request of the peer; RemoteError when it is out of order (500) or comes from somebody else (403)."""
        self.note_heard(exchange.request.method)
        flow = exchange.flow
        same_kind = (flow.transport == OVERLAY) == (self.flow.transport == OVERLAY)
        if not same_kind or (flow.transport == OVERLAY and flow.remote != self.flow.remote):
            raise RemoteError("this call belongs to somebody else", status=403)
        self.dialog.accept_request(exchange.request)
        self.flow = flow

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

    async def offer(self, body: bytes) -> tuple[ClientExchange, Response]:
        """Re-INVITE with `body` (empty: ask for an offer); the 2xx, still to be acknowledged, or RemoteError."""
        exchange = self.send("INVITE", body=body, content_type="application/sdp" if body else None)
        response = await self.final_response(exchange)
        if response.status >= 300:
            raise RemoteError(f"{self.name} refused the change: {response.reason}", status=response.status)
        self.dialog.refresh_target(response)
        return exchange, response

    def acknowledge(self, exchange: ClientExchange, response: Response, body: bytes = b"") -> None:
        """The ACK of a 2xx."""
        self.note_said("ACK")
        content_type = "application/sdp" if body else None
        number = response.cseq.number
        exchange.acknowledge(response, self.dialog.acknowledge(number, body=body, content_type=content_type))

    async def hang_up(self, header: tuple[str, str]) -> None:
        """BYE with a Reason; returns when it was answered, or could not be."""
        exchange = self.send("BYE", headers=[header])
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
