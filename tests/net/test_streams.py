"""Streams on real loopback sockets: plain and TLS on one port, bounds one over each, garbage, and ends that are noticed."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.framing import MAGIC_COOKIE, StreamFramer
from p2psip.net.port import NodePort
from p2psip.net.stream_link import QUEUED_BYTES_MAX, QUEUED_SECONDS_MAX, StreamBounds, StreamCounters, StreamLink
from p2psip.net.streams import StreamLinks, source_of
from p2psip.net.tls import dialling_context, listening_context, self_signed_context

BINDING = b"\x00\x01\x00\x00" + MAGIC_COOKIE + bytes(12)
FRAME = b"\xc0a sealed frame"


class End:
    """A node's port with its streams, and everything that its receivers have been given."""

    def __init__(self, bounds: StreamBounds | None = None) -> None:
        self.port = NodePort.bind(["127.0.0.1"], 0)
        self.links = StreamLinks(self.port, bounds=bounds)
        self.got: list[tuple[bytes, Address]] = []
        self.closed: list[Address] = []
        self.batches = 0
        self.port.route(0, 255, lambda data, source: self.got.append((data, source)))
        self.port.on_batch_end(self._count)
        self.links.on_closed(self.closed.append)

    def _count(self) -> None:
        self.batches += 1


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def ends(bounds: StreamBounds | None = None) -> AsyncIterator[tuple[End, End, Address]]:
    """A listening end, a dialling end, and the listener's address."""
    server, client = End(bounds), End()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.links.run)
            await nursery.start(client.links.run)
            address = await server.links.listen("127.0.0.1", 0)
            yield server, client, address
            nursery.cancel_scope.cancel()
        assert server.port.streams == client.port.streams == {}
    finally:
        server.port.close()
        client.port.close()


async def received_before_end(stream: trio.abc.ReceiveStream) -> bytes:
    """What comes until the other side closes or resets the connection."""
    data = b""
    with trio.fail_after(10):
        try:
            while more := await stream.receive_some():
                data += more
        except trio.BrokenResourceError:
            pass
    return data


async def test_plain_and_tls_come_in_on_one_port_and_answers_go_back() -> None:
    async with ends() as (server, client, address):
        for tls in (False, True):
            link = await client.links.dial(*address, tls=tls)
            assert is_synthetic(link[0])
            peer = client.links.peer_of(link)
            assert peer == (*address, "tls" if tls else "tcp")
            client.port.send(FRAME, link)
            await until(lambda: server.got)
            data, source = server.got.pop()
            assert data == FRAME
            assert is_synthetic(source[0])
            peer = server.links.peer_of(source)
            assert peer is not None
            assert peer[::2] == ("127.0.0.1", "tls" if tls else "tcp")
            server.port.send(BINDING, source)
            await until(lambda: client.got)
            assert client.got.pop() == (BINDING, link)
        assert server.batches == client.batches == 2
        assert len(server.links.addresses) == 2


@pytest.mark.parametrize("tls", [False, True])
async def test_ten_thousand_datagrams_pass_both_ways_in_order(tls: bool) -> None:
    async with ends() as (server, client, address):
        link = await client.links.dial(*address, tls=tls)
        client.port.send(FRAME, link)
        await until(lambda: server.got)
        source = server.got.pop()[1]

        async def push(end: End, other: End, to: Address) -> None:
            for start in range(0, 10_000, 200):
                for number in range(start, start + 200):
                    end.port.send(b"\xc0" + number.to_bytes(4, "big") + bytes(number % 180), to)
                await until(lambda most=start: len(other.got) >= most)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push, client, server, link)
            nursery.start_soon(push, server, client, source)
        for end in (server, client):
            await until(lambda end=end: len(end.got) == 10_000)
            assert [int.from_bytes(data[1:5], "big") for data, _source in end.got] == list(range(10_000))
            assert end.links.counters.send_dropped == 0


async def test_a_foreign_turn_client_sends_stun_and_channels_in_any_chunks() -> None:
    async with ends() as (server, _client, address), await trio.open_tcp_stream(*address) as stream:
        channel = b"\x40\x00\x00\x05hello"
        for byte in BINDING + channel + b"\0\0\0" + BINDING:
            await stream.send_all(bytes([byte]))
        await until(lambda: len(server.got) == 3)
        assert [data for data, _source in server.got] == [BINDING, channel, BINDING]
        server.port.send(channel, server.got[0][1])
        answer = b""
        while len(answer) < 12:
            answer += await stream.receive_some()
        assert answer == channel + b"\0\0\0"


async def test_garbage_closes_the_connection_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with ends() as (server, _client, address):
        with caplog.at_level(logging.DEBUG, logger="p2psip.net.streams"):
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16 is no hello of TLS", BINDING + b"\xff" * 8):
                caplog.clear()
                async with await trio.open_tcp_stream(*address) as stream:
                    await stream.send_all(garbage)
                    await received_before_end(stream)
                await until(lambda: caplog.records)
                assert len(caplog.records) == 1
        await until(lambda: not server.links.addresses)


async def test_one_connection_over_each_limit_is_refused() -> None:
    async with ends(StreamBounds(links_per_source_max=2)) as (server, client, address):
        for _number in range(2):
            client.port.send(FRAME, await client.links.dial(*address, tls=False))
        await until(lambda: len(server.got) == 2)
        third = await client.links.dial(*address, tls=False)
        await until(lambda: third in client.closed)
        assert server.links.counters.refused == 1
        client.links.close(client.links.addresses[0])
        await until(lambda: server.closed)
        client.port.send(FRAME, await client.links.dial(*address, tls=False))
        await until(lambda: len(server.got) == 3)
    async with ends(StreamBounds(links_max=1)) as (server, client, address):
        client.port.send(FRAME, await client.links.dial(*address, tls=True))
        await until(lambda: server.got)
        with pytest.raises(RemoteError):
            await client.links.dial(*address, tls=True)
        assert server.links.counters.refused == 1
    async with ends(StreamBounds(dialled_max=1)) as (server, client, address):
        await server.links.dial(*address, tls=False)
        with pytest.raises(LocalError):
            await server.links.dial(*address, tls=False)


async def test_who_has_shown_nothing_makes_room_for_others_and_who_is_in_use_stays() -> None:
    async with ends(StreamBounds(links_max=2)) as (server, client, address):
        used: set[Address] = set()
        server.links.in_use = lambda: used
        for _link in range(2):
            client.port.send(FRAME, await client.links.dial(*address, tls=False))
            await until(lambda: server.got)
            server.got.clear()
        first, second = server.links.addresses
        used.add(first)
        client.port.send(FRAME, await client.links.dial(*address, tls=False))
        await until(lambda: server.got)
        assert first in server.links.addresses
        assert second not in server.links.addresses
        used.update(server.links.addresses)
        with pytest.raises(RemoteError):
            await client.links.dial(*address, tls=True)
        assert server.links.counters.refused == 1


async def test_who_says_nothing_or_stops_in_a_handshake_is_closed() -> None:
    async with ends(StreamBounds(first_seconds_max=0.1)) as (server, _client, address):
        for beginning in (b"", b"\x16\x03\x01\x00\xff", BINDING[:10], b"\x40\x00"):
            async with await trio.open_tcp_stream(*address) as stream:
                if beginning:
                    await stream.send_all(beginning)
                assert await received_before_end(stream) == b""
        await until(lambda: not server.links.addresses)


async def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    async with ends(StreamBounds(idle_seconds_max=0.2)) as (server, client, address):
        link = await client.links.dial(*address, tls=False)
        client.port.send(FRAME, link)
        await until(lambda: server.got)
        await until(lambda: link in client.closed)
        assert server.closed


async def test_a_reader_that_stops_loses_datagrams_and_then_its_connection() -> None:
    bounds = StreamBounds(write_seconds_max=0.2)
    async with ends(bounds) as (server, _client, address), await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(BINDING)
        await until(lambda: server.got)
        source = server.got[0][1]
        with trio.fail_after(20):
            while source not in server.closed:
                server.port.send(b"\xc0" * 2_000, source)
                await trio.lowlevel.checkpoint()
        assert server.links.counters.send_dropped > 0
        before = server.port.counters.send_dropped
        server.port.send(FRAME, source)
        assert server.port.counters.send_dropped == before + 1


@pytest.mark.parametrize("tls", [False, True])
async def test_both_sides_notice_who_closes(tls: bool) -> None:
    async with ends() as (server, client, address):
        for closer, other in ((server, client), (client, server)):
            link = await client.links.dial(*address, tls=tls)
            client.port.send(FRAME, link)
            await until(lambda: server.got)
            at = {id(client): link, id(server): server.got.pop()[1]}
            closer.links.close(at[id(closer)])
            await until(lambda other=other, at=at: at[id(other)] in other.closed)
            await until(lambda closer=closer, at=at: at[id(closer)] in closer.closed)
            assert other.links.peer_of(at[id(other)]) is None
            closer.links.close(at[id(closer)])


async def test_what_is_queued_is_sent_before_we_close() -> None:
    async with ends() as (server, client, address):
        link = await client.links.dial(*address, tls=True)
        client.port.send(FRAME, link)
        client.links.close(link)
        client.port.send(FRAME, link)
        await until(lambda: server.closed)
        assert [data for data, _source in server.got] == [FRAME]


@pytest.mark.parametrize("how", [socket.SHUT_WR, None])
async def test_a_half_closed_or_reset_connection_ends(how: int | None) -> None:
    async with ends() as (server, _client, address):
        sock = socket.create_connection(address)
        sock.sendall(BINDING)
        await until(lambda: server.got)
        if how is None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        else:
            sock.shutdown(how)
        await until(lambda: server.closed)
        sock.close()


async def test_who_cannot_be_reached_is_named() -> None:
    async with ends() as (_server, client, _address):
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match=str(closed.getsockname()[1])) as caught:
            await client.links.dial(*closed.getsockname(), tls=False)
        assert caught.value.status == 503
        closed.listen()
        with trio.move_on_after(0.05) as scope:
            await client.links.dial(*closed.getsockname(), tls=True)
        assert scope.cancelled_caught
        closed.close()
        with pytest.raises(LocalError):
            await client.links.dial("100::1", 1, tls=False)
        assert client.links.addresses == ()


async def test_nothing_works_before_it_runs_and_a_port_in_use_is_named() -> None:
    idle = End()
    with pytest.raises(LocalError):
        await idle.links.dial("127.0.0.1", 9, tls=False)
    with pytest.raises(LocalError):
        await idle.links.listen("127.0.0.1", 0)
    idle.port.close()
    async with ends() as (server, _client, address):
        with pytest.raises(OSError, match=f"port {address[1]}"):
            await server.links.listen(*address)


async def test_an_operator_may_give_a_certificate(tmp_path: Path) -> None:
    server = End()
    context = self_signed_context(1_000_000_000)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.links.run)
        address = await server.links.listen("127.0.0.1", 0, context=context)
        stream = await trio.open_tcp_stream(*address)
        secured = trio.SSLStream(stream, dialling_context(), server_hostname="relay.example")
        await secured.do_handshake()
        assert secured.selected_alpn_protocol() is None
        pem = ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True))
        await secured.aclose()
        nursery.cancel_scope.cancel()
    server.port.close()
    (tmp_path / "only a certificate.pem").write_text(pem)
    with pytest.raises(ssl.SSLError):
        listening_context(tmp_path / "only a certificate.pem")


async def test_a_receiver_of_its_own_may_fail() -> None:
    def fail(_data: bytes, _source: Address) -> None:
        raise ZeroDivisionError

    async with ends() as (server, client, _address):
        logging.getLogger("p2psip.net.port").disabled = True
        own = StreamLinks(server.port, receive=fail)
        async with trio.open_nursery() as nursery:
            await nursery.start(own.run)
            link = await client.links.dial(*await own.listen("127.0.0.1", 0), tls=False)
            client.port.send(FRAME, link)
            await until(lambda: server.port.counters.failed)
            nursery.cancel_scope.cancel()
        logging.getLogger("p2psip.net.port").disabled = False
        assert server.got == []


class StalledStream(trio.abc.Stream):
    """Takes its first bytes only after a while; remembers all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.sent = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.sleep(self._seconds)
        self._seconds = 0
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, _max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()
        return b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_old_voice_makes_room_and_old_stun_is_still_sent(autojump_clock: trio.testing.MockClock) -> None:
    stream, counters = StalledStream(QUEUED_SECONDS_MAX + 1), StreamCounters()
    link = StreamLink(stream, ("192.0.2.1", 1, "tcp"), StreamBounds(), counters)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, lambda _data, _source: None, lambda: None)
        link.send(b"\xc0first")
        await trio.testing.wait_all_tasks_blocked()
        link.send(b"\xc0old")
        link.send(BINDING)
        await trio.sleep(1.5)
        link.send(b"\xc0new")
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert stream.sent == b"".join(map(StreamFramer.frame, [b"\xc0first", BINDING, b"\xc0new"]))
    assert (counters.sent, counters.send_dropped) == (3, 1)


def test_the_queue_takes_so_many_bytes_and_not_one_more() -> None:
    async def fill() -> None:
        counters = StreamCounters()
        link = StreamLink(StalledStream(1), ("192.0.2.1", 1, "tcp"), StreamBounds(), counters)
        for _number in range(QUEUED_BYTES_MAX // 2_048):
            link.send(b"\xc0" * 2_044)
        assert counters.send_dropped == 0
        link.send(b"\xc0")
        link.send(b"\x16what no stream carries")
        assert counters.send_dropped == 2

    trio.run(fill)


@pytest.mark.parametrize(
    ("host", "source"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8::1:2:3:4", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64")],
)
def test_hosts_of_one_network_are_one_source(host: str, source: str) -> None:
    assert source_of(host) == source
