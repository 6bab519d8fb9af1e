"""Our TURN client asks coturn for relayed addresses of both families in one allocation (RFC 8656 §7), and is content with one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import pytest
import trio

from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.grants import make_grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from tests.interop.programs import free_port, program
from tests.media.turn.running import running

pytestmark = pytest.mark.interop

IPV4, IPV6 = "127.0.0.1", "::1"
SECRET, REALM = "a secret", "example.org"
SECONDS_MAX = 20.0


@asynccontextmanager
async def coturn(folder: Path, relay_hosts: Sequence[str]) -> AsyncIterator[int]:
    """A turnserver that listens at both loopback addresses and relays at these; its port."""
    port = free_port()
    command = [program("turnserver"), "-n", "--listening-ip", IPV4, "--listening-ip", IPV6]
    command += [word for host in relay_hosts for word in ("--relay-ip", host)]
    command += ["--listening-port", str(port), "--use-auth-secret", "--static-auth-secret", SECRET, "--realm", REALM]
    command += ["--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers", "--simple-log"]
    command += ["--log-file", str(folder / "log"), "--pidfile", str(folder / "pid"), "--userdb", str(folder / "users")]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=DEVNULL, stderr=DEVNULL, check=False)
        process = await nursery.start(run)
        with trio.fail_after(SECONDS_MAX):
            for host in (IPV4, IPV6):
                await _wait_listening(host, port)
        yield port
        process.kill()


async def _wait_listening(host: str, port: int) -> None:
    while True:
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            await trio.sleep(0.05)
            continue
        return await stream.aclose()


async def allocate(server: Address, username: str, password: str, realm: str, *, is_stream: bool) -> list[int]:
    """The families of the relayed addresses that a server gives."""
    grant = make_grant(SECRET.encode(), "ab" * 20, realm, Clock().unix(), 3_600, ())
    grant = type(grant)(username, password, realm, grant.expires, ())
    ready = trio.Event()
    async with trio.open_nursery() as nursery:
        port = NodePort.bind([IPV4, IPV6], 0)
        links = StreamLinks(port)
        media = MediaService(
            port=port, clock=Clock(), chance=Chance.system(), phone_host=IPV4, rtp_ports=(30_020, 30_030)
        )
        for run in (port.run, media.run, links.run):
            await nursery.start(run)
        media.on_relay(lambda _number, _state: ready.set())
        to = await links.dial(*server, tls=False) if is_stream else server
        media.add_relay(to, grant, name="server", is_stream=is_stream)
        with trio.fail_after(SECONDS_MAX):
            await ready.wait()
        (relay,) = media.relays()
        assert relay["state"] == "ready", relay["reason"]
        assert len([each for each in media.candidates() if each.type == "relay"]) == len(relay["families"])
        nursery.cancel_scope.cancel()
    return list(relay["families"])


WAYS = [(IPV4, False), (IPV6, False), (IPV4, True), (IPV6, True)]


@pytest.mark.parametrize(("host", "is_stream"), WAYS)
async def test_coturn_gives_both_families_however_it_is_reached(tmp_path: Path, host: str, is_stream: bool) -> None:
    async with coturn(tmp_path, (IPV4, IPV6)) as port:
        grant = make_grant(SECRET.encode(), "ab" * 20, REALM, Clock().unix(), 3_600, ())
        found = await allocate((host, port), grant.username, grant.password, REALM, is_stream=is_stream)
        assert found == [4, 6]


@pytest.mark.parametrize(("host", "is_stream"), WAYS)
async def test_a_coturn_with_ipv4_relays_only_gives_those(tmp_path: Path, host: str, is_stream: bool) -> None:
    async with coturn(tmp_path, (IPV4,)) as port:
        grant = make_grant(SECRET.encode(), "ab" * 20, REALM, Clock().unix(), 3_600, ())
        found = await allocate((host, port), grant.username, grant.password, REALM, is_stream=is_stream)
        assert found == [4]


@pytest.mark.parametrize("host", [IPV4, IPV6])
@pytest.mark.parametrize("families", [(4, 6), (4,), (6,)])
async def test_our_server_gives_what_it_has(host: str, families: tuple[int, ...]) -> None:
    async with running(families=families) as ours:
        grant = ours.grant
        to = host, ours.port.number
        assert await allocate(to, grant.username, grant.password, grant.realm, is_stream=False) == list(families)
