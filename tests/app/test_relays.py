"""Relays ahead of calls: what a super-node names as its servers is no way into the networks of its clients."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
import trio.testing

from overlay.rendezvous import Flow
from p2psip.app.relays import RelayKeeper, servers_to_trust
from p2psip.base.core import Address
from p2psip.base.grants import Grant, TurnServer, make_grant
from p2psip.net.clock import Clock


@pytest.mark.parametrize(
    ("server", "supernode", "trusted"),
    [
        ("1.1.1.1", "8.8.8.8", True),
        ("192.168.1.1", "8.8.8.8", False),
        ("127.0.0.1", "8.8.8.8", False),
        ("127.0.0.1", "192.168.1.5", False),
        ("fe80::1", "2600::1", False),
        ("192.168.1.1", "192.168.1.5", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("1.1.1.1", None, False),
    ],
)
def test_a_super_node_elsewhere_cannot_aim_its_clients_at_their_own_networks(
    server: str, supernode: str | None, trusted: bool
) -> None:
    named = TurnServer("tcp", (server, 80))
    grant = make_grant(b"secret", "ab" * 20, "example.org", 0.0, 600, [named])
    assert servers_to_trust(grant, supernode) == ([named] if trusted else [])


class FakeOverlay:
    """Grants what it is told to."""

    def __init__(self, servers: list[TurnServer]) -> None:
        self.servers, self.flows = servers, [Flow(KEY, FLOW, 0.01, 0.0)]

    def rendezvous(self) -> list[Flow]:
        return self.flows

    async def grant(self, _node_key: bytes) -> Grant:
        return make_grant(b"secret", "ab" * 20, "example.org", Clock().unix(), 600, self.servers)

    def look_at_routes(self) -> frozenset[int]:
        return frozenset((4, 6))


class FakeMedia:
    """Remembers relays."""

    def __init__(self) -> None:
        self.legs = 0
        self.left: list[int] = []
        self.relays: dict[int, Address] = {}
        self.added = 0

    def on_relay(self, _hook: object) -> None: ...

    def statistics(self) -> dict[str, int]:
        return {"overlay_legs": self.legs}

    def add_relay(self, server: Address, _grant: Grant, *, name: str, is_stream: bool) -> int:
        assert name
        assert is_stream == server[0].startswith("100::")
        known = [number for number, other in self.relays.items() if other == server]
        self.added += 1
        number = known[0] if known else self.added
        self.relays[number] = server
        return number

    def leave_relay(self, number: int) -> None:
        self.left.append(number)

    def remove_relay(self, number: int) -> None:
        del self.relays[number]


class FakeLinks:
    """Connections that stand, and servers that let us in."""

    def __init__(self) -> None:
        self.open: dict[Address, tuple[str, int, str]] = {FLOW: (HOST, 443, "tls")}
        self.dialled: list[tuple[str, int, bool]] = []

    def peer_of(self, address: Address) -> tuple[str, int, str] | None:
        return self.open.get(address)

    async def dial(self, host: str, port: int, *, tls: bool) -> Address:
        self.dialled.append((host, port, tls))
        if not tls:
            await trio.sleep_forever()  # a firewall swallows it
        address = (f"100::{len(self.dialled)}0", 1)
        self.open[address] = (host, port, "tls")
        return address

    def close(self, address: Address) -> None:
        self.open.pop(address, None)


Keeping = Callable[..., Awaitable[tuple[FakeOverlay, FakeMedia, FakeLinks, RelayKeeper]]]
KEY, OTHER_KEY = b"a" * 32, b"b" * 32
HOST, COTURN = "8.8.8.8", "9.9.9.9"
FLOW: Address = ("100::7", 1)


@pytest.fixture
def keeping(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> "Keeping":
    """Starts a keeper over fakes with these servers in every grant."""

    async def start(*servers: TurnServer) -> tuple[FakeOverlay, FakeMedia, FakeLinks, RelayKeeper]:
        overlay, media, links = FakeOverlay(list(servers)), FakeMedia(), FakeLinks()
        keeper = RelayKeeper(cast(Any, overlay), cast(Any, media), cast(Any, links), Clock())
        nursery.start_soon(keeper.run)
        await trio.testing.wait_all_tasks_blocked()
        return overlay, media, links, keeper

    return start


async def look_again(keeper: RelayKeeper) -> None:
    keeper.note_change()
    await trio.testing.wait_all_tasks_blocked()


async def test_a_super_node_relays_on_the_connection_that_there_is(keeping: Keeping) -> None:
    _, media, links, _ = await keeping(TurnServer("tls", (HOST, 443)))
    assert list(media.relays.values()) == [FLOW]
    assert not links.dialled


async def test_another_server_of_the_same_host_has_a_connection_of_its_own(keeping: Keeping) -> None:
    _, media, links, keeper = await keeping(TurnServer("tcp", (HOST, 3478)), TurnServer("tls", (HOST, 5349)))
    assert set(links.dialled) == {(HOST, 3478, False), (HOST, 5349, True)}
    relay = dict(media.relays)
    assert relay
    assert FLOW not in relay.values()
    await look_again(keeper)  # it stays, though it is not at the flow's address
    assert (media.relays, len(links.dialled)) == (relay, 2)


async def test_a_relay_whose_connection_has_ended_is_asked_for_again_at_once(keeping: Keeping) -> None:
    _, media, links, keeper = await keeping(TurnServer("tls", (COTURN, 443)))
    first = next(iter(media.relays.values()))
    links.close(first)
    await look_again(keeper)
    assert len(media.relays) == 1
    assert first not in media.relays.values()


async def test_a_coturn_that_two_announce_stays_until_both_are_left(keeping: Keeping) -> None:
    overlay, media, _, keeper = await keeping(TurnServer("udp", (COTURN, 3478)))
    overlay.flows = [Flow(key, (HOST, 4000), 0.01, 0.0) for key in (KEY, OTHER_KEY)]
    await look_again(keeper)
    await look_again(keeper)
    assert list(media.relays.values()) == [(COTURN, 3478)]
    overlay.flows = overlay.flows[1:]
    await look_again(keeper)
    assert len(media.relays) == 1
    overlay.flows = []
    await look_again(keeper)
    assert not media.relays


async def test_calls_move_off_the_relay_of_a_super_node_that_lets_us_go_and_it_is_given_back_after_them(
    keeping: Keeping,
) -> None:
    overlay, media, _, keeper = await keeping(TurnServer("tls", (HOST, 443)))
    (number,) = media.relays
    media.legs, overlay.flows = 1, []
    await look_again(keeper)
    assert (list(media.relays), media.left) == ([number], [number])
    media.legs = 0
    await look_again(keeper)
    assert not media.relays
