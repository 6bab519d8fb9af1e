"""Quotas on bytes: a user over its own hurts nobody else, all together stay within the server's, the month's end stops all."""

from media.turn.plane import RelayPlane
from media.turn.quota import Allowance, SourceBudgets, source_prefix
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock
from tests.media.turn.world import ALICE, PEER, Client, World

PACKET = bytes(972)  # 1000 bytes with the headers that are counted


class SetClock(Clock):
    """A clock that stands where the world's does."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> float:
        return self.world.now


class Ways:
    """A data plane over a world's tables, whose relay sockets are replaced by a list."""

    def __init__(self, world: World) -> None:
        self.to_client: list[tuple[bytes, Address]] = []
        self.world = world
        self.plane = RelayPlane(
            tables=world.tables,
            send=lambda data, client: self.to_client.append((data, client)),
            clock=SetClock(world),
            chance=Chance.seeded(2),
            hosts={},
            announced={},
            ports=(50_000, 50_001),
        )

    def flood(self, client: Client, count: int) -> int:
        """Packets of the peer that reach `client`."""
        before = len(self.to_client)
        for _ in range(count):
            assert client.allocation is not None
            self.plane.from_peer(client.allocation, PACKET, PEER)
        return len(self.to_client) - before


def _client(world: World, address: Address, owner: str) -> Client:
    client = Client(world, address, owner=owner * 20)
    client.allocate()
    client.bind(0x4000)
    return client


def test_a_user_over_quota_hurts_nobody_else() -> None:
    world = World(bytes_per_second_per_user_max=10_000.0)
    greedy, alice = _client(world, ("192.0.2.66", 6), "66"), _client(world, ALICE, "aa")
    ways = Ways(world)
    assert ways.flood(greedy, 1_000) == 20
    assert ways.flood(alice, 5) == 5
    assert greedy.allocation is not None
    assert greedy.allocation.counters.over_quota == 980
    world.pass_time(1.0)
    assert ways.flood(greedy, 1_000) == 10
    assert ways.flood(alice, 5) == 5
    ways.plane.close()


def test_a_new_allocation_does_not_renew_a_users_quota() -> None:
    world = World(bytes_per_second_per_user_max=10_000.0)
    greedy = _client(world, ("192.0.2.66", 6), "66")
    ways = Ways(world)
    assert ways.flood(greedy, 100) == 20
    world.core.allocations.remove(greedy.address, world.now)
    again = _client(world, ("192.0.2.66", 7), "66")
    assert ways.flood(again, 100) == 0
    ways.plane.close()


def test_all_users_together_stay_within_the_servers_bytes() -> None:
    world = World(bytes_per_second_max=50_000.0)
    clients = [_client(world, ("192.0.2.66", number), f"{number:02}") for number in range(1, 11)]
    ways = Ways(world)
    assert sum(ways.flood(client, 100) for client in clients) == 50
    world.pass_time(0.5)
    assert sum(ways.flood(client, 100) for client in clients) == 25
    ways.plane.close()


def test_the_month_ends_all_relaying() -> None:
    world = World(bytes_per_month_max=10_500.0)
    alice = _client(world, ALICE, "aa")
    ways = Ways(world)
    assert ways.flood(alice, 100) == 10
    assert world.tables.meter.used == 10_000
    assert world.core.allocations.is_draining
    world.tables.meter.used = 0
    assert ways.flood(alice, 1) == 1
    ways.plane.close()


def test_an_allowance_is_a_bucket() -> None:
    allowance = Allowance(10.0, 2.0, 0.0)
    assert allowance.take(20.0, 0.0)
    assert not allowance.take(1.0, 0.0)
    assert not allowance.take(11.0, 1.0)
    assert allowance.take(10.0, 1.0)
    assert not allowance.take(21.0, 100.0)
    assert allowance.take(20.0, 100.0)
    assert not allowance.take(1.0, 99.0)


def test_sources_are_counted_by_network() -> None:
    assert source_prefix("192.0.2.1") == source_prefix("192.0.2.255") != source_prefix("192.0.3.1")
    assert source_prefix("2001:db8::1") == source_prefix("2001:db8::ffff:0:0:1") != source_prefix("2001:db8:0:1::1")
    budgets = SourceBudgets(per_second=1.0, burst=2.0, total_per_second=100.0, key=b"k")
    assert [budgets.spend("192.0.2.1", 0.0) for _ in range(3)] == [True, True, False]
    assert [budgets.spend("192.0.2.9", at) for at in (0.5, 1.1, 1.2)] == [False, True, False]
