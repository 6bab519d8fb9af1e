"""Relays, rendezvous and addresses that go away under a call: audio is back within two seconds, calls come as quickly as ever."""

from pathlib import Path
from statistics import median

import pytest
import trio

from p2psip.app.local_network import NodeProcess
from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.talk import heard, recordings, talk
from tests.nat.town import House, Town, town
from tests.nat.watch import CallWatch, running_call

pytestmark = pytest.mark.nat

AUDIO_BACK_SECONDS_MAX = 2.0
LATER_SECONDS_MAX = 1.0
BEFORE_SECONDS = 3.0
AFTER_SECONDS = 6.0
USUAL_CALLS = 3


async def rendezvous_of(built: Town, house: House) -> list[NodeProcess]:
    """The super-nodes that a client is attached to, as its status names them."""
    named = built.super_nodes_in((await house.ask("status"))["rendezvous"])
    assert named
    return named


async def listen_and_check(watch: CallWatch, since: float) -> None:
    await trio.sleep(AFTER_SECONDS)
    assert await watch.is_up()
    assert watch.gap(since) < AUDIO_BACK_SECONDS_MAX


async def check_recordings(alice: House, bob: House, before: dict[str, set[Path]], seconds: float) -> None:
    """Each heard the other, and no more than the allowed silence is missing in the recording."""
    for me, other in ((alice, bob), (bob, alice)):
        result = await heard(me, before[me.name], other.hertz)
        assert result.is_good
        assert result.seconds > seconds - AUDIO_BACK_SECONDS_MAX


@pytest.mark.parametrize("callee", [Kind.SYMMETRIC, Kind.UDP_BLOCKED])
async def test_audio_is_back_soon_after_the_relay_was_killed(tmp_path: Path, callee: Kind) -> None:
    async with town(tmp_path, [Plan("alice", Kind.SYMMETRIC), Plan("bob", callee)]) as built:
        alice, bob = built["alice"], built["bob"]
        before = {house.name: recordings(house.phone) for house in (alice, bob)}
        async with running_call(alice, bob) as watch:
            await watch.wait_kind("relayed")
            await trio.sleep(BEFORE_SECONDS)
            relay = built.super_nodes_in(await watch.paths())[0]
            killed = trio.current_time()
            await relay.kill()
            await listen_and_check(watch, killed)
            assert relay not in built.super_nodes_in(await watch.paths())
        await check_recordings(alice, bob, before, BEFORE_SECONDS + AFTER_SECONDS)


@pytest.mark.parametrize(
    ("mover", "other"),
    [(Kind.PUBLIC, Kind.PUBLIC), (Kind.PORT_RESTRICTED, Kind.FULL_CONE), (Kind.SYMMETRIC, Kind.SYMMETRIC)],
)
async def test_audio_is_back_soon_after_one_side_has_another_address(tmp_path: Path, mover: Kind, other: Kind) -> None:
    async with town(tmp_path, [Plan("alice", mover), Plan("bob", other)]) as built:
        alice, bob = built["alice"], built["bob"]
        before = {house.name: recordings(house.phone) for house in (alice, bob)}
        async with running_call(alice, bob) as watch:
            await trio.sleep(BEFORE_SECONDS)
            moved = trio.current_time()
            alice.site.move()
            await listen_and_check(watch, moved)
        await check_recordings(alice, bob, before, BEFORE_SECONDS + AFTER_SECONDS)


async def test_a_call_comes_as_quickly_when_a_rendezvous_is_dead(tmp_path: Path) -> None:
    async with town(tmp_path, [Plan("alice", Kind.PUBLIC), Plan("bob", Kind.SYMMETRIC)]) as built:
        alice, bob = built["alice"], built["bob"]
        usual = []
        for _ in range(USUAL_CALLS):
            result = await talk(alice, bob, seconds=1.5)
            assert result.established_ms is not None
            usual.append(result.established_ms)
        for rendezvous in (await rendezvous_of(built, bob))[:2]:
            await rendezvous.kill()
            result = await talk(alice, bob, seconds=1.5)
            assert not result.troubles()
            assert result.established_ms is not None
            assert result.established_ms < median(usual) + 1000 * LATER_SECONDS_MAX
