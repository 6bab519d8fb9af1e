"""Our softphone with everything it stands on: its own SIP sockets and RTP, as a phone on another machine would have."""

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from media.g711 import PCMU
from media.legs import Bridge
from media.phone_leg import PhoneLeg
from media.player import PlayerLeg
from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.sip.service import SipService
from p2psip.softphone.phone import Credentials, Softphone
from p2psip.softphone.session import Line

RTP_PORTS = (40_000, 60_000)


class HandsetAudio:
    """Fulfils `p2psip.softphone.phone.Audio` with the media service."""

    def __init__(self, media: MediaService, clock: Clock, chance: Chance) -> None:
        self._media = media
        self._clock = clock
        self._chance = chance

    def line(self, host: str) -> PhoneLeg:
        """RTP sockets on `host`."""
        return self._media.phone_leg(host)

    def speech(self, line: Line, samples: "array[int]") -> PlayerLeg:
        """Speaks and records PCMU on a line of ours."""
        assert isinstance(line, PhoneLeg)
        speech = PlayerLeg(self._clock, self._chance, samples, payload_type=PCMU, repeat=False)
        Bridge(line, speech)
        return speech


@asynccontextmanager
async def open_handset(credentials: Credentials, *, host: str = "127.0.0.1") -> AsyncIterator[Softphone]:
    """A softphone on `host` that is ready to register and to call."""
    clock, chance = Clock(), Chance.system()
    port = NodePort.bind([host], 0)
    sip = SipService(clock.now, chance, user_agent="p2psip-softphone")
    media = MediaService(port=port, clock=clock, chance=chance, phone_host=host, rtp_ports=RTP_PORTS)
    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        await nursery.start(media.run)
        await nursery.start(sip.run)
        await sip.listen_udp(host, 0)
        audio = HandsetAudio(media, clock, chance)
        yield Softphone(credentials, sip, audio, chance)
        nursery.cancel_scope.cancel()
