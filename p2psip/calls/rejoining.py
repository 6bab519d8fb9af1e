"""Putting somebody else in one place of a call that stands: the media agreed anew with who stays, then the places changed.

No phone needs to know of it: who stays hears a re-INVITE (RFC 3261 §14), who leaves a BYE.
"""

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import reason_header
from p2psip.calls.call import Call
from p2psip.calls.changes import fitting
from p2psip.calls.descriptions import Audio
from p2psip.calls.equipment import Equipment
from p2psip.calls.loans import Loan
from p2psip.calls.negotiation import glare_pause
from p2psip.calls.patch import EndWatch
from p2psip.calls.sides import Side
from p2psip.calls.talk import Talk
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange

GLARES_MAX = 4
LEAVE_SECONDS_MAX = 4.0


class Change:
    """Nobody else changes the call within the block, which begins when the call is confirmed and no change is under way."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def __aenter__(self) -> None:
        await self._talk.confirmed.wait()
        await self._talk.negotiation.wait_free()
        self._talk.negotiation.begin(self)

    async def __aexit__(self, *_error: object) -> None:
        self._talk.negotiation.end()


async def offer_anew(equipment: Equipment, side: Side, audio: Audio) -> Audio:
    """Offer `audio` to a side that is in a call, and its answer; RemoteError when it refuses, or shares no codec."""
    for attempt in range(GLARES_MAX):
        try:
            exchange, response = await side.offer(side.end.write(audio, is_offer=True))
        except RemoteError as error:
            if error.status not in (491, 500) or attempt == GLARES_MAX - 1:
                raise
            await trio.sleep(glare_pause(equipment.chance, owns_call_id=side.owns_call_id))
            continue
        side.acknowledge(exchange, response)
        answer = side.end.take(response.body, is_offer=False)
        if not answer.shares_codec(audio):
            raise RemoteError(f"{side.name} shares no codec", status=488)
        return answer
    raise AssertionError("the last attempt returns or raises")


async def ask_anew(side: Side) -> Audio:
    """All that a side can do, by a re-INVITE without a description; what was agreed on before stays (RFC 3261 §14.1)."""
    before = side.end.said
    exchange, response = await side.offer(b"")
    try:
        audio = side.end.take(response.body, is_offer=True)
        answer = _keeping(audio, before) if before is not None else audio
        body = side.end.write(fitting(answer, audio), is_offer=False)
    except RemoteError:
        side.acknowledge(exchange, response)
        raise
    side.acknowledge(exchange, response, body)
    return audio


def put_in_place(equipment: Equipment, call: Call, leaves: Side, loan: Loan) -> bool:
    """Let the borrowed side take the place of `leaves` in `call`, and hear who stays; False when the call is over."""
    talk = call.talk
    if talk is None or not talk.put_in_place(leaves, loan):
        return False
    successor = call.talk
    assert successor is not None
    assert successor.callee is not None
    watches = (
        EndWatch(each.name, each.end.leg, each.end, equipment.clock) for each in (successor.caller, successor.callee)
    )
    call.patch.join(*watches)
    return True


async def see_off(talk: Talk, side: Side, seconds: float = LEAVE_SECONDS_MAX) -> None:
    """Wait for the BYE of a side that has left `talk`, or say it ourselves after so many seconds."""
    if not talk.left.is_set():
        with trio.move_on_after(seconds):
            await _hear_bye(side)
            talk.left.set()
    if not talk.left.is_set():
        await side.hang_up(reason_header(200, "Call transferred"))
    side.close()
    for loan in talk.borrowed:
        if loan.side is side:
            loan.returned.set()


def _keeping(offer: Audio, before: Audio) -> Audio:
    """The answer to `offer` that leaves all as it was, as far as it still can be."""
    formats = tuple(each for each in offer.formats if each in before.formats) or offer.formats
    attributes = tuple(
        (name, value)
        for name, value in offer.attributes
        if name not in ("rtpmap", "fmtp") or (value or "").partition(" ")[0] in formats
    )
    return Audio(formats, attributes, before.direction)


async def _hear_bye(side: Side) -> None:
    heard = trio.Event()

    def take(exchange: ServerExchange) -> None:
        if exchange.request.method == "BYE":
            side.answer(exchange)
            heard.set()
        else:
            exchange.respond(make_response(exchange.request, 481))

    side.serve(take)
    await heard.wait()
