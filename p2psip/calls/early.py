"""What either side asks before the call is answered: requests within early dialogs (RFC 3261 §12, RFC 3262, RFC 3311).

A description in them is passed to the other side where that can take one (it has answered reliably, and knows UPDATE); elsewhere
this node answers for it, and the call settles the difference once it is answered (`Changes.settle`).
"""

from functools import partial
from typing import Protocol

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.changes import fitting
from p2psip.calls.descriptions import Audio
from p2psip.calls.equipment import Equipment
from p2psip.calls.negotiation import Negotiation
from p2psip.calls.relaying import RELAYED_METHODS, Relaying
from p2psip.calls.sides import SDP, Side
from p2psip.sip.dialog_table import Take
from p2psip.sip.exchange import ServerExchange


class Ringing(Protocol):
    """What is known of the call while it rings."""

    def partner(self, side: Side) -> Side | None:
        """Who hears `side` now; None when nobody does."""

    def can_change(self, side: Side) -> bool:
        """Whether the first offer has its answer on this side, reliably: before, none may be changed (RFC 3311 §5.1)."""

    def take_early_answer(self, body: bytes) -> None:
        """The PRACK of the caller answers the offer of whoever rings."""

    def stop(self, failure: Failure) -> None:
        """End the call."""


class EarlyRequests:
    """Serves the early dialogs of one call, until `close`.

    `tell_caller`, `tell_callee`: what the other one wants was answered by this node.
    """

    def __init__(self, equipment: Equipment, ringing: Ringing, nursery: trio.Nursery) -> None:
        self._ringing = ringing
        self._nursery = nursery
        self._negotiation = Negotiation()
        self._relaying = Relaying(equipment)
        self._serving: dict[Side, Take] = {}
        self._is_closed = False
        self.tell_caller = self.tell_callee = False

    def begin(self, side: Side) -> None:
        """Serve the requests of `side` from now on."""
        if not self._is_closed:
            take = self._serving[side] = partial(self._dispatch, side)
            side.serve(take)

    def close(self) -> None:
        """The call is answered or over; what comes now is left in the dialogs."""
        self._is_closed = True
        for side, take in self._serving.items():
            side.leave_waiting(take)
        self._serving.clear()

    def _dispatch(self, side: Side, exchange: ServerExchange) -> None:
        method, has_body = exchange.request.method, bool(exchange.request.body)
        if has_body and method in ("PRACK", "UPDATE") and exchange.request.content_type != SDP:
            raise RemoteError("a call is described in application/sdp here", status=415)
        if method == "PRACK":
            self._take_prack(exchange, side)
        elif method == "UPDATE" and has_body:
            self._change(exchange, side)
        elif method in ("UPDATE", "OPTIONS"):
            side.answer(exchange)
        elif method in RELAYED_METHODS:
            other = self._ringing.partner(side)
            if other is None:
                raise RemoteError("nobody has taken this call yet", status=480)
            self._relaying.begin(exchange, side, other, self._nursery)
        elif method == "BYE" and not side.owns_call_id:
            side.answer(exchange)
            self._ringing.stop(Failure(487, "the caller gave up"))
        elif method == "BYE" and not side.is_early:
            side.answer(exchange)
            self._ringing.stop(Failure(480, f"{side.name} has answered and hung up at once"))
        elif method == "BYE":
            raise RemoteError(
                "who is called ends a call with a final response, not with BYE (RFC 3261 §15)", status=403
            )
        elif method == "INVITE":
            raise RemoteError("this call is not answered yet", status=491 if side.owns_call_id else 500)
        else:
            raise RemoteError(f"{method} is not served within a call", status=405)

    def _take_prack(self, exchange: ServerExchange, side: Side) -> None:
        acknowledged = side.acknowledge_provisional(exchange)
        body = exchange.request.body
        was_offer = bool(acknowledged.body) and side.end.said is None
        if was_offer and not body:
            self._ringing.stop(Failure(488, "the offer of the callee was never answered"))
            raise RemoteError("this PRACK must answer the offer of the response (RFC 3262 §5)", status=400)
        if was_offer:
            self._ringing.take_early_answer(body)
        elif body:
            self._change(exchange, side)
            return
        side.answer(exchange)

    def _change(self, exchange: ServerExchange, side: Side) -> None:
        if not self._ringing.can_change(side):
            raise RemoteError("the first offer has no answer yet", status=491 if side.owns_call_id else 500)
        self._negotiation.begin(side)
        self._nursery.start_soon(self._pass_offer, exchange, side)

    async def _pass_offer(self, exchange: ServerExchange, side: Side) -> None:
        try:
            audio = side.end.take(exchange.request.body, is_offer=True)
            other = self._ringing.partner(side)
            if other is not None and other.allows("UPDATE") and self._ringing.can_change(other):
                _update, response = await other.offer(other.end.write(audio, is_offer=True), method="UPDATE")
                answer = fitting(other.end.take(response.body, is_offer=False), audio)
            else:
                answer = answer_alone(audio, side.end.said)
                self.tell_caller |= side.owns_call_id
                self.tell_callee |= not side.owns_call_id
            side.answer(exchange, side.end.write(answer, is_offer=False))
        except RemoteError as error:
            side.refuse(exchange, error)
        finally:
            self._negotiation.end()
            side.leave(exchange)


def answer_alone(offer: Audio, said: Audio | None) -> Audio:
    """An answer to `offer` within what was `said` before; RemoteError(488) when that shares no codec."""
    if said is None or not offer.shares_codec(said):
        raise RemoteError("the codecs of this call cannot be changed before it is answered", status=488)
    kept = tuple(each for each in offer.formats if each in said.formats)
    attributes = tuple(
        (name, value)
        for name, value in offer.attributes
        if name not in ("rtpmap", "fmtp") or (value or "").split(" ")[0] in kept
    )
    return fitting(Audio(kept, attributes, "sendrecv"), offer)
