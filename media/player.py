"""Legs that are no phone: echo, tone, and a player that also records. G.711 at 20 ms a packet (RFC 3551)."""

import math
from array import array
from collections.abc import Iterator

import trio

from media import g711
from media.legs import LegStatistics, Sink
from media.rtp import RtpPacket, is_rtcp
from media.tones import tone
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock

PACKET_SECONDS = 0.02
PACKET_SAMPLES = 160
RECORDED_PACKETS_MAX = 180_000
RECORDED_BYTES_MAX = RECORDED_PACKETS_MAX * PACKET_SAMPLES
DROPOUT_PACKETS_MAX = 3_000  # RFC 3550 §A.1
MISORDER_PACKETS_MAX = 100
LATE_SECONDS_MAX = 0.2
TONE_HERTZ = 440.0


class EchoLeg:
    """Sends every packet back to where it came from."""

    def __init__(self) -> None:
        self.statistics = LegStatistics()
        self._sink: Sink | None = None

    def connect(self, sink: Sink | None) -> None:
        """Hand echoed packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Echo one packet; RTCP is not echoed."""
        if self._sink is not None and not is_rtcp(packet):
            self.statistics.sent += 1
            self._sink(packet)

    def close(self) -> None:
        """Nothing is held."""


class PlayerLeg:
    """Speaks samples and keeps what it hears. `run` is the task that paces; `payload_type` is 0 (PCMU) or 8 (PCMA)."""

    def __init__(self, clock: Clock, chance: Chance, samples: "array[int]", *, payload_type: int, repeat: bool) -> None:
        if payload_type not in (g711.PCMU, g711.PCMA):
            raise RemoteError("this side speaks G.711 only", status=488)
        self.statistics = LegStatistics()
        self.finished = trio.Event()
        self._clock = clock
        self._payload_type = payload_type
        self._payloads = _payloads(samples, payload_type)
        self._repeat = repeat
        self._sink: Sink | None = None
        self._ssrc = chance.integer(32)
        self._sequence = chance.integer(16)
        self._timestamp = chance.integer(32)
        self._record = Record()

    @classmethod
    def of_tone(cls, clock: Clock, chance: Chance, *, payload_type: int, hertz: float = TONE_HERTZ) -> "PlayerLeg":
        """Speaks one tone for ever."""
        return cls(clock, chance, tone(hertz, 1.0), payload_type=payload_type, repeat=True)

    def connect(self, sink: Sink | None) -> None:
        """Hand spoken packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Hear one packet."""
        try:
            heard = RtpPacket.parse(packet)
        except RemoteError:
            return
        if is_rtcp(packet) or heard.payload_type != self._payload_type:
            return
        self.statistics.received += 1
        if self.statistics.first_received is None:
            self.statistics.first_received = self._clock.now()
        self._record.add(heard)

    def recording(self) -> "array[int]":
        """All that was heard, in order; packets that are missing are silence."""
        samples = array("h")
        length = PACKET_SAMPLES
        for payload in self._record.payloads():
            length = length if payload is None else len(payload)
            spoken = array("h", bytes(2 * length)) if payload is None else g711.decode(self._payload_type, payload)
            samples.extend(spoken)
        return samples

    async def run(self) -> None:
        """Speak packet after packet on a steady beat until the samples end (or for ever)."""
        start, number = self._clock.now(), 0
        while self._repeat or number < len(self._payloads):
            delay = start + number * PACKET_SECONDS - self._clock.now()
            if delay < -LATE_SECONDS_MAX:  # the machine slept: nobody wants to hear that now, all at once
                start -= delay
            if delay > 0:
                await trio.sleep(delay)
            else:
                await trio.lowlevel.checkpoint()
            self._speak(self._payloads[number % len(self._payloads)], first=number == 0)
            number += 1
        self.finished.set()

    def close(self) -> None:
        """Stop handing packets on."""
        self._sink = None

    def _speak(self, payload: bytes, *, first: bool) -> None:
        packet = RtpPacket(self._payload_type, first, self._sequence, self._timestamp, self._ssrc, payload)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + PACKET_SAMPLES) & 0xFFFFFFFF
        if self._sink is not None:
            self.statistics.sent += 1
            self._sink(packet.to_bytes())


class Record:
    """Payloads in the order of their sequence numbers. A new SSRC, or a jump, goes on where the last one ended."""

    def __init__(self) -> None:
        self._heard: dict[int, bytes] = {}
        self._bytes = 0
        self._ssrc: int | None = None
        self._sequence, self._place = 0, -1  # of the newest packet

    def add(self, packet: RtpPacket) -> None:
        """Keep a packet; ignored when it is a repeated one, or RECORDED_PACKETS_MAX or RECORDED_BYTES_MAX are reached."""
        delta = (packet.sequence - self._sequence + 32_768) % 65_536 - 32_768
        if packet.ssrc != self._ssrc or not -MISORDER_PACKETS_MAX <= delta <= DROPOUT_PACKETS_MAX:
            delta = 1
            self._ssrc = packet.ssrc
        elif delta <= 0 and self._place + delta < 0:
            return
        place = self._place + delta
        if delta > 0:
            self._place, self._sequence = place, packet.sequence
        if place < RECORDED_PACKETS_MAX and self._bytes + len(packet.payload) <= RECORDED_BYTES_MAX:
            self._bytes += len(packet.payload) if place not in self._heard else 0
            self._heard.setdefault(place, packet.payload)

    def payloads(self) -> Iterator[bytes | None]:
        """From the first packet to the last; None stands for each one that is missing."""
        return (self._heard.get(place) for place in range(max(self._heard, default=-1) + 1))


def _payloads(samples: "array[int]", payload_type: int) -> list[bytes]:
    count = max(math.ceil(len(samples) / PACKET_SAMPLES), 1)
    padded = samples + array("h", bytes(2 * (count * PACKET_SAMPLES - len(samples))))
    wire = g711.encode(payload_type, padded)
    return [wire[start : start + PACKET_SAMPLES] for start in range(0, len(wire), PACKET_SAMPLES)]
