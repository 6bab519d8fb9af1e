"""A super-node that is stopped properly, or may relay no more this month: whoever uses it moves, and no call notices."""

from pathlib import Path

import pytest
import trio

from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.talk import SAMPLES_PER_SECOND, SETTLE_SAMPLES, heard, recordings
from tests.nat.town import town
from tests.nat.watch import running_call

pytestmark = pytest.mark.nat

GAP_SECONDS_MAX = 1.0
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 6.0
MOVED_SECONDS_MAX = 5.0


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
