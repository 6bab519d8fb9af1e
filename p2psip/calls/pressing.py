"""Digits that come as telephone events (RFC 4733), for a phone that takes none but lists INFO: one INFO for each press.

The opposite stands in `digits.py`. The events are taken out of the stream, since that phone has not agreed on their payload type.
That its caller says digits as events at all, `with_events` sees to: this node takes them in the phone's place.
"""

import math
from dataclasses import replace

import trio

from media.dtmf import PressReader
from media.legs import Sink
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.calls.digits import RELAY_TYPE, EventFormat, Press, TappedLeg, event_formats
from p2psip.calls.equipment import Equipment
from p2psip.calls.sides import Side

_REFUSALS = (405, 415, 501)


def with_events(answer: Audio, offer: Audio, callee: Side) -> Audio:
    """The answer of `callee` as the caller gets it: with the telephone events of their offer, where INFO can carry digits on."""
    if not wants_info(callee, answer):
        return answer
    spoken_first = Audio((*answer.formats, *offer.formats), offer.attributes)
    form = EventFormat.of(spoken_first)
    if form is None:
        return answer
    number = str(form.payload_type)
    if number in answer.formats:
        return answer
    of_events = tuple(
        (name, value)
        for name, value in offer.attributes
        if name in ("rtpmap", "fmtp") and (value or "").partition(" ")[0] == number
    )
    return replace(answer, formats=(*answer.formats, number), attributes=(*answer.attributes, *of_events))


def wants_info(side: Side, heard: Audio | None) -> bool:
    """Whether digits reach this phone by INFO only. Another node does what is needed for its own phones."""
    return (
        heard is not None
        and not heard.is_fax
        and side.end.kind != "node"
        and side.allows("INFO")
        and not any(
            name == "rtpmap" and value and "telephone-event" in value.lower() for name, value in heard.attributes
        )
    )


def event_types(said: Audio | None, heard: Audio | None) -> dict[int, int]:
    """Under which payload types a peer may send events: those that it was told, and its own that mean nothing else there."""
    taken = () if said is None else said.formats
    own = {number: rate for number, rate in event_formats(heard).items() if str(number) not in taken}
    return own | event_formats(said)


class Pressing:
    """Both directions of one talk. `review` after everything that may have changed what is agreed on, or the bridge."""

    def __init__(self, equipment: Equipment, caller: Side, callee: Side | None) -> None:
        self._equipment = equipment
        self._pairs = () if callee is None else ((caller, callee), (callee, caller))
        self._taps: dict[Side, _Tap] = {}
        self._nursery: trio.Nursery | None = None

    def begin(self, nursery: trio.Nursery) -> None:
        """Both sides talk from now on; tasks are started in `nursery` where they are needed."""
        self._nursery = nursery
        self.review()

    def review(self) -> None:
        """See to it that the events of each side are read if the other wants INFO, and else pass."""
        if self._nursery is None:
            return
        for side, other in self._pairs:
            tap = self._taps.get(side)
            if wants_info(other, other.end.heard):
                if tap is None:
                    tap = self._taps[side] = _Tap(self._equipment, side, other)
                    self._nursery.start_soon(tap.run)
                tap.divert()
            elif tap is not None:
                tap.release()


class _Tap:
    """Reads the events in the stream of `side`, and says them to `other`."""

    def __init__(self, equipment: Equipment, side: Side, other: Side) -> None:
        self._equipment = equipment
        self._side = side
        self._other = other
        self._reader = PressReader({})
        self._sink: Sink | None = None
        self._woken = trio.Event()
        self._is_refused = False

    def divert(self) -> None:
        """Stand between the stream and whoever hears it, if that is not so yet."""
        leg = self._side.end.leg
        if not isinstance(leg, TappedLeg) or self._is_refused:
            return
        self._reader.clock_rates = event_types(self._side.end.said, self._side.end.heard)
        if leg.sink is not None and leg.sink != self._take:
            self._sink = leg.sink
            leg.connect(self._take)

    def release(self) -> None:
        """Let the stream pass as it is."""
        leg = self._side.end.leg
        self._reader.clock_rates = {}
        if isinstance(leg, TappedLeg) and leg.sink == self._take:
            leg.connect(self._sink)

    async def run(self) -> None:
        """Say one press after the other until cancelled. A phone that knows no such INFO hears the stream as it is from then on."""
        while True:
            press = self._reader.poll_output()
            if press is not None:
                await self._say(Press.of(press.digit, press.seconds))
                continue
            deadline = self._reader.poll_timeout()
            self._woken = trio.Event()
            with trio.move_on_after(math.inf if deadline is None else max(deadline - self._now(), 0.0)):
                await self._woken.wait()
            self._reader.handle_timeout(self._now())

    def _take(self, packet: bytes) -> None:
        if self._reader.receive(packet, self._now()):
            self._woken.set()
        elif self._sink is not None:
            self._sink(packet)

    async def _say(self, press: Press) -> None:
        try:
            info = self._other.send("INFO", body=press.to_bytes(), content_type=RELAY_TYPE)
            response = await self._other.final_response(info)
        except RemoteError as error:
            self._other.note_heard(f"no answer to INFO: {error}")
            return
        if response.status in _REFUSALS:
            self._is_refused = True
            self.release()

    def _now(self) -> float:
        return self._equipment.clock.now()
