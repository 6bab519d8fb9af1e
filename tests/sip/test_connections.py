"""Connections on the real loopback, on virtual time: framing, keep-alives, every bound, and each way to end."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip import connections
from p2psip.sip.connections import StreamTransport
from p2psip.sip.flow import Flow

WHOLE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"


@dataclass
class Host:
    """One transport, and what it has reported."""

    transport: StreamTransport
    address: Address
    messages: list[tuple[bytes, Flow]] = field(default_factory=list)
    closed: list[tuple[Flow, float]] = field(default_factory=list)


@asynccontextmanager
async def host() -> AsyncIterator[Host]:
    async with trio.open_nursery() as nursery:
        found = Host(
            StreamTransport(
                nursery,
                lambda data, flow: found.messages.append((data, flow)),
                lambda flow: found.closed.append((flow, trio.current_time())),
            ),
            ("", 0),
        )
        found.address = await found.transport.listen("127.0.0.1", 0)
        with trio.fail_after(10_000):
            yield found
        nursery.cancel_scope.cancel()


async def ends(stream: trio.SocketStream) -> bool:
    """Whether the other end has closed, once nothing else happens."""
    try:
        ended = await stream.receive_some(1_000) == b""
    except trio.BrokenResourceError:
        ended = True
    await wait_all_tasks_blocked(0.01)
    return ended


async def drip(stream: trio.SocketStream, data: bytes) -> None:
    """One byte a second."""
    for byte in data:
        await stream.send_all(bytes([byte]))
        await trio.sleep(1)


async def test_messages_are_cut_from_the_stream_wherever_it_breaks(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        for byte in WHOLE + WHOLE[:10]:
            await stream.send_all(bytes([byte]))
        await stream.send_all(WHOLE[10:] + WHOLE)
        await wait_all_tasks_blocked(0.01)
        assert [data for data, _flow in here.messages] == [WHOLE] * 3
        (flow,) = {flow for _data, flow in here.messages}
        assert (flow.transport, flow.local, flow.remote) == ("tcp", here.address, stream.socket.getsockname())


async def test_an_answer_goes_over_the_same_connection(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        assert here.transport.send(b"answer", here.messages[0][1])
        assert await stream.receive_some(100) == b"answer"


async def test_a_double_crlf_is_answered_by_a_single_one(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(b"\r\n\r\n")
        assert await stream.receive_some(100) == b"\r\n"


async def test_half_a_message_and_a_close_is_a_close(autojump_clock: MockClock) -> None:
    async with host() as here:
        stream = await trio.open_tcp_stream(*here.address)
        await stream.send_all(WHOLE[:20])
        await wait_all_tasks_blocked(0.01)
        await stream.aclose()
        await wait_all_tasks_blocked(0.01)
        assert (here.messages, len(here.closed)) == ([], 1)
        assert not here.transport.send(b"late", here.closed[0][0])


async def test_a_reset_connection_is_a_close_and_harms_nothing(autojump_clock: MockClock) -> None:
    async with host() as here:
        for _ in range(5):
            raw = socket.create_connection(here.address)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        await wait_all_tasks_blocked(0.01)
        async with await trio.open_tcp_stream(*here.address) as stream:
            await stream.send_all(WHOLE)
            await wait_all_tasks_blocked(0.01)
        assert len(here.messages) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 17_000,
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 999999\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
    ],
    ids=["no end of header fields", "too long", "no length"],
)
async def test_what_cannot_be_framed_closes_the_connection(data: bytes, autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(data)
        assert await ends(stream)
        assert (here.messages, len(here.closed)) == ([], 1)


async def test_a_message_must_be_whole_within_its_time_however_slowly_it_drips(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(stream, WHOLE)
        assert here.closed[0][1] - began == pytest.approx(connections.MESSAGE_SECONDS_MAX)


async def test_the_time_of_a_message_begins_with_its_own_first_byte(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        for _ in range(5):
            await stream.send_all(WHOLE[:10])
            await trio.sleep(connections.MESSAGE_SECONDS_MAX - 1)
            await stream.send_all(WHOLE[10:])
            await trio.sleep(2 * connections.MESSAGE_SECONDS_MAX)
            await stream.send_all(b"\r\n")
        assert (len(here.messages), here.closed) == (5, [])


async def test_a_connection_that_says_nothing_is_closed_soon(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        assert await ends(stream)
        assert here.closed[0][1] == pytest.approx(connections.FIRST_SECONDS_MAX)


async def test_an_idle_connection_is_closed_at_last(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        assert await ends(stream)
        assert here.closed[0][1] == pytest.approx(connections.STRANGER_IDLE_SECONDS_MAX)


async def test_a_registered_phone_may_be_silent_for_longer(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        here.transport.expect_within(here.messages[0][1], 1e9)
        assert await ends(stream)
        assert here.closed[0][1] == pytest.approx(connections.IDLE_SECONDS_MAX)


async def test_a_watched_connection_is_closed_when_its_keep_alives_end(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        here.transport.expect_within(here.messages[0][1], 100)
        for _ in range(5):
            await trio.sleep(90)
            await stream.send_all(b"\r\n\r\n")
            assert await stream.receive_some(10) == b"\r\n"
        assert await ends(stream)
        assert here.closed[0][1] == pytest.approx(550)
        here.transport.expect_within(here.messages[0][1], 100)


async def test_a_watched_connection_that_falls_silent_at_once_is_closed(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        here.transport.expect_within(here.messages[0][1], 100)
        assert await ends(stream)
        assert here.closed[0][1] == pytest.approx(100)


async def test_a_peer_that_does_not_read_loses_the_connection_after_a_while(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        flow = here.messages[0][1]
        for _ in range(200):
            assert here.transport.send(b"x" * 65_000, flow)
        await trio.sleep(connections.WRITE_SECONDS_MAX + 1)
        assert [each for each, _when in here.closed] == [flow]


async def test_one_message_more_than_may_wait_closes_the_connection(autojump_clock: MockClock) -> None:
    async with host() as here, await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(WHOLE)
        await wait_all_tasks_blocked(0.01)
        flow = here.messages[0][1]
        assert here.transport.send(b"x", flow)  # the writer has this one in its hands
        assert all(here.transport.send(b"x", flow) for _ in range(connections.QUEUED_MESSAGES_MAX))
        assert not here.transport.send(b"x", flow)
        await wait_all_tasks_blocked(0.01)
        assert [each for each, _when in here.closed] == [flow]


@pytest.mark.parametrize("bound", ["CONNECTIONS_MAX", "CONNECTIONS_PER_HOST_MAX"])
async def test_one_connection_more_than_there_may_be_is_closed_at_once(
    bound: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, bound, 2)
    async with host() as here:
        streams = [await trio.open_tcp_stream(*here.address) for _ in range(2)]
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            async with await trio.open_tcp_stream(*here.address) as third:
                assert await ends(third)
        assert trio.current_time() < 1
        assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
            "no connection for TCP from 127.0.0.1: there are too many at once"
        ]
        await streams[0].aclose()
        await wait_all_tasks_blocked(0.01)
        async with await trio.open_tcp_stream(*here.address) as fourth:
            await fourth.send_all(b"\r\n\r\n")
            assert await fourth.receive_some(10) == b"\r\n"
        await streams[1].aclose()


# Dialling


async def test_a_connection_is_dialled_once_and_again_after_it_has_ended(autojump_clock: MockClock) -> None:
    async with host() as here, host() as there:
        first = await here.transport.connect(there.address)
        assert await here.transport.connect(there.address) == first
        assert here.transport.send(WHOLE, first)
        await wait_all_tasks_blocked(0.01)
        (data, arriving) = there.messages[0]
        assert (data, arriving.remote) == (WHOLE, first.local)
        assert (here.transport.is_dialled(first), there.transport.is_dialled(arriving)) == (True, False)
        there.transport._connections[arriving].scope.cancel()
        await wait_all_tasks_blocked(0.01)
        assert [flow for flow, _when in here.closed] == [first]
        assert not here.transport.send(WHOLE, first)
        assert not here.transport.is_dialled(first)
        second = await here.transport.connect(there.address)
        assert second != first
        assert here.transport.send(WHOLE, second)
        await wait_all_tasks_blocked(0.01)
        assert len(there.messages) == 2


async def test_one_connection_more_than_may_be_dialled_is_503(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DIALLED_MAX", 2)
    async with host() as here, host() as first, host() as second, host() as third:
        flows = [await here.transport.connect(each.address) for each in (first, second)]
        assert await here.transport.connect(first.address) == flows[0]
        with pytest.raises(RemoteError, match="as many connections as it may") as caught:
            await here.transport.connect(third.address)
        assert caught.value.status == 503
        here.transport._connections[flows[0]].scope.cancel()
        await wait_all_tasks_blocked(0.01)
        assert (await here.transport.connect(third.address)).remote == third.address


async def test_nobody_there_is_503(autojump_clock: MockClock) -> None:
    async with host() as here:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            with pytest.raises(RemoteError) as caught:
                await here.transport.connect(silent.getsockname())
        assert caught.value.status == 503


async def test_an_address_in_use_is_named(autojump_clock: MockClock) -> None:
    async with host() as here:
        with pytest.raises(OSError, match=f"cannot use TCP 127.0.0.1 port {here.address[1]}"):
            await here.transport.listen(*here.address)


async def test_serials_tell_connections_apart(autojump_clock: MockClock) -> None:
    async with host() as here:
        for _ in range(3):
            async with await trio.open_tcp_stream(*here.address) as stream:
                await stream.send_all(WHOLE)
                await wait_all_tasks_blocked(0.01)
        assert len({flow.serial for _data, flow in here.messages}) == 3
