"""Letting people hear why a call failed: who dials for help in vain may not be able to read a display.

A phone of this node gets 183 with a description (early media, RFC 3960 §3; reliable where it knows RFC 3262), hears the
announcement, and then the final response that it would have had at once. Nothing of this leaves the node.
"""

from array import array
from typing import Protocol, cast

import trio

from media.g711 import PCMA, PCMU
from media.player import PlayerLeg
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import MediaEnd
from p2psip.calls.ports import ClockPort
from p2psip.calls.services import answer_audio
from p2psip.calls.web_end import WebEnd
from p2psip.net.clock import Clock

ANNOUNCEMENTS_MAX = 16
"""At once, of one node; whoever comes beyond them is refused at once."""
ANNOUNCEMENT_SECONDS_MAX = 60.0
CONNECT_SECONDS_MAX = 5.0
"""A browser's media path must be there by then."""

_SPOKEN = (str(PCMU), str(PCMA))
_SENDS = ("sendrecv", "sendonly")


class Listener(Protocol):
    """Who dialled; `p2psip.calls.caller.CallerLeg` fulfils it."""

    def progress(self, status: int, reason: str, body: bytes = b"") -> None:
        """Send a provisional response."""

    def note_said(self, summary: str) -> None:
        """Put something that is said to the caller into the ladder."""


class Announcing:
    """The announcements of one node. `playing` is how many are heard now; `samples` are what is heard, None for nothing."""

    def __init__(self, samples: "array[int] | None", clock: ClockPort, chance: Chance) -> None:
        self._samples = samples
        self._clock = clock
        self._chance = chance
        self.playing = 0

    async def play(self, listener: Listener, end: MediaEnd, offer: Audio | None, told: Audio | None) -> None:
        """Play to who offered `offer` and knows of `told` already, if anything; returns when all was said, at once if it
        cannot be heard. The final response is left to who asks.
        """
        audio = _spoken(offer, told)
        if self._samples is None or audio is None or self.playing >= ANNOUNCEMENTS_MAX:
            return
        self.playing += 1
        try:
            with trio.move_on_after(ANNOUNCEMENT_SECONDS_MAX):
                await self._play(listener, end, audio, self._samples, is_told=told is not None)
        except (RemoteError, trio.TooSlowError):  # no path for media: the words on the display are left
            return
        finally:
            self.playing -= 1

    async def _play(
        self, listener: Listener, end: MediaEnd, audio: Audio, samples: "array[int]", *, is_told: bool
    ) -> None:
        listener.progress(183, "Session Progress", b"" if is_told else end.write(audio, is_offer=False))
        if isinstance(end, WebEnd):
            with trio.fail_after(CONNECT_SECONDS_MAX):
                await end.leg.wait_connected()
        listener.note_said("RTP: announcement")
        player = PlayerLeg(
            cast(Clock, self._clock), self._chance, samples, payload_type=int(audio.formats[0]), repeat=False
        )
        player.connect(end.leg.send)
        try:
            await player.run()
        finally:
            player.close()


def _spoken(offer: Audio | None, told: Audio | None) -> Audio | None:
    """How the announcement is spoken: within what was answered already, else by an answer of our own; None if it cannot be."""
    if told is not None:
        chosen = tuple(each for each in told.formats if each in _SPOKEN)
        return Audio(chosen, (), told.direction) if chosen and told.direction in _SENDS else None
    if offer is None:
        return None
    try:
        audio = answer_audio(offer)
    except RemoteError:
        return None
    return audio if audio.direction in _SENDS else None
