"""A call that stands: requests of either side are passed to the other, and the end of one ends the other.

RFC 3261 §14 (re-INVITE) and §15 (BYE), RFC 6086 (INFO), RFC 3326 (Reason).
"""

from dataclasses import dataclass

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure, reason_header, refuse
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import OverlayEnd
from p2psip.calls.equipment import Equipment
from p2psip.calls.loans import Loan
from p2psip.calls.restarts import Negotiation, PathRestarts
from p2psip.calls.services import OFFER, answer_audio
from p2psip.calls.sides import Side
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange

RELAYED_METHODS = ("INFO", "MESSAGE")
RELAYED_AT_ONCE_MAX = 16
BODY_BYTES_MAX = 8_192

_GONE = (408, 481)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a call ended. `by` is the side that said so, if any; `header` is the Reason that the other side gets.

    After a transfer the talk goes on in `successor`, or the side `lent` goes on in another call.
    """

    status: int
    words: str
    by: Side | None = None
    header: tuple[str, str] | None = None
    successor: "Talk | None" = None
    lent: Loan | None = None


class Talk:
    """Serves both sides until the call is over. `callee` is None when a local service answered.

    `confirmed` is to be set when the INVITE that made the call is acknowledged: this node changes nothing before.
    """

    def __init__(self, equipment: Equipment, caller: Side, callee: Side | None) -> None:
        self._equipment = equipment
        self.caller = caller
        self.callee = callee
        self._over = trio.Event()
        self.negotiation = Negotiation()
        self._relaying = 0
        self.confirmed = trio.Event()
        self.leaver: Side | None = None  # whose BYE does not end the call: a transfer by it is under way
        self.left = trio.Event()
        self.borrowed: list[Loan] = []
        self.ending: Ending | None = None

    async def run(self) -> Ending:
        """Return when the call is over; whoever did not hang up has been told by then."""
        async with trio.open_nursery() as nursery:
            for side, other in ((self.caller, self.callee), (self.callee, self.caller)):
                if side is not None:
                    nursery.start_soon(self._serve, side, other, nursery)
                    if side.end.can_be_lost:
                        nursery.start_soon(self._watch_media, side)
                    if isinstance(side.end, OverlayEnd):
                        nursery.start_soon(self._keep_path, side, side.end)
            await self._over.wait()
            nursery.cancel_scope.cancel()
        assert self.ending is not None
        return self.ending

    async def say_goodbye(self, ending: Ending) -> None:
        """BYE to every side that did not hang up itself."""
        header = ending.header or reason_header(ending.status, ending.words)
        gone = (None, ending.by, ending.lent and ending.lent.side, self.leaver if self.left.is_set() else None)
        sides = [side for side in (self.caller, self.callee) if side is not None and side not in gone]
        if len(sides) == 1:
            await sides[0].hang_up(header)
            return
        async with trio.open_nursery() as nursery:
            for side in sides:
                nursery.start_soon(side.hang_up, header)

    def end(self, ending: Ending) -> None:
        """The call is over; the first word counts."""
        if self.ending is None:
            self.ending = ending
            self._over.set()

    async def wait_over(self) -> None:
        """Return when the call is over, or has passed to other hands."""
        await self._over.wait()

    def other(self, side: Side) -> Side | None:
        """Who talks with `side`; None for a local service."""
        return self.callee if side is self.caller else self.caller

    def put_in_place(self, leaves: Side, loan: Loan) -> bool:
        """Let the borrowed side take the place of `leaves`, which is told nothing; False when the call is over already."""
        if self.ending is not None:
            return False
        comes = loan.side
        sides = (comes, self.callee) if leaves is self.caller else (self.caller, comes)
        successor = Talk(self._equipment, *sides)
        successor.borrowed = [*self.borrowed, loan]
        successor.confirmed.set()
        self.end(Ending(200, f"{comes.name} takes the place of {leaves.name}", successor=successor))
        return True

    def give_back(self) -> None:
        """Tell the calls that lent sides to this one that they are free again."""
        for loan in self.borrowed:
            loan.returned.set()

    async def _serve(self, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        async for exchange in side.requests:
            try:
                side.admit(exchange)
                self._dispatch(exchange, side, other, nursery)
            except RemoteError as error:
                self._refuse(exchange, error)

    def _dispatch(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        method = exchange.request.method
        if method == "BYE":
            exchange.respond(make_response(exchange.request, 200))
            side.note_said("200 OK")
            if side is self.leaver:
                self.left.set()
                return
            reason = exchange.request.headers.get("Reason")
            header = ("Reason", reason) if reason else None
            self.end(Ending(200, f"{side.name} hung up", side, header))
        elif method == "INVITE":
            self.negotiation.begin(side)
            nursery.start_soon(self._renegotiate, exchange, side, other)
        elif method in RELAYED_METHODS:
            self._relay_soon(exchange, side, other, nursery)
        elif method == "OPTIONS":
            exchange.respond(make_response(exchange.request, 200))
        elif method == "REFER":
            self._equipment.take(exchange)
        else:
            raise RemoteError(f"{method} is not served within a call", status=405)

    # Re-INVITE: hold, resume, change of codec

    async def _renegotiate(self, exchange: ServerExchange, side: Side, other: Side | None) -> None:
        try:
            if exchange.request.body:
                await self._pass_offer(exchange, side, other)
            else:
                await self._pass_question(exchange, side, other)
        except RemoteError as error:
            if exchange.answered:
                self.end(Ending(error.status, str(error)))
            else:
                self._refuse(exchange, error)
                if error.status in _GONE:
                    self.end(Ending(error.status, str(error)))
        finally:
            self.negotiation.end()

    async def _pass_offer(self, exchange: ServerExchange, side: Side, other: Side | None) -> None:
        audio = side.end.take(exchange.request.body, is_offer=True)
        own = side.end.own_answer(audio)
        if own is not None:
            await self._answer_restart(exchange, side, own)
            return
        if other is None:
            answer = answer_audio(audio)
        else:
            invite, response = await other.offer(other.end.write(audio, is_offer=True))
            other.acknowledge(invite, response)
            answer = other.end.take(response.body, is_offer=False)
        await self._accept(exchange, side, side.end.write(answer, is_offer=False))

    async def _answer_restart(self, exchange: ServerExchange, side: Side, audio: Audio) -> None:
        """The path between the nodes is made anew: no business of the phone, and no end of the call when it fails."""
        try:
            await self._accept(exchange, side, side.end.write(audio, is_offer=False))
        except RemoteError as error:
            side.note_heard(f"no ACK: {error}")

    async def _pass_question(self, exchange: ServerExchange, side: Side, other: Side | None) -> None:
        """A re-INVITE without a description asks for an offer: the other side's is passed, and the answer in ACK too."""
        if other is None:
            ack = await self._accept(exchange, side, side.end.write(OFFER, is_offer=True))
            side.end.take(ack, is_offer=False)
            return
        invite, response = await other.offer(b"")
        try:
            audio = other.end.take(response.body, is_offer=True)
            ack = await self._accept(exchange, side, side.end.write(audio, is_offer=True))
            answer = side.end.take(ack, is_offer=False)
        except RemoteError:
            other.acknowledge(invite, response)
            raise
        other.acknowledge(invite, response, other.end.write(answer, is_offer=False))

    async def _accept(self, exchange: ServerExchange, side: Side, body: bytes) -> bytes:
        side.note_said("200 OK")
        contact = [("Contact", side.dialog.contact)]
        response = make_response(exchange.request, 200, headers=contact, body=body, content_type="application/sdp")
        ack = await exchange.accept(response)
        side.note_heard("ACK")
        return ack.body

    # INFO and MESSAGE

    def _relay_soon(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        if len(exchange.request.body) > BODY_BYTES_MAX:
            raise RemoteError("a body that is too large", status=413)
        if self._relaying >= RELAYED_AT_ONCE_MAX:
            raise RemoteError("too many requests at once in this call", status=503)
        if other is None:
            exchange.respond(make_response(exchange.request, 200))
            return
        self._relaying += 1
        nursery.start_soon(self._relay, exchange, side, other)

    async def _relay(self, exchange: ServerExchange, side: Side, other: Side) -> None:
        request = exchange.request
        passed = [
            (name, value)
            for name, value in request.headers
            if name in ("Content-Type", "Info-Package", "Content-Disposition")
        ]
        try:
            response = await other.final_response(other.send(request.method, headers=passed, body=request.body))
            exchange.respond(make_response(request, response.status, response.reason))
            side.note_said(f"{response.status} {response.reason}")
        except RemoteError as error:
            self._refuse(exchange, error)
        finally:
            self._relaying -= 1

    async def _keep_path(self, side: Side, end: OverlayEnd) -> None:
        await self.confirmed.wait()
        chance = self._equipment.chance
        restarts = PathRestarts(side, end, self.negotiation, chance, lambda e: self.end(Ending(e.status, str(e))))
        await restarts.run()

    async def _watch_media(self, side: Side) -> None:
        reason = await side.end.wait_lost()
        words = f"the media path to {side.name} is lost: {reason}"
        self.end(Ending(503, words))

    def _refuse(self, exchange: ServerExchange, error: RemoteError) -> None:
        tag = self._equipment.tag()
        failure = Failure.of_error(error)
        exchange.respond(refuse(exchange.request, failure, self._equipment.settings.overlay, to_tag=tag))
