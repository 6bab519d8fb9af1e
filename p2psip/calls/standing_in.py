"""A call that this node places for one of its phones: an INVITE that came from nowhere, and a media end without sockets.

A transfer calls its target so, and the call takes the very path of one that the phone had dialled: its rights, the dial plan,
the trunks and their caps, the log. What the caller would have been told is given to whoever placed the call.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from media.legs import LegStatistics, Sink
from p2psip.calls.answers import ALLOWED_METHODS
from p2psip.calls.descriptions import Audio, Layout, Origin, phone_line, write_description
from p2psip.calls.ends import Agreement, EndKind
from p2psip.calls.equipment import Equipment, Party
from p2psip.sip.build import make_request
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

Answered = Callable[[], Awaitable[None]]
"""Called when the target has answered; a RemoteError ends the new call."""

_NOWHERE = ("127.0.0.1", 9)


class QuietLeg:
    """A leg that takes packets and gives none."""

    def __init__(self) -> None:
        self.statistics = LegStatistics()

    def send(self, packet: bytes) -> None:
        """See Leg: dropped."""

    def connect(self, sink: Sink | None) -> None:
        """See Leg: nothing comes."""

    def close(self) -> None:
        """See Leg: nothing to free."""


class QuietEnd(Agreement):
    """The media end of somebody who is not there yet: offers `audio`, and remembers what was answered, or offered to it."""

    kind: EndKind = "phone"
    can_be_lost = False

    def __init__(self, equipment: Equipment, audio: Audio) -> None:
        super().__init__()
        self.leg = QuietLeg()
        self.audio = audio
        self.answer: Audio | None = None
        self._origin = Origin.make(equipment.chance, _NOWHERE[0])

    def offer(self) -> bytes:
        """The description that stands in the INVITE."""
        return write_description(self.audio, self._origin, Layout(), phone_line(_NOWHERE))

    def take(self, body: bytes, *, is_offer: bool) -> Audio:
        """See MediaEnd: what was given at the start; as an answer, all that was offered."""
        audio = self.audio if is_offer or self.answer is None else self.answer
        self.note_taken(audio, is_offer=is_offer)
        return audio

    def write(self, audio: Audio, *, is_offer: bool) -> bytes:
        """See MediaEnd: notes the answer."""
        self.note_written(audio, is_offer=is_offer)
        self.answer = audio
        return write_description(audio, self._origin, Layout(), phone_line(_NOWHERE))

    async def wait_lost(self) -> str:
        """Never returns."""
        await trio.sleep_forever()
        raise AssertionError("never reached")

    def own_answer(self, audio: Audio) -> Audio | None:
        """See MediaEnd: nothing changes alone."""
        return None

    def path(self) -> dict[str, Any]:
        """See MediaEnd."""
        return {}

    def close(self) -> None:
        """See MediaEnd."""


class _Nobody:
    """Takes what a server exchange would send."""

    def respond(self, key: str, response: Response) -> None:
        """See exchange.Sender."""

    def send_again(self, wire: bytes, flow: Flow) -> None:
        """See exchange.Sender."""

    def cancel(self, key: str) -> None:
        """See exchange.Sender."""

    def repeat(self, exchange: ClientExchange, request: Request) -> None:
        """See exchange.Sender."""

    def forget(self, exchange: ClientExchange) -> None:
        """See exchange.Sender."""

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        """See exchange.Sender."""
        return b""

    def expect_ack(self, exchange: ServerExchange, waiting: bool) -> None:
        """See exchange.Sender."""


class StandIn(ServerExchange):
    """The INVITE of `party` for `target`. Its responses go to `told`; at the 2xx `answered` runs before the ACK."""

    def __init__(self, request: Request, party: Party, told: Callable[[Response], None], answered: Answered) -> None:
        super().__init__("", request, party.flow, _Nobody())
        self._told = told
        self._answered = answered

    def respond(self, response: Response) -> None:
        """See ServerExchange."""
        if not self.answered:
            self.answered = response.status >= 200
            self._told(response)

    async def accept(self, response: Response) -> Request:
        """See ServerExchange."""
        await self._answered()
        self.respond(response)
        return Dialog.of_server(self.request, response, self.request.headers.get("Contact") or "").acknowledge(
            self.request.cseq.number
        )


def invitation(
    equipment: Equipment, party: Party, target: SipUri | OtherUri, body: bytes, headers: list[tuple[str, str]]
) -> Request:
    """An INVITE as a phone of `party` would send it, without authorisation: `party` has proved itself otherwise."""
    to = target if isinstance(target, OtherUri) else target.without_parameter("transport")
    return make_request(
        "INVITE",
        target,
        from_=party.name_addr(equipment.tag()),
        to=NameAddr(None, to),
        call_id=equipment.call_id(),
        cseq=1,
        headers=[("Contact", equipment.contact(party.address, party.flow)), ("Allow", ALLOWED_METHODS), *headers],
        body=body,
        content_type="application/sdp" if body else None,
    )
