"""The whole service on real sockets: aioice's TURN client through UDP, TCP and TLS, grants, metrics, the month's file."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from aioice import stun as oracle
from aioice.turn import create_turn_endpoint, make_integrity_key

from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from media.turn.web import REQUEST_BYTES_MAX
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.grants import Grant, TurnServer, turn_password
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from tests.media.turn.running import running

SECONDS_MAX = 20.0


class Collector(asyncio.DatagramProtocol):
    """Keeps what it receives; as an echo it sends it back."""

    def __init__(self, *, echoes: bool = False) -> None:
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.ended = asyncio.Event()
        self._echoes = echoes
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended.set()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.received.put_nowait((data, addr[:2]))
        if self._echoes and self._transport is not None:
            self._transport.sendto(b"echo of " + data, addr)


def _talk_by_aioice(grant: Grant, server: Address, transport: str, peer_host: str) -> tuple[Address, list[bytes]]:
    """Allocate, send three datagrams to an echo through a channel, and end the allocation."""

    async def talk() -> tuple[Address, list[bytes]]:
        loop = asyncio.get_running_loop()
        echo_transport, _ = await loop.create_datagram_endpoint(lambda: Collector(echoes=True), (peer_host, 0))
        echo: Address = echo_transport.get_extra_info("sockname")[:2]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        relayed, collector = await create_turn_endpoint(
            Collector,
            server_addr=server,
            username=grant.username,
            password=grant.password,
            transport="udp" if transport == "udp" else "tcp",
            ssl=context if transport == "tls" else False,
        )
        heard = []
        for number in range(3):
            relayed.sendto(b"%d" % number * number, echo)
            data, source = await asyncio.wait_for(collector.received.get(), SECONDS_MAX)
            assert source == echo
            heard.append(data)
        address: Address = relayed.get_extra_info("sockname")
        relayed.close()
        echo_transport.close()
        await asyncio.wait_for(collector.ended.wait(), SECONDS_MAX)
        return address, heard

    return asyncio.run(talk())


async def _wait_until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(SECONDS_MAX):
        while not holds():
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_aioice_sends_and_hears_through_our_relay(transport: str) -> None:
    async with running() as server:
        address, heard = await trio.to_thread.run_sync(
            _talk_by_aioice, server.grant, server.port.local[0], transport, "127.0.0.1"
        )
        assert address[0] == "127.0.0.1"
        assert heard == [b"echo of ", b"echo of 1", b"echo of 22"]
        await _wait_until(lambda: server.service.statistics()["allocations"] == 0)
        assert server.service.statistics()["packets"] == 6


async def test_a_closed_stream_ends_its_allocation() -> None:
    async with running() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port.number)
        client = Stream(stream, server.grant)
        await client.allocate()
        assert server.service.statistics()["allocations"] == 1
        assert 'allocations{transport="tcp"} 1' in server.service.metrics()
        await stream.aclose()
        await _wait_until(lambda: server.service.statistics()["allocations"] == 0)


class Stream:
    """Just enough of a TURN client over TCP, by aioice's codec."""

    def __init__(self, stream: trio.SocketStream, grant: Grant) -> None:
        self.stream, self.grant = stream, grant

    async def _ask(self, request: oracle.Message) -> oracle.Message:
        await self.stream.send_all(bytes(request))
        return oracle.parse_message(bytes(await self.stream.receive_some(2_048)))

    async def allocate(self) -> oracle.Message:
        """Two requests, as ever."""
        request = oracle.Message(oracle.Method.ALLOCATE, oracle.Class.REQUEST)
        request.attributes["REQUESTED-TRANSPORT"] = 0x11000000
        challenge = await self._ask(request)
        assert challenge.attributes["ERROR-CODE"][0] == 401
        again = oracle.Message(oracle.Method.ALLOCATE, oracle.Class.REQUEST)
        again.attributes.update(request.attributes)
        again.attributes.update({name: challenge.attributes[name] for name in ("REALM", "NONCE")})
        again.attributes["USERNAME"] = self.grant.username
        key = make_integrity_key(self.grant.username, self.grant.realm, self.grant.password)
        again.add_message_integrity(key)
        answer = await self._ask(again)
        assert answer.check_message_integrity(key)
        assert "XOR-RELAYED-ADDRESS" in answer.attributes
        return answer


async def test_a_grant_names_all_ways_to_the_server() -> None:
    async with running() as server:
        number, grant = server.port.number, server.grant
        assert grant.servers == tuple(
            TurnServer(transport, (host, number))
            for transport in ("udp", "tcp", "tls")
            for host in ("127.0.0.1", "::1")
        )
        assert grant.password == turn_password(b"secret", grant.username)
        assert grant.realm == "example.org"


async def test_the_external_address_is_announced() -> None:
    async with running(external_hosts=("198.51.100.7",)) as server:
        server.service.announce_host("198.51.100.99")
        server.service.announce_host("2001:db8::99")
        assert [each.address[0] for each in server.service.servers()][:2] == ["198.51.100.7", "2001:db8::99"]
        stream = await trio.open_tcp_stream("127.0.0.1", server.port.number)
        answer = await Stream(stream, server.grant).allocate()
        assert answer.attributes["XOR-RELAYED-ADDRESS"][0] == "198.51.100.7"
        await stream.aclose()


async def test_a_draining_server_says_so() -> None:
    async with running() as server:
        assert server.service.free == 500
        assert not server.service.is_draining
        server.service.drain()
        assert server.service.is_draining
        assert server.service.free == 0
        assert "p2psip_turn_draining 1\n" in server.service.metrics()


async def test_prometheus_scrapes_the_metrics_on_loopback() -> None:
    async with running(metrics_port=await _free_port()) as server:
        port = server.service.metrics_port
        assert port is not None
        assert "p2psip_turn_relayed_addresses_free 500" in await _get(port, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert (await _get(port, b"GET / HTTP/1.1\r\n\r\n")).startswith("HTTP/1.0 404")
        assert (await _get(port, b"x" * REQUEST_BYTES_MAX)).startswith("HTTP/1.0 404")


async def _get(port: int, request: bytes) -> str:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    answer = b""
    async with stream:
        await stream.send_all(request)
        async for part in stream:
            answer += part
    return answer.decode()


async def _free_port() -> int:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        return int(listener.socket.getsockname()[1])


async def test_the_month_is_written_at_the_end(tmp_path: Path) -> None:
    async with running(tmp_path / "month") as server:
        server.service.tables.meter.used = 4_711
        assert "p2psip_turn_month_bytes 4711" in server.service.metrics()
    async with running(tmp_path / "month") as server:
        assert server.service.statistics()["month_bytes"] == 4_711


async def test_stun_is_answered_to_anybody_and_a_strange_stream_to_nobody() -> None:
    async with running() as server:
        socket = trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM)
        await socket.bind(("::1", 0))
        request = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
        await socket.sendto(bytes(request), ("::1", server.port.number))
        with trio.fail_after(SECONDS_MAX):
            answer = oracle.parse_message((await socket.recvfrom(2_048))[0])
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == socket.getsockname()[:2]
        server.service.receive_stun(bytes(request), ("100::77", 1))
        assert server.port.counters.send_dropped == 0
        socket.close()


async def test_a_month_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path / "no such folder" / "month") as server:
        assert "cannot be written down" in caplog.text
        assert server.service.free == 500


async def test_a_taken_metrics_port_is_named() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        number = listener.socket.getsockname()[1]
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match=f"port {number} for metrics"), flatten_subgroups=True):
            async with running(metrics_port=number):
                raise AssertionError("it must not start")


@pytest.mark.parametrize("external", [("198.51.100.7",), ()])
async def test_a_wildcard_announces_the_external_address_or_one_of_this_machine(external: tuple[str, ...]) -> None:
    port = NodePort.bind(["0.0.0.0"], 0)
    settings = TurnSettings(external_hosts=external, allows_private=True)
    service = TurnService(port, Clock(), Chance.system(), settings, b"secret", "example.org")
    [server] = service.servers()
    assert server.address[1] == port.number
    assert server.address[0] == external[0] if external else server.address[0] not in ("0.0.0.0", "::")
    service.announce_host("203.0.113.77")
    assert service.servers()[0].address[0] == (external[0] if external else "203.0.113.77")
    service.plane.close()
    port.close()
