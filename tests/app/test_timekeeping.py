"""A clock that is days wrong: what is said, kept and forgotten, and a node with such a clock that is found all the same."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from bootstrap.authority import Authority
from bootstrap.messages import Introducer
from bootstrap.service import BootstrapServer, create_overlay
from overlay.reachability import Role
from overlay.service import OverlayService
from p2psip.app.joining import join_overlay
from p2psip.app.machine import Machine
from p2psip.app.node import Node, find_time
from p2psip.app.settings import load_settings
from p2psip.app.state import State
from p2psip.app.timekeeping import ASK_SECONDS_MIN, LOOK_SECONDS, Timekeeper, correction_in_words
from p2psip.base.certificates import certificate_request
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX, Clock
from p2psip.net.port import NodePort

DAY = 86_400.0
UNIX = 1_800_000_000.0
SECONDS_NEAR = 20.0


class SetClock(Clock):
    """A machine whose calendar somebody sets: `calendar` is what it says at boot."""

    def __init__(self) -> None:
        self.calendar, self.uptime = UNIX, 5.0

    def now(self) -> float:
        """Steady seconds."""
        return self.uptime

    boot = now

    def unix(self) -> float:
        """The calendar, corrected."""
        return self.calendar + self.uptime + self.correction


class LateClock(Clock):
    """Two days late."""

    def unix(self) -> float:
        """The machine's calendar, corrected."""
        return super().unix() - 2 * DAY


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2 * DAY, "2 days behind"),
        (-400 * DAY, "400 days ahead"),
        (DAY, "24 hours behind"),
        (3_600.0, "60 minutes behind"),
        (-61.0, "61 seconds ahead"),
    ],
)
def test_a_correction_is_one_sentence(seconds: float, words: str) -> None:
    goes_by = "this node goes by the time of the bootstrap server. Set the clock."
    assert correction_in_words(seconds) == f"The clock of this machine is {words}; {goes_by}"


def test_a_correction_moves_the_calendar_only() -> None:
    clock = Clock()
    before = clock.now(), clock.boot(), clock.unix()
    clock.correct(2 * DAY)
    assert clock.now() - before[0] < SECONDS_NEAR
    assert clock.boot() - before[1] < SECONDS_NEAR
    assert clock.unix() - before[2] == pytest.approx(2 * DAY, abs=SECONDS_NEAR)
    clock.correct(0)
    assert clock.unix() - before[2] < SECONDS_NEAR


def test_what_was_learned_is_kept_over_a_restart_and_told(state: State, caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()
    assert Timekeeper(clock, state).learn(2 * DAY)
    assert clock.unix() == UNIX + 2 * DAY + 5
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2 days behind" in caplog.text
    restarted = SetClock()
    Timekeeper(restarted, state)
    assert restarted.correction == 2 * DAY


@pytest.mark.parametrize("late", [CLOCK_ERROR_SECONDS_MAX, -CLOCK_ERROR_SECONDS_MAX, 0.0])
def test_a_small_error_is_not_corrected(state: State, late: float) -> None:
    clock = SetClock()
    assert not Timekeeper(clock, state).learn(late)
    assert (clock.correction, state.clock_correction()) == (0, 0)
    assert Timekeeper(clock, state).learn(2 * late + 0.5 if late else 60.5)
    assert state.clock_correction() == clock.correction != 0


def test_a_later_answer_says_that_the_clock_was_set_right(state: State, caplog: pytest.LogCaptureFixture) -> None:
    state.save_clock_correction(2 * DAY)
    clock = SetClock()
    keeper = Timekeeper(clock, state)
    assert keeper.learn(-2 * DAY + 3)
    assert (clock.correction, state.clock_correction()) == (0, 0)
    assert "is right again" in caplog.text


def test_a_clock_that_is_set_right_while_the_node_runs_changes_nothing_of_its_time(state: State) -> None:
    clock = SetClock()
    keeper = Timekeeper(clock, state)
    keeper.learn(2 * DAY)
    clock.uptime += 1_000
    keeper.look()
    assert clock.correction == 2 * DAY
    clock.calendar += 2 * DAY - 5
    keeper.look()
    assert (clock.correction, clock.unix(), state.clock_correction()) == (0, UNIX + 2 * DAY + 1_000, 0)
    clock.calendar -= DAY  # nobody else's word is held against the machine's now
    keeper.look()
    assert clock.correction == 0


def test_a_clock_that_is_set_wrong_otherwise_changes_nothing_either(state: State) -> None:
    clock = SetClock()
    keeper = Timekeeper(clock, state)
    keeper.learn(2 * DAY)
    clock.calendar -= DAY
    keeper.look()
    assert (clock.correction, state.clock_correction()) == (3 * DAY, 3 * DAY)
    for _slowly in range(10):  # a calendar that is slewed does not jump
        clock.calendar += CLOCK_ERROR_SECONDS_MAX / 2
        keeper.look()
    assert clock.correction == 3 * DAY


class RefusedOverlay:
    """Nobody takes what it stores until its clock is right."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.is_refused, self.is_accepted, self.changes = clock, True, False, 0

    def clock_changed(self) -> None:
        """Stored, as soon as the clock is right."""
        self.changes += 1
        self.is_refused = not self.clock.correction
        self.is_accepted = not self.is_refused


class SilentOverlay:
    """Nothing is stored in it, so nothing is refused."""

    is_accepted = is_refused = False

    def clock_changed(self) -> None:
        """Nothing to do."""


def test_a_server_whose_clock_contradicts_the_overlay_is_not_followed(state: State) -> None:
    clock = SetClock()
    overlay, keeper = RefusedOverlay(clock), Timekeeper(clock, state)
    overlay.is_accepted = True
    keeper.take(0.0, overlay)
    with pytest.raises(RemoteError, match="server's clock is 3600 s ahead of the overlay's: tell its operator"):
        keeper.take(3_600.0, overlay)
    assert (clock.correction, overlay.changes) == (0, 0)
    overlay.is_accepted = False
    keeper.take(3_600.0, overlay)
    assert (clock.correction, overlay.changes) == (3_600, 1)


async def test_who_is_refused_by_all_asks_at_once_and_then_rarely(
    state: State, autojump_clock: trio.testing.MockClock
) -> None:
    clock = SetClock()
    overlay, keeper = RefusedOverlay(clock), Timekeeper(clock, state)
    asked: list[float] = []

    async def ask() -> float:
        asked.append(trio.current_time())
        if len(asked) == 1:
            raise RemoteError("it cannot be reached", status=503)
        return 2 * DAY

    with trio.move_on_after(2 * ASK_SECONDS_MIN + 3 * LOOK_SECONDS):
        await keeper.run(overlay, ask)
    assert len(asked) == 2
    assert asked[1] - asked[0] >= ASK_SECONDS_MIN
    assert (clock.correction, overlay.is_refused) == (2 * DAY, False)


async def test_who_stores_nothing_asks_now_and_then_and_takes_silence_for_no_news(
    state: State, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock, asked = SetClock(), 0

    async def ask() -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RemoteError("it cannot be reached", status=503)
        return -2 * DAY

    with trio.move_on_after(2 * LOOK_SECONDS):
        await Timekeeper(clock, state).run(SilentOverlay(), ask)
    assert (asked, clock.correction) == (1, 0)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    with trio.move_on_after(2 * LOOK_SECONDS):
        await Timekeeper(clock, state).run(SilentOverlay(), ask)
    assert (asked, clock.correction) == (2, -2 * DAY)


class Home:
    """A bootstrap server and its peer, whose clock is right."""

    def __init__(self, folder: Path, ahead: float) -> None:
        self.clock, self.chance = Clock(), Chance.system()
        self.clock.correct(ahead)
        self.authority: Authority = create_overlay(
            folder / "authority.sqlite", "home.example", unix=self.clock.unix(), chance=self.chance
        )
        signing, node = SigningKey.generate(self.chance), NodeKey.generate(self.chance)
        self.port = NodePort.bind(["127.0.0.1"], 0)
        self.peer = OverlayService(
            node_key=node,
            signing_key=signing,
            certificate=self.authority.admit(
                "first", certificate_request(signing, node), unix=self.clock.unix() - 9 * DAY
            ),
            ca=self.authority.ca_der,
            configuration=self.authority.configuration(),
            port=self.port,
            clock=self.clock,
            chance=self.chance,
            state_file=None,
            role=Role.PEER,
        )
        introducer = Introducer(node.public, tuple(self.port.local))
        self.server = BootstrapServer(
            self.authority, "127.0.0.1", 0, clock=self.clock, chance=self.chance, introducers=lambda: [introducer]
        )

    def link(self) -> str:
        """An invite."""
        return str(self.authority.make_invite(self.server.local, unix=self.clock.unix(), lifetime_seconds=DAY))


@asynccontextmanager
async def home(folder: Path, *, ahead: float) -> AsyncIterator[Home]:
    opened = Home(folder, ahead)
    async with trio.open_nursery() as nursery:
        await nursery.start(opened.port.run)
        await nursery.start(opened.peer.run)
        await nursery.start(opened.server.run)
        yield opened
        nursery.cancel_scope.cancel()


def node_of(folder: Path, state: State, clock: Clock) -> Node:
    settings = load_settings(folder, {"overlay": {"hosts": ("127.0.0.1",)}, "sip": {"port": 0}})
    return Node(Machine(folder), settings, state, state.require_membership(), clock, Chance.system())


async def found_after_start(folder: Path, around: Home, clock: Clock) -> list[int]:
    """Start the node of `folder`, join, publish, and let the other one look: peers known, holders, devices found."""
    with closing(State(folder)) as state:
        await find_time(Machine(folder), state, state.require_membership(), clock)
        node = node_of(folder, state, clock)
        membership = node.membership
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            known = await node.join()
            holders = await node.overlay.publish(membership.addresses)
            found = await around.peer.find(membership.addresses[0])
            nursery.cancel_scope.cancel()
    return [known, holders, len(found.registrations)]


@pytest.mark.parametrize("ahead", [2 * DAY, -40 * DAY])
async def test_a_node_whose_clock_is_days_wrong_enrols_joins_and_is_found(tmp_path: Path, ahead: float) -> None:
    """This machine's own clock is the wrong one here, OpenSSL's view of it included; everybody else's is right."""
    clock, folder = Clock(), tmp_path / "late"
    with trio.fail_after(60):
        async with home(tmp_path, ahead=ahead) as around:
            await join_overlay(folder, around.link(), "late", None, clock=clock, chance=Chance.system())
            assert clock.correction == pytest.approx(ahead, abs=SECONDS_NEAR)
            assert await found_after_start(folder, around, Clock()) == [1, 1, 1]


async def test_a_member_whose_clock_went_wrong_meanwhile_starts_by_the_servers_time(tmp_path: Path) -> None:
    """Its own certificate looks as if it were of the future, and is good."""
    clock, folder = Clock(), tmp_path / "late"
    with trio.fail_after(60):
        async with home(tmp_path, ahead=0.0) as around:
            await join_overlay(folder, around.link(), "late", None, clock=clock, chance=Chance.system())
            assert clock.correction == 0

            late = LateClock()
            assert await found_after_start(folder, around, late) == [1, 1, 1]
            assert late.correction == pytest.approx(2 * DAY, abs=SECONDS_NEAR)
            right = Clock()  # set right since: the server says so at the next start
            # The server names whole seconds, so the other was not exact.
            await trio.sleep(max(late.unix() - right.unix(), 0.0))
            assert await found_after_start(folder, around, right) == [1, 1, 1]
            assert right.correction == 0
            with closing(State(folder)) as state:
                assert state.clock_correction() == 0


async def test_a_running_node_that_all_refuse_is_found_once_it_has_asked_for_the_time(tmp_path: Path) -> None:
    folder = tmp_path / "late"
    with trio.fail_after(60):
        async with home(tmp_path, ahead=0.0) as around:
            await join_overlay(folder, around.link(), "late", None, clock=Clock(), chance=Chance.system())
            with closing(State(folder)) as state:
                node = node_of_old_certificate(folder, state, around)
                addresses = node.membership.addresses
                async with trio.open_nursery() as nursery:
                    await nursery.start(node.run)
                    assert await node.join() == 1
                    assert await node.overlay.publish(addresses) == 0
                    assert node.overlay.is_refused
                    assert not (await around.peer.find_again(addresses[0])).registrations
                    await node.timekeeper.ask(node.ask_clock_late)
                    node.overlay.clock_changed()
                    assert not node.overlay.is_accepted
                    while node.overlay.is_refused:  # it is published anew by itself
                        await trio.lowlevel.checkpoint()
                    assert node.overlay.is_accepted
                    assert len((await around.peer.find_again(addresses[0])).registrations) == 1
                    nursery.cancel_scope.cancel()


async def test_a_clock_that_jumps_past_the_end_of_our_certificate_ends_no_node(tmp_path: Path) -> None:
    clock, folder = Clock(), tmp_path / "fast"
    with trio.fail_after(60):
        async with home(tmp_path, ahead=0.0) as around:
            await join_overlay(folder, around.link(), "fast", None, clock=clock, chance=Chance.system())
            with closing(State(folder)) as state:
                node = node_of(folder, state, clock)
                clock.correct(40 * DAY)
                async with trio.open_nursery() as nursery:
                    await nursery.start(node.run)
                    while clock.correction:  # it wishes to renew, and learns the time
                        await trio.lowlevel.checkpoint()
                    assert await node.join() == 1
                    assert await node.overlay.publish(node.membership.addresses) == 1
                    nursery.cancel_scope.cancel()


def node_of_old_certificate(folder: Path, state: State, around: Home) -> Node:
    """A member of ten days, whose clock is two days late since."""
    membership = state.require_membership()
    signing, node = SigningKey.from_private(membership.signing_key), NodeKey.from_private(membership.node_key)
    unix = around.clock.unix() - 10 * DAY
    der = around.authority.admit("late", certificate_request(signing, node), unix=unix)
    state.save_membership(replace(membership, certificate_der=der))
    return node_of(folder, state, LateClock())
