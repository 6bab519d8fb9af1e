"""Doors for the open world: connections of their own budget, so that strangers never lock phones out."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2psip.base.core import Address
from p2psip.sip import connections
from p2psip.sip.connections import Door
from tests.sip.test_connections import Host, host


async def _public(here: Host) -> Address:
    return await here.transport.listen("127.0.0.1", 0, Door("tcp", accepts=lambda _host: True))


async def _connected(address: Address) -> tuple[trio.SocketStream, bool]:
    """A new connection, and whether it is served."""
    stream = await trio.open_tcp_stream(*address)
    try:
        await stream.send_all(b"\r\n\r\n")
        is_served = await stream.receive_some(10) == b"\r\n"
    except trio.BrokenResourceError:
        is_served = False
    await wait_all_tasks_blocked(0.01)
    return stream, is_served


@pytest.mark.parametrize("bound", ["PUBLIC_CONNECTIONS_MAX", "PUBLIC_CONNECTIONS_PER_HOST_MAX"])
async def test_strangers_take_no_place_of_phones(
    bound: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(connections, bound, 2)
    async with host() as here:
        public = await _public(here)
        found = [await _connected(public) for _ in range(3)]
        assert [is_served for _stream, is_served in found] == [True, True, False]
        found.append(await _connected(here.address))
        assert found[-1][1], "phones have room"
        await found[0][0].aclose()
        await wait_all_tasks_blocked(0.01)
        found.append(await _connected(public))
        assert found[-1][1], "and so have strangers again"
        for stream, _is_served in found:
            await stream.aclose()


async def test_a_network_of_ipv6_is_one_host(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PUBLIC_CONNECTIONS_PER_HOST_MAX", 2)
    ends, hosts = connections._ends, iter(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"])

    def from_elsewhere(stream: connections.Stream) -> tuple[Address, Address] | None:
        found = ends(stream)
        return found and (found[0], (next(hosts), found[1][1]))

    monkeypatch.setattr(connections, "_ends", from_elsewhere)
    async with host() as here:
        public = await _public(here)
        found = [await _connected(public) for _ in range(4)]
        assert [is_served for _stream, is_served in found] == [True, True, False, True]
        for stream, _is_served in found:
            await stream.aclose()


async def test_who_may_not_connect_is_closed_at_once(autojump_clock: MockClock) -> None:
    async with host() as here:
        door = Door("tcp", accepts=lambda who: who != "127.0.0.1")
        stream, is_served = await _connected(await here.transport.listen("127.0.0.1", 0, door))
        assert not is_served
        assert trio.current_time() < 1
        await stream.aclose()
