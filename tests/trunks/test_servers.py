"""The servers of a provider: their order, their bounds, and who wants to be left alone."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.uri import SipUri
from p2psip.trunks.servers import HOPS_MAX, HOSTS_MAX, Servers
from tests.calls.world import TrioClock
from tests.trunks.provider import Locator

PROVIDER = SipUri.parse("sip:provider.example")


def _addresses(count: int) -> list[Address]:
    return [(f"192.0.2.{number}", 5060) for number in range(count)]


def _servers(count: int) -> Servers:
    return Servers(PROVIDER, Locator({"provider.example": _addresses(count)}), TrioClock())


async def test_the_one_that_answered_last_comes_first() -> None:
    servers = _servers(3)
    servers.working = (await servers.hops())[2]
    assert [hop.address[0] for hop in await servers.hops()] == ["192.0.2.2", "192.0.2.0", "192.0.2.1"]


async def test_so_many_servers_are_tried_and_no_more() -> None:
    assert len(await _servers(HOPS_MAX + 1).hops()) == HOPS_MAX


async def test_no_server_at_all_is_an_error() -> None:
    with pytest.raises(RemoteError, match=r"no server of provider\.example was found"):
        await _servers(0).hops()


async def test_who_wants_to_be_left_alone_is_passed_over_for_so_long(autojump_clock: MockClock) -> None:
    servers = _servers(2)
    first, second = _addresses(2)
    servers.rest(first, 60)
    assert [hop.address for hop in await servers.willing()] == [second]
    servers.rest(second, 30)
    with pytest.raises(RemoteError, match="want no calls for 30 s"):
        await servers.willing()
    await trio.sleep(30)
    assert [hop.address for hop in await servers.willing()] == [second]
    await trio.sleep(30)
    assert len(await servers.willing()) == 2


async def test_so_many_are_left_alone_and_no_more() -> None:
    servers = _servers(1)
    for address in _addresses(HOSTS_MAX + 1):
        servers.rest(address, 60)
    assert len(await servers.willing()) == 1, "the first one is forgotten"
