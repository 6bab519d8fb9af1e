"""Changes of a call that stands: the offer of one side is passed to the other, and its answer back.

RFC 3261 §14 (re-INVITE), RFC 3311 (UPDATE), RFC 3264 §8 (hold and resume). A change that fails leaves everything as it was.
"""

from collections.abc import Callable

import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.calls.negotiation import Negotiation, glare_pause
from p2psip.calls.pressing import with_events
from p2psip.calls.services import OFFER, answer_audio
from p2psip.calls.sides import SDP, Side
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request

_GONE = (408, 481)
SETTLING_TRIES_MAX = 4
DIRECTION_OF = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}
_SENDS = ("sendrecv", "sendonly")
_RECEIVES = ("sendrecv", "recvonly")


def _end_nothing(_error: RemoteError) -> None:
    """For a call that is over."""


class Changes:
    """Serves re-INVITE and UPDATE of both sides. `end` is told when the call cannot go on, `note` after each change."""

    def __init__(self, negotiation: Negotiation, end: Callable[[RemoteError], None], note: Callable[[], None]) -> None:
        self._negotiation = negotiation
        self._end = end
        self._note = note

    def close(self) -> None:
        """The call is over, and with it this object: without a way back to the call both are freed at once."""
        self._end = _end_nothing

    def begin(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        """Serve a re-INVITE, UPDATE or PRACK of `side`; during another change it is refused with 491 or 500."""
        request = exchange.request
        side.timer.check(request)
        if request.body and request.content_type != SDP:
            raise RemoteError("a call is described in application/sdp here", status=415)
        if request.method != "INVITE" and not request.body:
            side.answer(exchange)
            return
        nursery.start_soon(self._serve, exchange, side, other, nursery)

    async def settle(self, side: Side, other: Side, chance: Chance) -> None:
        """Offer to `side` what `other` has described last, and this node has answered before the call stood.

        What `side` refuses stays as it was.
        """
        for _ in range(SETTLING_TRIES_MAX):
            await self._negotiation.wait_free()
            wanted = other.end.heard
            if wanted is None or _knows(side, wanted):
                return
            self._negotiation.begin(self)
            try:
                await self._offer(side, wanted)
                return
            except RemoteError as error:
                if error.status in _GONE:
                    self._end(error)
                if error.status != 491:
                    return
            finally:
                self._negotiation.end()
            await trio.sleep(glare_pause(chance, owns_call_id=side.owns_call_id))

    async def _offer(self, side: Side, audio: Audio) -> None:
        method = "UPDATE" if side.allows("UPDATE") else "INVITE"
        change, response = await side.offer(side.end.write(audio, is_offer=True), method=method)
        side.acknowledge(change, response)
        side.end.take(response.body, is_offer=False)

    async def _serve(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        try:
            # The ACK of the change before may have come just now, and ends that one first.
            await trio.lowlevel.checkpoint()
            self._negotiation.begin(side)
            await self._serve_alone(exchange, side, other, nursery)
        except RemoteError as error:
            side.refuse(exchange, error)
        finally:
            side.leave(exchange)

    async def _serve_alone(
        self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery
    ) -> None:
        watch = trio.CancelScope()
        nursery.start_soon(self._pass_cancel, exchange, other, watch)
        try:
            if exchange.request.body:
                await self._pass_offer(exchange, side, other)
            else:
                await self._pass_question(exchange, side, other)
        except RemoteError as error:
            self._fail(exchange, side, error)
        finally:
            self._negotiation.end()
            self._note()
            watch.cancel()

    async def _pass_cancel(self, exchange: ServerExchange, other: Side | None, watch: trio.CancelScope) -> None:
        with watch:
            await exchange.cancelled.wait()
            if other is not None:
                other.cancel_change()

    def _fail(self, exchange: ServerExchange, side: Side, error: RemoteError) -> None:
        if exchange.answered:
            self._end(error)
            return
        side.refuse(exchange, error)
        if error.status in _GONE:
            self._end(error)

    async def _pass_offer(self, exchange: ServerExchange, side: Side, other: Side | None) -> None:
        request = exchange.request
        audio = side.end.take(request.body, is_offer=True)
        own = side.end.own_answer(audio)
        if own is not None:
            await self._answer_restart(exchange, side, own)
            return
        if audio == side.end.heard and side.end.said is not None:
            answer = side.end.said  # a refresh (RFC 4028 §10), or another address: a matter of this leg alone
        elif other is None:
            answer = answer_audio(audio)
        else:
            change, response = await other.offer(other.end.write(audio, is_offer=True), method=_method(request, other))
            other.acknowledge(change, response)
            answer = with_events(fitting(other.end.take(response.body, is_offer=False), audio), audio, other)
        await self._answer(exchange, side, side.end.write(answer, is_offer=False))

    async def _answer(self, exchange: ServerExchange, side: Side, body: bytes) -> None:
        if exchange.request.method == "INVITE":
            await side.accept(exchange, body)
        else:
            side.answer(exchange, body)

    async def _answer_restart(self, exchange: ServerExchange, side: Side, audio: Audio) -> None:
        """The path between the nodes is made anew: no business of the phone, and no end of the call when it fails."""
        try:
            await self._answer(exchange, side, side.end.write(audio, is_offer=False))
        except RemoteError as error:
            side.note_heard(f"no ACK: {error}")

    async def _pass_question(self, exchange: ServerExchange, side: Side, other: Side | None) -> None:
        """A re-INVITE without a description asks for an offer: the other side's is passed, and the answer in ACK too."""
        if other is None:
            ack = await side.accept(exchange, side.end.write(OFFER, is_offer=True))
            side.end.take(ack, is_offer=False)
            return
        invite, response = await other.offer(b"")
        try:
            audio = other.end.take(response.body, is_offer=True)
            ack = await side.accept(exchange, side.end.write(audio, is_offer=True))
            answer = side.end.take(ack, is_offer=False)
        except RemoteError:
            other.acknowledge(invite, response)
            raise
        other.acknowledge(invite, response, other.end.write(fitting(answer, audio), is_offer=False))


def fitting(answer: Audio, offer: Audio) -> Audio:
    """`answer` with a direction that `offer` leaves open (RFC 3264 §6.1): phones that forget a=recvonly are helped out."""
    sends = answer.direction in _SENDS and offer.direction in _RECEIVES
    receives = answer.direction in _RECEIVES and offer.direction in _SENDS
    return answer.with_direction(DIRECTION_OF[sends, receives])


def _knows(side: Side, wanted: Audio) -> bool:
    """Whether `side` has been told no less than `wanted`."""
    said, heard = side.end.said, side.end.heard
    if said is None or heard is None:
        return True
    return said.direction == fitting(wanted, heard).direction and said.shares_codec(wanted)


def _method(request: Request, other: Side) -> str:
    """How a change is passed on: as it came, but as a re-INVITE to whoever does not know UPDATE."""
    return "UPDATE" if request.method == "UPDATE" and other.allows("UPDATE") else "INVITE"
