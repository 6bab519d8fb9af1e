"""The minutes that a member may call over somebody's trunk: never more, however many calls share them."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2psip.naming.routing import Route, Step
from p2psip.trunks.caps import DAY_SECONDS, TAKEN_SECONDS_MAX
from p2psip.trunks.placed import PlacedCall
from p2psip.trunks.trunk import Offer
from tests.calls.world import Phone, TrioClock
from tests.trunks.provider import Country, Plan, country, over, static
from tests.trunks.values import NUMBER

GERMANY = "sip:+4989@home.example"
ALICE = "alice@home.example"
SETTLE_SECONDS = 0.5


class ClockBeforeMidnight(TrioClock):
    """Midnight (UTC) is so many seconds after now."""

    def __init__(self, seconds: float) -> None:
        self._shift = DAY_SECONDS - super().unix() % DAY_SECONDS - seconds

    def unix(self) -> float:
        return super().unix() + self._shift


async def lent(c: Country, minutes: int, calls_max: int = 3) -> tuple[Phone, Any]:
    """bob lends alice his trunk for so many minutes a day: her phone, and what bob has of the outside."""
    provider = await c.provider()
    provider.asks = False
    a, b = await c.world.node("alice", "1001"), await c.world.node("bob", "1002")
    alice = await c.world.phone(a, "alice", 6000)
    await c.world.phone(b, "bob", 6100)
    via = Step("trunk", "bob", "", (Route("trunk", GERMANY, via="bob@home.example"),))
    await c.connect(a, Plan({"+4989": [via]}))
    offer = Offer(frozenset({ALICE}), calls_max, 20, minutes)
    outside = await c.connect(b, Plan({"+4989": over("static")}), static(offer=offer, caller_id=NUMBER))
    return alice, outside


async def talk(alice: Phone, start: float, talked: list[float]) -> None:
    """One call that alice begins after `start` seconds and never ends herself."""
    await trio.sleep(start)
    there = await (await alice.call(GERMANY)).established()
    began = trio.current_time()
    await there.expect("BYE")
    talked.append(trio.current_time() - began)


@pytest.mark.parametrize("starts", [(0.0, 0.0, 0.0), (0.0, 13.0, 21.0), (0.0, 49.0), (7.0,)])
async def test_calls_at_once_share_the_minutes_and_never_pass_them(
    autojump_clock: MockClock, starts: tuple[float, ...]
) -> None:
    async with country() as c:
        alice, outside = await lent(c, 1)
        talked: list[float] = []
        async with trio.open_nursery() as nursery:
            for start in starts:
                nursery.start_soon(talk, alice, start, talked)
        assert len(talked) == len(starts)
        assert 60.0 - SETTLE_SECONDS < sum(talked) < 60.0 + SETTLE_SECONDS
        await trio.sleep(1.0)
        assert outside.status()[0]["offered_to"][0]["minutes_left"] == 0
        assert "1 minutes of today" in (await (await alice.call(GERMANY)).response(503)).warning


async def test_what_was_not_talked_is_there_for_other_calls(autojump_clock: MockClock) -> None:
    async with country() as c:
        alice, _ = await lent(c, 1)
        for _ in range(8):  # of ten seconds taken each talks but three
            there = await (await alice.call(GERMANY)).established()
            await trio.sleep(3.0)
            assert (await there.ask("BYE")).status == 200
            await trio.sleep(5.0)
        talked: list[float] = []
        await talk(alice, 0.0, talked)
        assert 36.0 - 8 * SETTLE_SECONDS < talked[0] < 36.0 + SETTLE_SECONDS


async def test_a_call_through_midnight_is_of_both_days(autojump_clock: MockClock) -> None:
    async with country() as c:
        alice, outside = await lent(c, 1)
        outside.lines["static"].clock = ClockBeforeMidnight(30.0)
        talked: list[float] = []
        await talk(alice, 0.0, talked)
        assert 90.0 - SETTLE_SECONDS < talked[0] < 90.0 + SETTLE_SECONDS


async def test_an_emergency_takes_no_minutes_and_is_not_cut(autojump_clock: MockClock) -> None:
    async with country() as c:
        _, outside = await lent(c, 1)
        line = outside.lines["static"]
        member = line.members[ALICE]
        ordinary = PlacedCall(line, member)
        assert member.seconds_left(line.clock.unix()) == 60.0 - TAKEN_SECONDS_MAX
        ordinary.close()
        emergency = PlacedCall(line, member, is_emergency=True)
        emergency.note_answered()
        assert emergency.more_seconds() is None
        emergency.close()
        assert member.seconds_left(line.clock.unix()) == 60.0


async def test_a_server_that_did_not_answer_takes_nothing_more(autojump_clock: MockClock) -> None:
    async with country() as c:
        _, outside = await lent(c, 1)
        line = outside.lines["static"]
        placed = PlacedCall(line, line.members[ALICE])
        placed.close()
        placed.note_answered()
        assert placed.more_seconds() is None
        assert line.members[ALICE].seconds_left(line.clock.unix()) == 60.0


class LateClock(TrioClock):
    """A machine that was busy: `late` seconds have passed that nobody has slept."""

    late = 0.0

    def now(self) -> float:
        return super().now() + self.late

    def unix(self) -> float:
        return super().unix() + self.late


@pytest.mark.parametrize(("late", "goes_on"), [(0.005, True), (TAKEN_SECONDS_MAX + 5.0, True), (60.0, False)])
async def test_a_busy_machine_takes_what_has_passed_and_cuts_no_call_that_has_minutes(
    autojump_clock: MockClock, late: float, goes_on: bool
) -> None:
    async with country() as c:
        _, outside = await lent(c, 1)
        line = outside.lines["static"]
        member, line.clock = line.members[ALICE], (clock := LateClock())
        placed = PlacedCall(line, member)
        placed.note_answered()
        clock.late = TAKEN_SECONDS_MAX + late
        more = placed.more_seconds()
        assert more is not None
        assert (more > 0.0) is goes_on
        placed.close()
        assert member.seconds_left(clock.unix()) == pytest.approx(max(0.0, 60.0 - clock.late))


async def test_a_moment_before_midnight_cuts_no_call(autojump_clock: MockClock) -> None:
    async with country() as c:
        _, outside = await lent(c, 1)
        line = outside.lines["static"]
        line.clock = ClockBeforeMidnight(TAKEN_SECONDS_MAX + 0.002)
        placed = PlacedCall(line, line.members[ALICE])
        placed.note_answered()
        await trio.sleep(TAKEN_SECONDS_MAX + 0.0015)
        line.clock = ClockBeforeMidnight(0.001)  # the clock of the day is corrected a little now and then
        assert placed.more_seconds()
