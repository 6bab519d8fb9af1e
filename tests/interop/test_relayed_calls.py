"""Whole calls through real TURN servers, ours and coturn: media with nothing but relays between two nodes, and relays that die."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest
import trio

from media.overlay_leg import OverlayLeg
from media.rtp import RtpPacket
from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.grants import Grant, make_grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from tests.interop.programs import free_port, program
from tests.media.turn.running import running

pytestmark = pytest.mark.interop

LOCAL = "127.0.0.1"
SECRET, REALM = b"a secret", "example.org"
SECONDS_MAX = 20.0


@dataclass
class Server:
    """A TURN server for the nodes."""

    address: Address
    grant: Grant
    stop: Any


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[Server]:
    """A turnserver process."""
    port = free_port()
    command = [program("turnserver"), "-n", "--listening-ip", LOCAL, "--relay-ip", LOCAL, "--listening-port", str(port)]
    command += ["--use-auth-secret", "--static-auth-secret", SECRET.decode(), "--realm", REALM, "--no-cli"]
    command += ["--allow-loopback-peers", "--no-tls", "--no-dtls", "--pidfile", str(folder / f"{port}.pid")]
    command += ["--log-file", str(folder / f"{port}.log"), "--simple-log"]
    grant = make_grant(SECRET, "ab" * 20, REALM, Clock().unix(), 3_600, ())
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(trio.run_process, command, stdout=DEVNULL, stderr=DEVNULL, check=False))
        with trio.fail_after(SECONDS_MAX):
            while True:
                try:
                    await (await trio.open_tcp_stream(LOCAL, port)).aclose()
                    break
                except OSError:
                    await trio.sleep(0.05)
        yield Server((LOCAL, port), grant, process.kill)
        process.kill()


@asynccontextmanager
async def ours(_folder: Path) -> AsyncIterator[Server]:
    """Our own server in this process."""
    async with running() as server:

        def stop() -> None:
            server.port.send = lambda _data, _to: None  # type: ignore[method-assign]
            server.service.receive_stun = lambda _data, _from: None  # type: ignore[method-assign]
            server.port.close()

        yield Server((LOCAL, server.port.number), server.grant, stop)


SERVERS = {"coturn": coturn, "ours": ours}


@dataclass
class Node:
    """A node's media; it reaches relay servers only."""

    port: NodePort
    media: MediaService
    links: StreamLinks
    allowed: set[Address] = field(default_factory=set)
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    ready: trio.Event = field(default_factory=trio.Event)

    def note_relay(self, _number: int, _state: str) -> None:
        """All relays are ready?"""
        if all(each["state"] == "ready" for each in self.media.relays()):
            self.ready.set()


@asynccontextmanager
async def nodes(servers: list[Server], transport: str = "udp") -> AsyncIterator[list[Node]]:
    """Two nodes with an allocation at every server."""
    async with trio.open_nursery() as nursery:
        found = []
        for _ in range(2):
            port = NodePort.bind([LOCAL], 0)
            links = StreamLinks(port)
            media = MediaService(
                port=port, clock=Clock(), chance=Chance.system(), phone_host=LOCAL, rtp_ports=(30_000, 30_010)
            )
            node = Node(port, media, links)
            send, allowed = port.send, node.allowed

            def fenced(data: bytes, to: Address, send: Any = send, allowed: set[Address] = allowed) -> None:
                if to in allowed:
                    send(data, to)

            port.send = fenced  # type: ignore[method-assign]
            for run in (port.run, media.run, links.run):
                await nursery.start(run)
            media.on_relay(node.note_relay)
            for index, server in enumerate(servers):
                to = server.address
                if transport != "udp":
                    to = await links.dial(*server.address, tls=transport == "tls")
                node.allowed.add(to)
                media.add_relay(to, server.grant, name=f"server {index}", is_stream=transport != "udp")
            found.append(node)
        with trio.fail_after(SECONDS_MAX):
            for node in found:
                await node.ready.wait()
        yield found
        nursery.cancel_scope.cancel()


async def connect(one: Node, other: Node) -> list[OverlayLeg]:
    """A path between two nodes."""
    legs = [one.media.overlay_leg(offerer=True), other.media.overlay_leg(offerer=False)]
    for node, leg in zip((one, other), legs, strict=True):
        leg.connect(lambda packet, node=node: node.heard.append((trio.current_time(), packet)))  # type: ignore[misc]
    legs[1].set_remote(legs[0].description)
    legs[0].set_remote(legs[1].description)
    with trio.fail_after(SECONDS_MAX):
        for leg in legs:
            await leg.wait_connected()
    return legs


async def talk(legs: list[OverlayLeg], seconds: float, first: int = 0) -> int:
    """Both ends send; gives how many packets each."""
    number, end = first, trio.current_time() + seconds
    while trio.current_time() < end:
        for leg in legs:
            leg.send(RtpPacket(0, False, number, 160 * number, 7, bytes(160)).to_bytes())
        number += 1
        await trio.sleep(0.02)
    await trio.sleep(0.05)
    return number - first


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("kind", list(SERVERS))
async def test_media_passes_with_nothing_but_relays(kind: str, transport: str, tmp_path: Path) -> None:
    if kind == "coturn" and transport == "tls":
        transport = "tcp"  # it runs without TLS here
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(SERVERS[kind](tmp_path)) for _ in range(2)]
        one, other = await stack.enter_async_context(nodes(servers, transport))
        legs = await connect(one, other)
        count = await talk(legs, 2.5)
        for leg, node in zip(legs, (one, other), strict=True):
            facts = leg.path()
            assert facts["kind"] == "relayed"
            assert facts["local"] == "relay"
            assert facts["transport"] == ("udp" if transport == "udp" else "stream")
            assert facts["via"][0].startswith("server ")
            assert len(node.heard) >= count - 3  # a packet may be lost when the way is changed for a better one
        for leg in legs:
            leg.close()
        assert one.media.statistics()["overlay_legs"] == 0


@pytest.mark.parametrize("kind", list(SERVERS))
async def test_a_relay_that_is_killed_in_a_call_is_left_within_two_seconds(kind: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(SERVERS[kind](tmp_path)) for _ in range(2)]
        one, other = await stack.enter_async_context(nodes(servers))
        legs = await connect(one, other)
        sent = await talk(legs, 4.0)
        used = {each.path()["via"][0] for each in legs}
        servers[int(used.pop()[-1])].stop()
        killed = trio.current_time()
        await talk(legs, 4.0, sent)
        for node in (one, other):
            times = [killed, *(when for when, _ in node.heard if when > killed)]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert len(times) > 50
            assert max(gaps) < 2.0
        for leg in legs:
            leg.close()
