"""The caller's leg of one call, from the INVITE to its final response: what the caller is told, and in which dialog.

RFC 3261 §13.3, RFC 3262 (reliable provisional responses), RFC 4028 (session timers). The dialog is there before the answer, so
that requests within it are served from the first provisional response on.
"""

from p2psip.calls.answers import ALLOWED_METHODS, SUPPORTED, Failure, refuse
from p2psip.calls.call_log import CallRecord
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment, Party, caller_name
from p2psip.calls.reliable import ReliableProvisionals
from p2psip.calls.sides import SDP, Side
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog, DialogId
from p2psip.sip.exchange import ServerExchange


class CallerLeg:
    """What is said to the caller. `side` is there from `open` on."""

    def __init__(
        self, equipment: Equipment, record: CallRecord, exchange: ServerExchange, caller: Party, address: str
    ) -> None:
        self._equipment = equipment
        self._record = record
        record.is_verified = caller.kind != "stranger"
        self._caller = caller
        self._contact = equipment.contact(address, caller.flow, caller.line)
        self._tag = equipment.tag()
        self._said: set[int] = set()
        self._described = b""
        self.exchange = exchange
        self.name = caller_name(caller)
        self.provisionals = ReliableProvisionals(exchange, equipment.chance)
        self._side: Side | None = None

    @property
    def dialog_id(self) -> DialogId:
        """The dialog with the caller, early or not."""
        return (self.exchange.request.call_id, self._tag, self.exchange.request.from_.tag or "")

    @property
    def side(self) -> Side:
        """The caller's side of the call."""
        assert self._side is not None
        return self._side

    def open(self, end: MediaEnd) -> Side:
        """Begin the dialog; RemoteError when the INVITE cannot make one, or asks for too short a session."""
        invite = self.exchange.request
        dialog = Dialog.of_server(invite, make_response(invite, 200, to_tag=self._tag), self._contact)
        dialog.credentials = None if self._caller.line is None else self._caller.line.credentials
        side = Side(self._equipment, self._record, name=self.name, flow=self._caller.flow, end=end, dialog=dialog)
        self._side = side
        side.learn(invite)
        side.provisionals = self.provisionals
        side.timer.check(invite)
        return side

    def close(self) -> None:
        """Forget the dialog."""
        self.provisionals.close()
        if self._side is not None:
            self._side.close()

    def progress(self, status: int, reason: str, body: bytes = b"") -> None:
        """A provisional response; the same one a second time is not sent."""
        if status in self._said and body in (b"", self._described):
            return
        self._said.add(status)
        self._described = body or self._described
        if not (self._caller.is_node and status == 183):
            self._record.ring(self._equipment.clock.unix())
        self.provisionals.send(
            make_response(
                self.exchange.request,
                status,
                None if status == 180 else reason,
                to_tag=self._tag,
                headers=[("Contact", self._contact), ("Allow", ALLOWED_METHODS)],
                body=body,
                content_type=SDP if body else None,
            )
        )
        self.note_said(f"{status} {reason}")

    async def accept(self, body: bytes) -> bytes:
        """200, until its ACK comes; the description in that. RemoteError when it never comes, or after another answer."""
        self.provisionals.close()
        side, invite = self.side, self.exchange.request
        side.establish()
        response = make_response(
            invite,
            200,
            to_tag=self._tag,
            headers=[
                ("Contact", self._contact),
                ("Allow", ALLOWED_METHODS),
                ("Supported", SUPPORTED),
                *side.timer.answer(invite),
            ],
            body=body,
            content_type=SDP if body else None,
        )
        ack = await self.exchange.accept(response)
        self.note_heard("ACK")
        return ack.body

    def refuse(self, failure: Failure) -> None:
        """The final response of a call that came to nothing."""
        self.provisionals.close()
        if not self.exchange.answered:
            host = self._equipment.settings.overlay
            response = refuse(self.exchange.request, failure, host, to_tag=self._tag)
            self.exchange.respond(response)
            self.note_said(f"{response.status} {response.reason}")

    async def wait_acknowledged(self) -> None:
        """Return when a 2xx may be sent (RFC 3262 §3)."""
        await self.provisionals.wait_acknowledged()

    def note_heard(self, summary: str) -> None:
        """Put a message of the caller into the ladder."""
        self._record.step(self._equipment.clock.unix(), self.name, "this node", summary)

    def note_said(self, summary: str) -> None:
        """Put a message to the caller into the ladder."""
        self._record.step(self._equipment.clock.unix(), "this node", self.name, summary)
