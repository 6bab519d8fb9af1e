"""A super-node that is stopped properly, or may relay no more this month: whoever uses it moves, and no call notices."""

import json
import time
from pathlib import Path

import pytest
import trio

from media.turn.month import month_of
from p2psip.app.control import ask
from p2psip.app.local_network import NodeProcess
from p2psip.app.volunteer import MONTH_FILE
from tests.nat.kinds import Kind
from tests.nat.lab import Lab, Plan
from tests.nat.talk import SAMPLES_PER_SECOND, SETTLE_SAMPLES, heard, recordings
from tests.nat.town import VOLUNTEER, Town, town
from tests.nat.watch import running_call

pytestmark = pytest.mark.nat

GAP_SECONDS_MAX = 1.0
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 6.0
MOVED_SECONDS_MAX = 45.0
MONTH_BYTES_MAX = 100_000_000
MONTH_BYTES_USED = 94_800_000  # a few seconds of a call below the share at which a relay drains


@pytest.mark.parametrize("callee", [Kind.SYMMETRIC, Kind.UDP_BLOCKED])
async def test_a_call_goes_on_without_a_gap_when_its_super_node_is_stopped(tmp_path: Path, callee: Kind) -> None:
    async with town(tmp_path, [Plan("alice", Kind.SYMMETRIC), Plan("bob", callee)]) as built:
        alice, bob = built["alice"], built["bob"]
        before = {house.name: recordings(house.phone) for house in (alice, bob)}
        async with running_call(alice, bob) as watch:
            await watch.wait_kind("relayed")
            await trio.sleep(BEFORE_SECONDS)
            relay = built.super_nodes_in(await watch.paths())[0]
            stopped = trio.current_time()
            assert await relay.stop() == 0
            await trio.sleep(AFTER_SECONDS)
            assert await watch.is_up()
            assert relay not in built.super_nodes_in(await watch.paths())
            assert watch.gap(stopped) < GAP_SECONDS_MAX, watch.gap(stopped)
            for house in (alice, bob):
                status = await house.ask("status")
                named = built.super_nodes_in(status["rendezvous"])
                assert named
                assert relay not in named
        for me, other in ((alice, bob), (bob, alice)):
            result = await heard(me, before[me.name], other.hertz)
            assert result.is_good
            assert (
                result.seconds > BEFORE_SECONDS + AFTER_SECONDS - GAP_SECONDS_MAX - SETTLE_SAMPLES / SAMPLES_PER_SECOND
            )


async def _draining(built: Town) -> list[NodeProcess]:
    """The super-nodes that take no new work; which one a call uses may change on a busy machine."""
    relays = list(built.super_nodes.values())
    return [relay for relay in relays if (await ask(relay.home, "status"))["volunteer"]["draining"]]


async def test_a_call_leaves_a_super_node_that_may_relay_hardly_more_this_month(tmp_path: Path) -> None:
    def nearly_used_up(_lab: Lab, name: str) -> str:
        (tmp_path / name).mkdir()
        used = {"month": month_of(time.time()), "bytes": MONTH_BYTES_USED}
        (tmp_path / name / MONTH_FILE).write_text(json.dumps(used))
        return f"{VOLUNTEER}gigabytes_per_month_max = {MONTH_BYTES_MAX / 1e9}\n"

    plans = [Plan("alice", Kind.SYMMETRIC), Plan("bob", Kind.SYMMETRIC)]
    async with town(tmp_path, plans, volunteer=nearly_used_up) as built, running_call(*built.houses.values()) as watch:
        await watch.wait_kind("relayed")
        began = trio.current_time()
        with trio.fail_after(MOVED_SECONDS_MAX):
            while True:
                await trio.sleep(0.5)
                in_use = built.super_nodes_in(await watch.paths())
                if any(relay not in in_use for relay in await _draining(built)):
                    break
        await trio.sleep(1.0)
        assert await watch.is_up()
        assert watch.gap(began) < GAP_SECONDS_MAX
