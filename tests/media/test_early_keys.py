"""The first flights of DTLS inside descriptions: how soon packets pass, what loss and disorder do, and what is refused."""

from dataclasses import replace

import pytest

from media import stun
from media.ice.agent import DEADLINE_SECONDS
from media.ice.candidates import local_candidate
from media.secure import EARLY_PACKETS_MAX, EARLY_WAYS_MAX, MediaReceived, SecureTransport
from p2psip.base.core import Address
from tests.media.test_secure import EVE, A, B, Call, reasons, rtp
from tests.media.world import Host

ONE_WAY = 0.04


def slow_call(seed: int = 1, *, loss: float = 0.0) -> Call:
    """Two transports a fixed time apart."""
    call = Call(seed, loss=loss)
    call.world.latency = (ONE_WAY, ONE_WAY)
    return call


def heard(host: Host) -> list[bytes]:
    """What was given out of packets that waited for keys."""
    return [event.data for _, event in host.events if isinstance(event, MediaReceived)]


def answer(call: Call) -> None:
    """The answerer learns the offer, and the offerer the answer one way later."""
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.world.run(ONE_WAY)
    call.offerer.set_remote(call.answerer.description, call.world.now)


def arrivals(call: Call) -> dict[str, list[tuple[float, bytes]]]:
    """When packets of audio arrive at each side, decrypted, from now on."""
    found: dict[str, list[tuple[float, bytes]]] = {"offerer": [], "answerer": []}
    for name, transport in (("offerer", call.offerer), ("answerer", call.answerer)):
        original = transport.receive

        def receive(
            data: bytes,
            source: Address,
            now: float,
            name: str = name,
            transport: SecureTransport = transport,
            original: object = original,
        ) -> None:
            if data[0] >= 128:
                packet = transport.unprotect(data, source)
                if packet is not None:
                    found[name].append((now, packet))
            else:
                original(data, source, now)  # type: ignore[operator]

        transport.receive = receive  # type: ignore[method-assign]
    return found


def test_the_first_packets_pass_both_ways_one_round_trip_after_the_answer() -> None:
    call = slow_call()
    found = arrivals(call)
    assert call.answerer.protect(rtp(2)) is None
    answer(call)
    begun = call.world.now
    wire = call.offerer.protect(rtp(1))
    assert wire is not None
    assert B in call.offerer.ways
    call.world.drain()
    call.world.inject(call.b, wire, A, ONE_WAY)
    call.world.run(1.0)
    (at, packet), (back_at, back) = found["answerer"][0], found["offerer"][0]
    assert (packet, back) == (rtp(1), rtp(2))
    assert at - begun == pytest.approx(ONE_WAY)
    assert back_at - begun == pytest.approx(2 * ONE_WAY)


def test_what_is_said_before_the_answer_leaves_with_it() -> None:
    call = slow_call()
    found = arrivals(call)
    assert call.offerer.protect(rtp(1)) is None
    answer(call)
    begun = call.world.now
    call.world.run(1.0)
    assert [packet for _, packet in found["answerer"]] == [rtp(1)]
    assert found["answerer"][0][0] - begun == pytest.approx(ONE_WAY)


def test_before_a_check_is_answered_a_bounded_number_of_packets_leaves_on_a_bounded_number_of_ways() -> None:
    call = slow_call()
    far: list[Address] = [("198.51.100.7", 5000 + number) for number in range(EARLY_WAYS_MAX + 1)]
    lines = tuple(local_candidate("host", each, each, 65_535 - n).to_sdp() for n, each in enumerate(far))
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, candidates=lines), call.world.now)
    wrapped: set[Address] = set()

    def watch(_host: Host, data: bytes, destination: Address) -> None:
        if stun.is_indication(data):
            wrapped.add(destination)

    call.world.tap = watch
    call.world.run(0.5)
    sent = [call.offerer.protect(rtp(number)) for number in range(EARLY_PACKETS_MAX + 1)]
    assert [wire is not None for wire in sent] == [True] * EARLY_PACKETS_MAX + [False]
    assert len(call.offerer.ways) == len(wrapped) == EARLY_WAYS_MAX


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(10))
def test_loss_and_disorder_delay_but_do_not_prevent(seed: int, loss: float) -> None:
    call = Call(seed, loss=loss)
    answer(call)
    call.world.run(DEADLINE_SECONDS, until=call.connected)
    assert call.connected(), (call.a.events, call.b.events)
    wire = call.answerer.protect(rtp(1))
    assert wire is not None
    assert call.offerer.unprotect(wire, B) == rtp(1)


def test_every_datagram_twice_and_late_does_no_harm() -> None:
    call = slow_call()

    def twice(host: Host, data: bytes, _destination: Address) -> bytes:
        for delay in (0.06, 0.4, 3.0):
            call.world.inject(call.b if host is call.a else call.a, data, A if host is call.a else B, delay)
        return data

    call.world.tap = twice
    answer(call)
    call.world.run(8.0)
    assert call.connected()
    assert not reasons(call.a)
    assert not reasons(call.b)
    assert call.world.sent <= 400


def test_no_timer_repeats_a_flight_that_waits_for_signalling() -> None:
    call = slow_call()
    assert call.offerer.poll_timeout() is None
    call.world.run(30.0)
    assert call.world.sent == 0
    call.answerer.set_remote(call.offerer.description, call.world.now)
    wrapped: list[bytes] = []

    def watch(_host: Host, data: bytes, _destination: Address) -> None:
        wrapped.extend([data] if stun.is_indication(data) else [])

    call.world.tap = watch
    call.world.run(5.0)
    assert not wrapped
    call.world.tap = lambda _host, data, _destination: data
    call.offerer.set_remote(call.answerer.description, call.world.now)
    call.world.run(2.0)
    assert call.connected()


def test_an_answer_without_a_flight_gets_the_hello_on_the_path() -> None:
    call = slow_call()
    call.answerer.set_remote(replace(call.offerer.description, dtls=b""), call.world.now)
    assert call.answerer.description.setup == "active"
    assert not call.answerer.description.dtls
    call.offerer.set_remote(call.answerer.description, call.world.now)
    call.world.run(2.0)
    assert call.connected()


def test_a_flight_that_is_lost_from_the_answer_is_repeated_on_the_path() -> None:
    call = slow_call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, dtls=b""), call.world.now)
    call.world.run(2.0)
    assert call.connected()


@pytest.mark.parametrize("hello", [b"\x00", b"garbage", bytes(4_096), b"\x16\xfe\xfd" + bytes(300)])
def test_a_hello_that_is_none_costs_time_only(hello: bytes) -> None:
    call = slow_call()
    call.answerer.set_remote(replace(call.offerer.description, dtls=hello), call.world.now)
    assert (call.answerer.description.setup, call.answerer.description.dtls) == ("active", b"")
    call.offerer.set_remote(call.answerer.description, call.world.now)
    call.world.run(2.0)
    assert call.connected()


@pytest.mark.parametrize("flight", [b"\x00", b"garbage", bytes(4_096), b"\x16\xfe\xfd" + bytes(300)])
def test_a_flight_that_is_none_costs_time_only(flight: bytes) -> None:
    call = slow_call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, dtls=flight), call.world.now)
    call.world.run(3.0)
    assert call.connected()


def test_a_peer_that_does_not_wrap_has_its_flights_ignored() -> None:
    call = slow_call()
    call.answerer.set_remote(replace(call.offerer.description, wraps_dtls=False), call.world.now)
    assert call.answerer.description.setup == "active"
    assert not call.answerer.description.dtls


@pytest.mark.parametrize("is_at_offerer", [True, False])
def test_a_flight_of_another_certificate_gives_no_keys(is_at_offerer: bool) -> None:
    call = slow_call()
    if is_at_offerer:
        call.answerer.set_remote(call.offerer.description, call.world.now)
        call.offerer.set_remote(replace(call.answerer.description, fingerprint=EVE.fingerprint), call.world.now)
    else:
        call.answerer.set_remote(replace(call.offerer.description, fingerprint=EVE.fingerprint), call.world.now)
        call.offerer.set_remote(call.answerer.description, call.world.now)
    call.world.run(2.0)
    deceived = call.a if is_at_offerer else call.b
    assert reasons(deceived) == ["the other side's DTLS certificate is not the one that its signalling named"]
    assert not (call.offerer if is_at_offerer else call.answerer).ready


def test_two_branches_of_a_fork_have_keys_of_their_own() -> None:
    one, other = slow_call(1), slow_call(2)
    assert one.offerer.description.dtls != other.offerer.description.dtls
    one.answerer.set_remote(one.offerer.description, one.world.now)
    other.answerer.set_remote(other.offerer.description, other.world.now)
    other.offerer.set_remote(other.answerer.description, other.world.now)
    other.world.run(1.0)
    assert other.connected()
    assert not one.connected()


def test_a_restart_carries_no_flight_and_keeps_the_keys() -> None:
    call = slow_call()
    answer(call)
    call.world.run(1.0)
    restarted = call.offerer.restart()
    assert not restarted.dtls
    assert call.answerer.set_remote(restarted, call.world.now)
    assert not call.answerer.description.dtls
    call.offerer.set_remote(call.answerer.description, call.world.now)
    call.world.run(1.0)
    wire = call.offerer.protect(rtp(5))
    assert wire is not None
    assert call.answerer.unprotect(wire, A) == rtp(5)


def test_a_flight_fits_a_description() -> None:
    call = slow_call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    assert len(call.offerer.description.dtls) <= 300
    assert len(call.answerer.description.dtls) <= 1_000
