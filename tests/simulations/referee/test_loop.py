"""Programs written for asyncio on virtual time: they wait without waiting, and talk through the simulated network."""

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from kademlia.network import Server

from p2psip.base.chance import Chance
from simulations.network.plain import PlainNetwork
from simulations.referee.loop import StandstillError, VirtualLoop

label: ContextVar[str] = ContextVar("label", default="none")


class Echo(asyncio.DatagramProtocol):
    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.heard: list[tuple[float, bytes, str]] = []
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append((asyncio.get_running_loop().time(), data, label.get()))
        if self.answers:
            self.transport.sendto(b"re: " + data, addr)


@pytest.fixture
def sent() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def loop(sent: list[tuple[str, bytes]]) -> Iterator[VirtualLoop]:
    chance = Chance.seeded(1)
    made = VirtualLoop(PlainNetwork(chance), chance, sent=lambda data: sent.append((label.get(), data)))
    yield made
    made.close()


async def two(loop: VirtualLoop) -> tuple[Echo, Echo]:
    one, other = Echo(answers=False), Echo(answers=True)
    await loop.create_datagram_endpoint(lambda: one)
    await loop.create_datagram_endpoint(lambda: other)
    return one, other


def test_hours_pass_at_once(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(7_200))
    assert loop.time() == pytest.approx(7_200)


def test_a_datagram_takes_the_latency_of_the_network_and_carries_the_context_of_its_sender(
    loop: VirtualLoop, sent: list[tuple[str, bytes]]
) -> None:
    async def talk() -> Echo:
        one, other = await two(loop)
        label.set("asked by one")
        one.transport.sendto(b"hello", other.transport.get_extra_info("sockname"))
        await asyncio.sleep(1)
        assert [heard for _, *heard in other.heard] == [[b"hello", "asked by one"]]
        return one

    one = loop.run_until_complete(loop.create_task(talk()))
    assert one.heard == [(pytest.approx(0.08), b"re: hello", "asked by one")]
    assert sent == [("asked by one", b"hello"), ("asked by one", b"re: hello")]
    assert (loop.traffic.datagrams, loop.traffic.bytes) == (2, 14)


def test_who_has_closed_neither_hears_nor_speaks(loop: VirtualLoop) -> None:
    async def talk() -> tuple[Echo, Echo]:
        one, other = await two(loop)
        one.transport.sendto(b"hello", other.transport.get_extra_info("sockname"))
        other.transport.close()
        other.transport.abort()
        other.transport.sendto(b"from the dead", one.transport.get_extra_info("sockname"))
        await asyncio.sleep(1)
        return one, other

    one, other = loop.run_until_complete(talk())
    assert (one.heard, other.heard) == ([], [])
    assert other.is_lost
    assert other.transport.is_closing()
    assert not one.transport.is_closing()


def test_a_program_that_would_wait_for_ever_is_an_error(loop: VirtualLoop) -> None:
    async def wait() -> None:
        await loop.create_future()

    task = loop.create_task(wait())
    with pytest.raises(StandstillError):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


NODES = 24
KEYS = 12


async def play(count: list[int]) -> list[int]:
    """A few servers store and get; the requests of each get, told by what `count` grew."""
    chance = Chance.seeded(3)
    servers: list[Any] = []
    for _ in range(NODES):
        server = Server(node_id=chance.bytes(20))
        await server.listen(0, interface="127.0.0.1")
        if servers:
            await server.bootstrap([servers[0].transport.get_extra_info("sockname")])
        servers.append(server)
    spent = []
    for number in range(KEYS):
        assert await servers[number].set(f"key {number}", "value")
    for number in range(KEYS):
        before = count[0]
        assert await servers[-number - 1].get(f"absent {number}") is None
        spent.append(count[0] - before)
        assert await servers[-number - 1].get(f"key {number}") == "value"
    for server in servers:
        server.stop()
    await asyncio.sleep(0)
    return spent


def test_kademlia_sends_as_much_as_on_real_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, count = Chance.seeded(1), [0]

    def note(_data: bytes) -> None:
        count[0] += 1

    virtual = VirtualLoop(PlainNetwork(chance), chance, sent=note)
    simulated = virtual.run_until_complete(play(count))
    virtual.close()

    def connected(self: Any, transport: Any) -> None:
        send = transport.sendto
        self.transport = transport
        monkeypatch.setattr(transport, "sendto", lambda data, addr: (note(data), send(data, addr)))

    monkeypatch.setattr("kademlia.protocol.KademliaProtocol.connection_made", connected)
    real = asyncio.run(play(count))
    assert sum(real) == pytest.approx(sum(simulated), rel=0.05)
