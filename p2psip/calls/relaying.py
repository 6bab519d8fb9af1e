"""Requests within a call that carry something for the other side and change nothing: INFO (RFC 6086) and MESSAGE (RFC 3428).

Digits in an INFO become telephone events where the other side takes those (`digits.py`).
"""

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.digits import EventFormat, Keypad, Press, TappedLeg
from p2psip.calls.equipment import Equipment
from p2psip.calls.sides import Side
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ClientExchange, ServerExchange

RELAYED_METHODS = ("INFO", "MESSAGE")
RELAYED_AT_ONCE_MAX = 16
BODY_BYTES_MAX = 8_192

_PASSED = ("Content-Type", "Info-Package", "Content-Disposition")


class Relaying:
    """Passes such requests on and brings their answers back."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._under_way = 0
        self._keypads: dict[Side, Keypad] = {}

    def begin(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        """Pass a request of `side` on to `other` (None: this node answers); RemoteError when it is too much."""
        if len(exchange.request.body) > BODY_BYTES_MAX:
            raise RemoteError("a body that is too large", status=413)
        if self._under_way >= RELAYED_AT_ONCE_MAX:
            raise RemoteError("too many requests at once in this call", status=503)
        if other is None:
            exchange.respond(make_response(exchange.request, 200))
            return
        if exchange.request.method == "INFO" and self._say_digit(exchange, side, other, nursery):
            return
        request = exchange.request
        passed = [(name, value) for name, value in request.headers if name in _PASSED]
        sent = other.send(request.method, headers=passed, body=request.body)  # here: in the order in which they came
        self._under_way += 1
        nursery.start_soon(self._bring_answer, exchange, sent, side, other)

    def _say_digit(self, exchange: ServerExchange, side: Side, other: Side, nursery: trio.Nursery) -> bool:
        """Whether the INFO says a digit that goes on in the audio."""
        press, form = Press.parse(exchange.request), EventFormat.of(other.end.heard)
        source, target = side.end.leg, other.end.leg
        if press is None or form is None or not isinstance(source, TappedLeg):
            return False
        keypad = self._keypads.setdefault(side, Keypad(self._equipment.chance))
        keypad.begin(press, source, target.send, form, nursery)
        exchange.respond(make_response(exchange.request, 200))
        side.note_said("200 OK")
        return True

    async def _bring_answer(self, exchange: ServerExchange, sent: ClientExchange, side: Side, other: Side) -> None:
        try:
            response = await other.final_response(sent)
            exchange.respond(make_response(exchange.request, response.status, response.reason))
            side.note_said(f"{response.status} {response.reason}")
        except RemoteError as error:
            side.refuse(exchange, error)
        finally:
            self._under_way -= 1
            side.leave(exchange)
