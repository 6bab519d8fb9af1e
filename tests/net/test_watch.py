"""Moves of the machine: a scripted source on virtual time, and what this machine really has."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from p2psip.net import watch
from p2psip.net.clock import Clock
from p2psip.net.watch import (
    ADDRESSES_MAX,
    DEBOUNCE_SECONDS,
    LOOK_SECONDS,
    RESTLESS_SECONDS_MAX,
    SLEPT_SECONDS_MIN,
    NetworkWatch,
    PollingSource,
    local_addresses,
    open_source,
)

HOME, AWAY = ("192.168.1.10",), ("10.0.0.7", "2001:db8::7")


class VirtualClock(Clock):
    slept = 0.0

    def boot(self) -> float:
        return trio.current_time() + self.slept


class ScriptedSource:
    def __init__(self) -> None:
        self.now = HOME
        self.closed = False
        self._changed = trio.Event()

    def addresses(self) -> tuple[str, ...]:
        return self.now

    def change(self, to: tuple[str, ...]) -> None:
        self.now = to
        self._changed.set()

    async def wait_changed(self) -> None:
        await self._changed.wait()
        self._changed = trio.Event()

    def close(self) -> None:
        self.closed = True


class World:
    """A watch on a scripted source; what its hook was told, and when after the start."""

    def __init__(self) -> None:
        self.clock, self.source = VirtualClock(), ScriptedSource()
        self.watch = NetworkWatch(self.clock, source=self.source)
        self.told: list[tuple[float, tuple[str, ...]]] = []
        self.start = trio.current_time()
        self.watch.on_change(lambda addresses: self.told.append((trio.current_time() - self.start, addresses)))

    async def run(self, *steps: tuple[float, Callable[[], None]]) -> None:
        """Do each step after its seconds, and watch for ten seconds more."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.watch.run)
            for seconds, step in steps:
                await trio.sleep(seconds)
                step()
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        assert self.source.closed


async def test_a_change_is_told_once_it_is_quiet(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    await world.run(
        (1, lambda: world.source.change(())),
        (0.1, lambda: world.source.change(("169.254.1.1",))),
        (0.1, lambda: world.source.change(AWAY)),
    )
    assert world.told == [(pytest.approx(1.2 + DEBOUNCE_SECONDS), AWAY)]
    assert world.watch.addresses == AWAY


async def test_what_comes_back_as_it_was_is_no_change(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    await world.run((1, lambda: world.source.change(AWAY)), (0.1, lambda: world.source.change(HOME)))
    assert world.told == []


async def test_a_restless_network_is_told_in_time(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    flaps = [(0.1, lambda number=number: world.source.change((f"10.0.0.{number}",))) for number in range(50)]
    await world.run(*flaps)
    assert world.told[0][0] <= 0.1 + RESTLESS_SECONDS_MAX + 0.01
    assert world.told[-1][1] == ("10.0.0.49",)
    assert len(world.told) <= 5 / RESTLESS_SECONDS_MAX + 1


async def test_sleep_is_told_though_the_addresses_are_the_same(autojump_clock: trio.testing.MockClock) -> None:
    world = World()

    def sleep(seconds: float) -> None:
        world.clock.slept += seconds

    await world.run((1, lambda: sleep(SLEPT_SECONDS_MIN - 0.5)), (5, lambda: sleep(600)))
    assert [addresses for _at, addresses in world.told] == [HOME]
    assert world.told[0][0] <= 6 + LOOK_SECONDS


async def test_polling_sees_what_has_changed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [HOME]
    monkeypatch.setattr(watch, "local_addresses", lambda: addresses[0])
    polling = NetworkWatch(VirtualClock(), source=PollingSource())
    told: list[tuple[str, ...]] = []
    polling.on_change(told.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(polling.run)
        await trio.sleep(10)
        assert told == []
        addresses[0] = AWAY
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert told == [AWAY]


async def test_a_system_without_netlink_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError

    source = open_source()
    source.close()
    monkeypatch.setattr(watch.socket, "socket", refuse)
    assert type(open_source()) is PollingSource


def test_only_addresses_that_others_may_use_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ip:
        def __init__(self, ip: object) -> None:
            self.ip = ip

    class Card:
        ips = [  # noqa: RUF012
            *map(Ip, ["127.0.0.1", "169.254.1.1", "192.168.1.10", ("::1", 0, 0), ("fe80::1%eth0", 0, 2)]),
            *map(Ip, [("2001:db8::7", 0, 0), "192.168.1.10"]),
        ]

    monkeypatch.setattr(watch.ifaddr, "get_adapters", lambda: [Card])
    assert local_addresses() == ("192.168.1.10", "2001:db8::7")
    Card.ips = [Ip(f"10.0.{number // 250}.{number % 250}") for number in range(ADDRESSES_MAX + 1)]
    assert len(local_addresses()) == ADDRESSES_MAX


def test_the_clock_of_sleep_goes_on() -> None:
    clock = Clock()
    assert clock.boot() <= clock.boot()
