"""A phone: our own softphone on the LAN, that registers, calls, rings, answers, is busy, and knows whom it hears."""

from array import array
from collections import deque

import trio

from media.rtp import RtpPacket, is_rtp
from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.softphone.phone import CallReport, Credentials, Softphone
from p2psip.softphone.session import Line
from simulations.village.lan import Lan, listen
from simulations.village.machine import lan_sip

PACKET_SECONDS = 0.2
"""Between two packets of a phone: a tenth of what telephones send (20 ms), so that hundreds of calls can be afforded."""
PAYLOAD_BYTES = 160
PCMU = 0
VOICES_KEPT = 8
TICKS_PER_SECOND = 8_000


class LanLine:
    """RTP of one call on the LAN."""

    def __init__(self, lan: Lan, host: str) -> None:
        self._socket = lan.bind((host, 0))
        self.local: Address = self._socket.getsockname()
        self.remote: Address | None = None
        self.voice: Voice | None = None
        listen(self._socket, self._receive)

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the node wants its packets."""
        self.remote = rtp

    def set_keys(self, keys: SrtpKeys | None) -> None:
        """Phones of a village speak RTP."""

    def send(self, data: bytes) -> None:
        """Send one packet to the node."""
        if self.remote is not None:
            self._socket.sendto(data, self.remote)

    def close(self) -> None:
        """Free the address."""
        self._socket.close()

    def _receive(self, data: bytes, _source: Address) -> None:
        if self.voice is not None:
            self.voice.take(data)


class Voice:
    """Says who it is in every packet, and notes whom it hears. Times are steady seconds."""

    def __init__(self, line: LanLine, words: str, clock: Clock, chance: Chance) -> None:
        self._line, self._words, self._clock = line, words.encode(), clock
        self._ssrc = chance.integer(32)
        self.finished = trio.Event()
        self.spoken = 0
        self.heard: dict[str, int] = {}  # packets by the words in them
        self.first_heard: float | None = None
        self.last_heard: float | None = None
        self.longest_gap = 0.0
        line.voice = self

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            stamp = int(self.spoken * PACKET_SECONDS * TICKS_PER_SECOND) & 0xFFFF_FFFF
            payload = self._words.ljust(PAYLOAD_BYTES, b"\xff")[:PAYLOAD_BYTES]
            packet = RtpPacket(PCMU, self.spoken == 0, self.spoken & 0xFFFF, stamp, self._ssrc, payload)
            self.spoken += 1
            self._line.send(packet.to_bytes())
            await trio.sleep(PACKET_SECONDS)

    def take(self, data: bytes) -> None:
        """A packet from the node."""
        if not is_rtp(data):
            return
        words = RtpPacket.parse(data).payload.rstrip(b"\xff").decode("ascii", "replace")
        self.heard[words] = self.heard.get(words, 0) + 1
        now = self._clock.now()
        if self.first_heard is None:
            self.first_heard = now
        elif self.last_heard is not None:
            self.longest_gap = max(self.longest_gap, now - self.last_heard)
        self.last_heard = now

    def recording(self) -> "array[int]":
        """Nothing is recorded: `heard` tells."""
        return array("h")


class LanAudio:
    """Fulfils `p2psip.softphone.phone.Audio`; the voice of the call begun last is `voice`."""

    def __init__(self, lan: Lan, words: str, clock: Clock, chance: Chance) -> None:
        self._lan, self._words, self._clock, self._chance = lan, words, clock, chance
        self.voice: Voice | None = None

    def line(self, host: str) -> LanLine:
        """A fresh RTP line."""
        return LanLine(self._lan, host)

    def speech(self, line: Line, samples: "array[int]") -> Voice:
        """What speaks on it."""
        assert isinstance(line, LanLine)
        self.voice = Voice(line, self._words, self._clock, self._chance)
        return self.voice


class Phone(Softphone):
    """One phone. `ring_seconds` is how long it rings before it is answered; None: nobody is there."""

    def __init__(
        self,
        credentials: Credentials,
        lan: Lan,
        clock: Clock,
        chance: Chance,
        *,
        ring_seconds: float | None,
    ) -> None:
        self.host = lan.phone_host()
        self.sip = lan_sip(lan, clock, chance.child("sip"), user_agent="village-phone")
        self.audio = LanAudio(lan, credentials.address, clock, chance.child("voice"))
        super().__init__(credentials, self.sip, self.audio, chance.child("phone"))
        self.ring_seconds = ring_seconds
        self.is_busy = False
        self.answered: deque[tuple[CallReport, Voice | None]] = deque(maxlen=VOICES_KEPT)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ring and answer until cancelled; started once its socket is open."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.sip.run)
            await self.sip.listen_udp(self.host, 0)
            nursery.start_soon(self._serve, nursery)
            task_status.started()

    async def call_to(self, target: str, seconds: float) -> tuple[CallReport, Voice | None]:
        """Call, talk for so long, hang up; the report, and the voice if anybody answered."""
        self.is_busy, self.audio.voice = True, None
        try:
            report = await self.call(target, array("h"), seconds)
            return report, self.audio.voice
        finally:
            self.is_busy = False

    async def _serve(self, nursery: trio.Nursery) -> None:
        while True:
            exchange = await self.sip.incoming.receive()
            if exchange.request.method != "INVITE":
                exchange.respond(make_response(exchange.request, 200, to_tag=self._chance.token(4)))
            elif self.is_busy:
                exchange.respond(make_response(exchange.request, 486, to_tag=self._chance.token(4)))
            else:
                self.is_busy = True
                nursery.start_soon(self._take_call, exchange)

    async def _take_call(self, exchange: ServerExchange) -> None:
        self.audio.voice = None
        ring_seconds = float("inf") if self.ring_seconds is None else self.ring_seconds
        try:
            report = await self._answer_one(exchange, array("h"), ring_seconds)
            self.answered.append((report, self.audio.voice))
        except RemoteError:
            return  # the caller was gone before the ACK
        finally:
            self.is_busy = False
