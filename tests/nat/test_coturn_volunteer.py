"""Our nodes with coturns in the place of our relays: super-nodes announce them, and calls pass them and outlive them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.nat.coturn import Coturn, coturn, volunteer_settings
from tests.nat.kinds import Kind
from tests.nat.lab import Lab, Plan
from tests.nat.talk import heard, recordings
from tests.nat.town import House, Town, town
from tests.nat.watch import running_call

pytestmark = pytest.mark.nat

HOSTS = ("turn1", "turn2")
ANNOUNCED = {"super1": "turn1", "super2": "turn2", "super3": "turn1"}
READY_SECONDS_MAX = 30.0
TALK_SECONDS = 3.0
AUDIO_BACK_SECONDS_MAX = 2.0
AFTER_SECONDS = 6.0
RELAYED_MIN = 100


@asynccontextmanager
async def coturn_town(folder: Path, callee: Kind) -> AsyncIterator[tuple[Town, dict[str, Coturn]]]:
    """Alice behind a symmetric NAT, bob elsewhere, and no relay but two coturns; both have one allocation on each."""

    def announce(lab: Lab, name: str) -> str:
        return volunteer_settings(lab, ANNOUNCED[name])

    plans = [Plan("alice", Kind.SYMMETRIC), Plan("bob", callee)]
    async with (
        town(folder, plans, super_nodes=len(ANNOUNCED), hosts=HOSTS, volunteer=announce) as built,
        coturn(folder / HOSTS[0], built.lab[HOSTS[0]]) as first,
        coturn(folder / HOSTS[1], built.lab[HOSTS[1]]) as second,
    ):
        for house in built.houses.values():
            await wait_relays(built, house)
        yield built, {first.site.ipv4: first, second.site.ipv4: second}


async def relays_of(house: House) -> list[dict[str, Any]]:
    """The relays of a node that are ready."""
    status = await house.ask("status")
    return [relay for relay in status["relays"] if relay["state"] == "ready"]


async def wait_relays(built: Town, house: House) -> None:
    """Until a node has an allocation on each coturn, and none elsewhere."""
    wanted = {built.lab[host].ipv4 for host in HOSTS}
    found: list[dict[str, Any]] = []
    with trio.move_on_after(READY_SECONDS_MAX):
        while True:
            found = await relays_of(house)
            if {host_of(relay["relayed"]) for relay in found} == wanted:
                return
            await trio.sleep(0.2)
    raise AssertionError(f"{house.name} has not both coturns: {(await house.ask('status'))['relays']}")


def host_of(address: str) -> str:
    return address.rpartition(":")[0]


@pytest.mark.parametrize("callee", [Kind.SYMMETRIC, Kind.UDP_BLOCKED])
async def test_a_coturn_carries_calls_and_the_other_takes_over_when_it_is_killed(tmp_path: Path, callee: Kind) -> None:
    async with coturn_town(tmp_path, callee) as (built, servers):
        alice, bob = built["alice"], built["bob"]
        if callee is Kind.UDP_BLOCKED:
            assert {relay["transport"] for relay in await relays_of(bob)} == {"tls"}
        before = {house.name: recordings(house.phone) for house in (alice, bob)}
        async with running_call(alice, bob) as watch:
            await watch.wait_kind("relayed")
            counted = {server.log: server.sent for server in servers.values()}
            await trio.sleep(TALK_SECONDS)
            used = [server for server in servers.values() if server.sent - counted[server.log] > RELAYED_MIN]
            assert used, await watch.paths()
            killed = trio.current_time()
            await used[0].kill()
            await trio.sleep(AFTER_SECONDS)
            assert await watch.is_up()
            assert watch.gap(killed) < AUDIO_BACK_SECONDS_MAX, (watch.gap(killed), await watch.paths())
        for me, other in ((alice, bob), (bob, alice)):
            result = await heard(me, before[me.name], other.hertz)
            assert result.is_good
            assert result.seconds > TALK_SECONDS + AFTER_SECONDS - AUDIO_BACK_SECONDS_MAX
