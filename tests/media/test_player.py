"""Echo, player and recorder: the beat, the order, the gaps, and their bounds."""

from array import array
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from media import g711, player
from media.legs import Bridge
from media.player import DROPOUT_PACKETS_MAX, PACKET_SECONDS, EchoLeg, PlayerLeg, Record
from media.rtp import RtpPacket
from media.tones import energy_share, tone
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from tests.media.plane import REPORT, TrioClock


def speaker(samples: "array[int]", *, payload_type: int = g711.PCMU, repeat: bool = False, seed: int = 1) -> PlayerLeg:
    """A player on trio's time."""
    return PlayerLeg(TrioClock(), Chance.seeded(seed), samples, payload_type=payload_type, repeat=repeat)


def packet(sequence: int, payload: bytes = b"\x00" * 160, *, ssrc: int = 7, payload_type: int = 0) -> RtpPacket:
    """A packet of one stream."""
    return RtpPacket(payload_type, False, sequence % 65_536, 0, ssrc, payload)


def kept(*packets: RtpPacket) -> list[bytes | None]:
    """What a record makes of packets."""
    record = Record()
    for each in packets:
        record.add(each)
    return list(record.payloads())


def test_an_echo_gives_back_speech_and_no_rtcp() -> None:
    echo = EchoLeg()
    heard: list[bytes] = []
    spoken = packet(1).to_bytes()
    echo.send(spoken)
    echo.connect(heard.append)
    for each in (spoken, REPORT):
        echo.send(each)
    echo.close()
    assert heard == [spoken]
    assert echo.statistics.sent == 1


async def test_a_player_keeps_a_steady_beat(autojump_clock: MockClock) -> None:
    leg = speaker(tone(440.0, 1.0))
    times: list[float] = []
    packets: list[RtpPacket] = []

    def note(data: bytes) -> None:
        times.append(trio.current_time())
        packets.append(RtpPacket.parse(data))

    leg.connect(note)
    await leg.run()
    assert leg.finished.is_set()
    assert times == pytest.approx([times[0] + number * PACKET_SECONDS for number in range(50)])
    assert [each.marker for each in packets] == [True] + [False] * 49
    first = packets[0]
    assert [each.sequence for each in packets] == [(first.sequence + n) % 65_536 for n in range(50)]
    assert [each.timestamp for each in packets] == [(first.timestamp + 160 * n) % 2**32 for n in range(50)]
    assert {each.ssrc for each in packets} == {first.ssrc}


async def test_after_a_long_sleep_a_player_does_not_hurry(autojump_clock: MockClock) -> None:
    class Slow(TrioClock):
        late = 0.0

        def now(self) -> float:
            return super().now() + self.late

    clock = Slow()
    leg = PlayerLeg(clock, Chance.seeded(1), tone(440.0, 2.0), payload_type=0, repeat=False)
    times: list[float] = []

    def note(_data: bytes) -> None:
        times.append(trio.current_time())
        clock.late = 60.0 if len(times) >= 10 else 0.0

    leg.connect(note)
    await leg.run()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 100
    assert sum(gap < PACKET_SECONDS / 2 for gap in gaps) == 1


@pytest.mark.parametrize("payload_type", [g711.PCMU, g711.PCMA])
async def test_what_one_player_speaks_another_records(autojump_clock: MockClock, payload_type: int) -> None:
    one = speaker(tone(440.0, 1.0), payload_type=payload_type)
    other = speaker(tone(1_000.0, 0.5), payload_type=payload_type, seed=2)
    bridge = Bridge(one, other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        nursery.start_soon(other.run)
    bridge.close()
    assert len(other.recording()) == 8_000
    assert energy_share(other.recording(), 440.0) > 0.99
    assert energy_share(one.recording(), 1_000.0) > 0.99
    assert other.statistics.received == one.statistics.sent == 50
    assert other.statistics.first_received is not None


async def test_a_repeating_player_speaks_until_it_is_stopped(autojump_clock: MockClock) -> None:
    leg = speaker(tone(440.0, 0.1), repeat=True)
    heard: list[bytes] = []
    leg.connect(heard.append)
    with trio.move_on_after(10 - PACKET_SECONDS / 2):
        await leg.run()
    assert len(heard) == 500
    leg.close()
    assert not leg.finished.is_set()


async def test_no_samples_are_one_packet_of_silence(autojump_clock: MockClock) -> None:
    leg = speaker(array("h"))
    heard: list[bytes] = []
    leg.connect(heard.append)
    await leg.run()
    assert [g711.decode(0, RtpPacket.parse(data).payload) for data in heard] == [array("h", bytes(320))]


def test_another_codec_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        PlayerLeg(TrioClock(), Chance.seeded(1), array("h"), payload_type=9, repeat=False)
    assert caught.value.status == 488


async def test_only_its_own_codec_is_recorded() -> None:
    leg = speaker(array("h"))
    for data in (packet(1, payload_type=8).to_bytes(), REPORT, b"", b"junk", packet(2, payload_type=101).to_bytes()):
        leg.send(data)
    assert leg.recording() == array("h")
    assert leg.statistics.received == 0


async def test_a_gap_is_silence_of_the_packets_own_length() -> None:
    leg = speaker(array("h"))
    for number in (1, 4):
        leg.send(packet(number, b"\x00" * 240).to_bytes())
    assert len(leg.recording()) == 4 * 240
    assert leg.recording()[240:720] == array("h", bytes(960))


def test_order_wrap_and_repetition() -> None:
    assert kept(*(packet(n, b"%d" % n) for n in (65_534, 65_535, 65_537, 65_536, 65_537, 65_538))) == [
        b"%d" % n for n in range(65_534, 65_539)
    ]
    assert kept(packet(5, b"5"), packet(8, b"8"), packet(4, b"4")) == [b"5", None, None, b"8"]
    assert kept() == []


@pytest.mark.parametrize("jump", [DROPOUT_PACKETS_MAX + 1, 32_768, -101])
def test_a_jump_or_another_stream_goes_on_at_the_end(jump: int) -> None:
    assert kept(packet(500, b"1"), packet(500 + jump, b"2")) == [b"1", b"2"]
    assert kept(packet(500, b"1"), packet(500 + jump, b"2", ssrc=8)) == [b"1", b"2"]
    assert len(kept(packet(500, b"1"), packet(500 + DROPOUT_PACKETS_MAX, b"2"))) == DROPOUT_PACKETS_MAX + 1


def test_a_recording_is_bounded_in_packets_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "RECORDED_PACKETS_MAX", 10)
    monkeypatch.setattr(player, "RECORDED_BYTES_MAX", 1_600)
    assert len(kept(*(packet(number) for number in range(11)))) == 10
    assert len(kept(*(packet(2_000 * number, b"") for number in range(11)))) <= 10
    assert len(kept(*(packet(number, bytes(800)) for number in range(3)))) == 2


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 2)), max_size=60))
def test_any_numbers_make_a_bounded_recording(numbers: list[tuple[int, int]]) -> None:
    found = kept(*(packet(number, b"x", ssrc=ssrc) for number, ssrc in numbers))
    assert len(found) <= len(numbers) * DROPOUT_PACKETS_MAX
    assert sum(payload is not None for payload in found) <= len(numbers)
