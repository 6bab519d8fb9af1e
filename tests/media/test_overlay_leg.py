"""What calls see of a path: facts, and ICE restarts that keep keys and lose no packet; on loopback and virtual time."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from media.ice.path import RETIRED_SECONDS
from media.service import RESTART_WAIT_SECONDS
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.grants import Grant
from tests.media.plane import LOCAL, Call, open_nodes

NOBODY: Address = (LOCAL, 9)
GRANT = Grant("1700000000:ab", "secret", "example.org", 1_700_000_000, ())


async def test_a_path_is_told_in_words(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        fresh = one.media.overlay_leg(offerer=True)
        assert fresh.path()["kind"] is None
        fresh.close()
        call = await Call(one, other).connect()
        facts = call.ways[0].path()
        assert facts["kind"] == "direct"
        assert (facts["local"], facts["remote"], facts["via"], facts["transport"]) == ("host", "host", [], "udp")
        assert facts["remote_address"] == f"{LOCAL}:{other.port.number}"
        assert facts["local_address"] == f"{LOCAL}:{one.port.number}"
        assert facts["rtt_ms"] >= 0
        call.close()


async def test_a_restart_keeps_keys_and_loses_no_packet(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        here, there = call.ways
        await call.talk(5)
        before = (here.description, there.description)
        offer = here.restart()
        assert offer is here.description
        assert offer.ufrag != before[0].ufrag
        assert offer.fingerprint == before[0].fingerprint
        await call.talk(5)
        there.set_remote(offer)
        assert there.description.ufrag != before[1].ufrag
        await call.talk(5)
        here.set_remote(there.description)
        await call.talk(20)
        for way in (here, there):
            assert way.transport.path.in_use is way.transport.path.newest
        await call.talk(round(RETIRED_SECONDS / 0.02) + 5)
        alice, bob = call.phones
        assert bob.heard() == alice.sent
        assert alice.heard() == bob.sent
        assert [len(way.transport.path.agents) for way in (here, there)] == [1, 1]
        assert [len(node.media._legs) for node in (one, other)] == [1, 1]
        call.close()
        assert [len(node.media._legs) for node in (one, other)] == [0, 0]
        assert [len(node.media._directory) for node in (one, other)] == [0, 0]


async def test_both_sides_may_restart_at_once(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        here, there = call.ways
        offers = here.restart(), there.restart()
        there.set_remote(offers[0])
        assert there.description is offers[1]
        here.set_remote(offers[1])
        await call.talk(50)
        assert all(way.transport.path.in_use is way.transport.path.newest for way in (here, there))
        assert call.phones[1].heard() == call.phones[0].sent
        call.close()


async def test_the_same_description_again_restarts_nothing(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        here, there = call.ways
        before = there.description
        there.set_remote(here.description)
        assert there.description is before
        old = here.description
        here.restart()
        there.set_remote(here.description)
        after = there.description
        there.set_remote(old)  # a late one, of the time before
        assert there.description is after
        call.close()


async def test_another_certificate_in_the_middle_of_a_call_is_refused(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        here, there = call.ways
        forged = replace(here.restart(), fingerprint="sha-256 " + ":".join(["AB"] * 32))
        with pytest.raises(RemoteError) as caught:
            there.set_remote(forged)
        assert caught.value.status == 488
        await call.talk(5)
        assert call.phones[1].heard() == call.phones[0].sent
        call.close()


async def test_a_change_of_the_network_wants_a_restart_once(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        here, there = call.ways
        assert not here.needs_restart
        one.media.network_changed()
        with trio.fail_after(RESTART_WAIT_SECONDS + 0.1):
            assert await here.wait_restart_wanted() == "our addresses have changed"
        assert here.needs_restart
        assert not there.needs_restart
        here.restart()
        assert not here.needs_restart
        call.close()


async def test_a_dead_path_wants_a_restart_within_two_seconds(autojump_clock: MockClock) -> None:
    async with open_nodes() as (one, other):
        call = await Call(one, other).connect()
        await call.talk(50)
        other.port.send = lambda _data, _to: None  # type: ignore[method-assign]
        with trio.fail_after(2.0):
            reason = await call.ways[0].wait_restart_wanted()
        assert "no way" in reason
        call.close()


async def test_candidates_are_those_of_now(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        one.media.set_reflexive([("198.51.100.7", 40_000), (LOCAL, one.port.number), ("2001:db8::7", 40_000)])
        leg = one.media.overlay_leg(offerer=True)
        kinds = [line.split()[7] for line in leg.description.candidates]
        assert kinds == ["host", "srflx"]
        one.media.set_reflexive([])
        assert [line.split()[7] for line in leg.restart().candidates] == ["host"]
        leg.close()


async def test_a_relay_that_never_answers_is_said_and_asked_again(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        told: list[tuple[int, str]] = []
        one.media.on_relay(lambda number, state: told.append((number, state)))
        number = one.media.add_relay(NOBODY, GRANT, name="nobody")
        assert one.media.relays()[0]["state"] == "allocating"
        await trio.sleep(5.0)
        assert told == [(number, "lost")]
        assert one.media.relays()[0]["reason"] == "the relay does not answer"
        await trio.sleep(60.0)
        assert 2 <= len(told) < 10
        one.media.remove_relay(number)
        assert one.media.relays() == []


async def test_channel_data_that_is_not_ours_goes_to_the_hook(autojump_clock: MockClock) -> None:
    async with open_nodes(1) as (one,):
        seen: list[bytes] = []
        one.media.on_channel_data = lambda data, _source: seen.append(data)
        one.media._receive_channel_data(b"\x40\x00\x00\x01x", ("192.0.2.1", 1))
        assert seen == [b"\x40\x00\x00\x01x"]
