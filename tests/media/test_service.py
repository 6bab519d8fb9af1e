"""Whole calls: phone, node, node, phone on loopback, with real ICE and DTLS-SRTP; and what must not harm them."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from media import service
from media.dtmf import TelephoneEvent, digit_payloads
from media.g711 import PCMU, decode, encode
from media.ice.agent import DEADLINE_SECONDS
from media.ice.upkeep import CONSENT_EXPIRES_SECONDS, CONSENT_SECONDS
from media.legs import Bridge
from media.overlay_leg import SENT_STREAMS_MAX
from media.player import EchoLeg, PlayerLeg
from media.rtp import RtpPacket
from media.streams import ADDRESSES_MAX
from media.tones import energy_share, tone
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.net.port import open_udp
from tests.media.plane import LOCAL, REPORT, Call, Phone, TrioClock, open_nodes, settle

EVENTS = 101


def say_nothing(data: bytes, destination: Address) -> None:
    """In the place of a port's `send`: the node has vanished."""


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_two_way_audio_arrives_as_it_was_sent(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        await call.talk(100)
        alice, bob = call.phones
        assert bob.heard() == alice.sent
        assert alice.heard() == bob.sent
        assert [leg.statistics.refused for leg in call.legs] == [0] * 4
        assert one.media.statistics() == {"overlay_legs": 1, "phone_legs": 1, "addresses": 1, "refused": 0}
        call.close()
        assert one.media.statistics() == {"overlay_legs": 0, "phone_legs": 0, "addresses": 0, "refused": 0}


async def test_a_tone_is_heard_at_both_ends(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        speech = [encode(PCMU, tone(hertz, 1.0)) for hertz in (440.0, 1_000.0)]
        for number in range(50):
            for phone, payload in zip(call.phones, speech, strict=True):
                phone.speak(payload[160 * number : 160 * number + 160])
            await trio.sleep(0.02)
        await settle()
        for phone, hertz in zip(call.phones, (1_000.0, 440.0), strict=True):
            heard = b"".join(RtpPacket.parse(packet).payload for packet in phone.heard())
            assert len(heard) == 8_000
            assert energy_share(decode(PCMU, heard), hertz) > 0.95
        call.close()


@pytest.mark.parametrize("same_ssrc", [False, True])
async def test_twenty_calls_at_once_between_the_same_two_nodes(autojump_clock: MockClock, same_ssrc: bool) -> None:
    async with open_nodes() as (one, other):
        calls = [Call(one, other, 7 if same_ssrc else 7 + number) for number in range(20)]
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call.connect)
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call.talk, 20)
        for call in calls:
            alice, bob = call.phones
            assert bob.heard() == alice.sent
            assert alice.heard() == bob.sent
            call.close()


async def test_rtcp_passes_and_is_sealed_between_the_nodes(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        seen: list[bytes] = []
        send = one.port.send

        def watch(data: bytes, destination: Address) -> None:
            seen.append(data)
            send(data, destination)

        one.port.send = watch  # type: ignore[method-assign]
        call = await Call(one, other).connect()
        alice, bob = call.phones
        alice.report()
        alice.report(REPORT)
        bob.report(REPORT + b"\0\0\0\1")
        await settle()
        assert bob.reports() == [REPORT, REPORT]
        assert alice.reports() == [REPORT + b"\0\0\0\1"]
        assert bob.heard() == alice.heard() == []
        sealed = [data for data in seen if data[:2] == REPORT[:2]]
        assert len(sealed) == 2
        assert all(REPORT[8:] not in data and len(data) > len(REPORT) for data in sealed)
        call.close()


async def test_digits_pass_with_their_marker_and_three_ends(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        for number, event in enumerate(digit_payloads("#", 5)):
            call.phones[0].speak(event.to_bytes(), payload_type=EVENTS, marker=number == 0)
            await trio.sleep(0.02)
        await settle()
        heard = [RtpPacket.parse(packet) for packet in call.phones[1].heard()]
        events = [TelephoneEvent.parse(packet.payload) for packet in heard]
        assert [packet.marker for packet in heard] == [True] + [False] * 7
        assert [event.end for event in events] == [False] * 5 + [True] * 3
        assert {packet.payload_type for packet in heard} == {EVENTS}
        call.close()


async def test_garbage_at_every_port_harms_no_call(autojump_clock: MockClock) -> None:
    dice = Chance.seeded(5)
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        await call.talk(1)
        spoofed = other.port.send  # from the very address of the peer
        with open_udp((LOCAL, 0)) as stranger:
            for number in range(10_000):
                junk = dice.bytes(1 + number % 200)
                target = (one.port.local[0], call.legs[0].local, call.phones[0].remote)[number % 3]  # type: ignore[union-attr]
                stranger.sendto(junk, target)
                if number % 10 == 0:
                    spoofed(bytes([number // 10 % 256]) + junk, one.port.local[0])
                if number % 100 == 0:
                    await call.talk(1)
        await call.talk(50)
        alice, bob = call.phones
        assert bob.heard() == alice.sent
        assert alice.heard() == bob.sent
        assert one.port.counters.failed == 0
        assert one.port.counters.received > 3_000
        assert call.legs[0].statistics.refused > 3_000
        assert one.media.statistics()["refused"] > 500
        assert one.media.statistics()["addresses"] <= ADDRESSES_MAX
        assert one.media.statistics()["addresses"] == 1
        call.close()


async def test_what_is_no_rtp_does_not_latch(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        alice, bob = call.phones
        with open_udp((LOCAL, 0)) as stranger:
            for junk in (b"", b"x", b"\x00\x01" + bytes(18), b"\x80" * 11, REPORT):
                stranger.sendto(junk, alice.remote)
                stranger.sendto(junk[:7], (LOCAL, alice.remote[1] + 1))
        await settle()
        await call.talk(3)
        assert bob.heard() == alice.sent
        assert alice.heard() == bob.sent
        call.close()


async def test_a_second_source_is_refused_until_a_new_description(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        alice, bob = call.phones
        await call.talk(2)
        bob.heard()
        mover = Phone(ssrc=8)
        mover.remote = alice.remote
        mover.speak()
        await settle()
        assert bob.heard() == []
        mover.dial(call.legs[0])  # type: ignore[arg-type]
        mover.speak()
        bob.speak()
        await settle()
        assert bob.heard() == mover.sent[1:]
        assert mover.heard() == bob.sent[-1:]
        mover.hang_up()
        call.close()


async def test_hold_and_resume_keep_ports_and_keys(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        await call.talk(3)
        local = call.phones[0].remote
        for bridge in call.bridges:
            bridge.close()
        await call.talk(3)
        assert [len(phone.heard()) for phone in call.phones] == [3, 3]
        for phone, leg in zip(call.phones, call.legs[::2], strict=True):
            phone.dial(leg)  # type: ignore[arg-type]
        call.bridges = [Bridge(*call.legs[:2]), Bridge(*call.legs[2:])]
        await call.talk(3)
        assert [phone.heard() for phone in call.phones] == [phone.sent[-3:] for phone in reversed(call.phones)]
        assert call.phones[0].remote == local
        call.close()


async def test_a_stream_survives_the_wrap_of_its_sequence_numbers(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        for _ in range(700):
            for _ in range(100):
                call.phones[0].speak(b"")
            assert len(await call.phones[1].hear(100)) == 100
        call.close()


async def test_a_call_sends_a_bounded_number_of_streams(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        for ssrc in range(SENT_STREAMS_MAX + 1):
            call.phones[0].ssrc = ssrc
            call.phones[0].speak()
        await settle()
        assert len(call.phones[1].heard()) == SENT_STREAMS_MAX
        assert call.ways[0].statistics.refused == 1
        call.close()


async def test_a_peer_that_vanishes_is_noticed_and_said(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        await trio.sleep(1.0)  # until a way is nominated
        other.port.send = say_nothing  # type: ignore[method-assign]
        start = trio.current_time()
        assert await call.ways[0].wait_lost() == call.ways[0].closed_reason
        assert trio.current_time() - start >= CONSENT_EXPIRES_SECONDS - 1.2 * CONSENT_SECONDS
        assert trio.current_time() - start <= CONSENT_EXPIRES_SECONDS + CONSENT_SECONDS
        assert len(call.ways[0].closed_reason or "") > 10
        call.close()


async def test_a_peer_that_never_answers_is_given_up_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        offered, answered = one.media.overlay_leg(offerer=True), other.media.overlay_leg(offerer=False)
        other.port.send = say_nothing  # type: ignore[method-assign]
        offered.set_remote(answered.description)
        start = trio.current_time()
        with pytest.raises(RemoteError) as caught:
            await offered.wait_connected()
        assert caught.value.status == 500
        assert len(str(caught.value)) > 10
        assert trio.current_time() - start <= DEADLINE_SECONDS + 1
        offered.close()
        answered.close()


async def test_a_peer_with_bare_dtls_is_understood(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        ways = [one.media.overlay_leg(offerer=True), other.media.overlay_leg(offerer=False)]
        for way, peer in zip(ways, reversed(ways), strict=True):
            way.set_remote(replace(peer.description, wraps_dtls=False))
        for way in ways:
            await way.wait_connected()
            way.close()


async def test_a_phone_on_ipv6_is_heard(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        leg = one.media.phone_leg("::1")
        with open_udp(("::1", 0)) as phone:
            leg.set_remote(phone.getsockname()[:2], "::1")
            Bridge(leg, EchoLeg())
            packet = RtpPacket(0, False, 1, 160, 7, b"speech").to_bytes()
            phone.sendto(packet, leg.local)
            await settle()
            assert phone.recv(2_048) == packet
        leg.close()


async def test_a_second_call_starts_while_many_run(autojump_clock: MockClock) -> None:
    """Each new stream is found, though many calls have the same address."""
    async with open_nodes() as (one, other):
        calls = [await Call(one, other, 7 + number % 3).connect() for number in range(30)]
        for call in calls:
            await call.talk(2)
            assert call.phones[1].heard() == call.phones[0].sent
            assert call.phones[0].heard() == call.phones[1].sent
        for call in calls:
            call.close()


async def test_closing_says_that_the_call_is_over(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        call.close()
        assert await call.ways[0].wait_lost() == "the call is over"
        call.close()
        await call.ways[1].wait_lost()


async def test_ports_exhausted_is_one_sentence_and_they_come_back(autojump_clock: MockClock) -> None:
    async with open_nodes(1, pairs=3) as (one,):
        legs = [one.media.phone_leg() for _ in range(3)]
        with pytest.raises(RemoteError, match="no pair of RTP ports is free") as caught:
            one.media.phone_leg()
        assert caught.value.status == 503
        legs[1].close()
        legs.append(one.media.phone_leg())
        for leg in legs:
            leg.close()


async def test_legs_are_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LEGS_MAX", 2)
    async with open_nodes(1) as (one,):
        phones = [one.media.phone_leg() for _ in range(2)]
        ways = [one.media.overlay_leg(offerer=True) for _ in range(2)]
        for more in (one.media.phone_leg, lambda: one.media.overlay_leg(offerer=True)):
            with pytest.raises(RemoteError, match="as many calls as it can"):
                more()
        for phone in phones:
            phone.close()
        for way in ways:
            way.close()
        one.media.phone_leg().close()


async def test_two_hundred_calls_leave_nothing_open(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        before = open_files()
        for number in range(200):
            call = await Call(one, other).connect()
            if number % 20 == 0:
                await call.talk(1)
            call.close()
        assert open_files() == before
        assert one.media.statistics() | {"refused": 0} == dict.fromkeys(one.media.statistics(), 0)


async def test_a_leg_can_be_closed_after_the_service_has_ended(autojump_clock: MockClock) -> None:
    before = open_files()
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
    call.close()
    assert open_files() <= before


async def test_a_host_name_is_no_place_for_media(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        leg = one.media.phone_leg()
        for rtp, rtcp in ((("media.example", 4_000), None), ((LOCAL, 4_000), ("media.example", 4_001))):
            with pytest.raises(RemoteError, match="IP address") as caught:
                leg.set_remote(rtp, LOCAL, rtcp=rtcp)
            assert caught.value.status == 488
        leg.set_remote((LOCAL, 65_535), LOCAL)
        leg.send(RtpPacket(0, False, 1, 1, 1, b"").to_bytes())
        leg.close()


async def test_a_phone_hears_the_tone_of_a_service(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        phone, leg = Phone(), one.media.phone_leg()
        phone.dial(leg)
        player = PlayerLeg.of_tone(TrioClock(), Chance.seeded(1), payload_type=PCMU)
        Bridge(leg, player)
        with trio.move_on_after(1.01):
            await player.run()
        heard = b"".join(RtpPacket.parse(packet).payload for packet in phone.heard())
        assert energy_share(decode(PCMU, heard), 440.0) > 0.95
        leg.close()
        phone.hang_up()


def test_this_machine_counts_open_files() -> None:
    assert open_files() >= 3
    with socket.socket() as sock:
        assert str(sock.fileno()) in os.listdir("/proc/self/fd")
