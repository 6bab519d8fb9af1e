"""Local services that answer by themselves: `echo` sends everything back, `tone` plays a tone. G.711, to test with."""

from typing import cast

import trio

from media.g711 import PCMA, PCMU
from media.legs import Leg
from media.player import EchoLeg, PlayerLeg
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import REVERSED, Audio
from p2psip.calls.ports import ClockPort
from p2psip.net.clock import Clock

OFFER = Audio((str(PCMU),), (("rtpmap", f"{PCMU} PCMU/8000"), ("ptime", "20")))

_CODECS = {str(PCMU): ("rtpmap", "0 PCMU/8000"), str(PCMA): ("rtpmap", "8 PCMA/8000")}


def answer_audio(offer: Audio) -> Audio:
    """The answer of a service to `offer`: its first G.711 codec; RemoteError(488) when it has none."""
    chosen = next((each for each in offer.formats if each in _CODECS), None)
    if chosen is None:
        raise RemoteError("this service speaks G.711 (PCMU or PCMA) only", status=488)
    return Audio((chosen,), (_CODECS[chosen], ("ptime", "20")), REVERSED[offer.direction])


def open_service(kind: str, audio: Audio, clock: ClockPort, chance: Chance, nursery: trio.Nursery) -> Leg:
    """The media leg of a service that speaks the codec of `audio`."""
    if kind == "echo":
        return EchoLeg()
    player = PlayerLeg.of_tone(cast(Clock, clock), chance, payload_type=int(audio.formats[0]))
    nursery.start_soon(player.run)
    return player
