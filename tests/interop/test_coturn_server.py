"""An operator may announce a coturn in the place of our relay: it takes the grants that we make for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2psip.base.grants import Grant, TurnServer, make_grant
from p2psip.net.clock import Clock
from tests.interop.programs import free_port, program

pytestmark = pytest.mark.interop

SECRET, REALM = "the operator's secret", "example.org"
SECONDS_MAX = 30.0


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[int]:
    """A coturn on loopback that knows nobody but whoever SECRET's owner grants; its port."""
    port = free_port()
    command = [program("turnserver"), "-n", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"]
    command += ["--listening-port", str(port), "--realm", REALM, "--use-auth-secret", "--static-auth-secret", SECRET]
    command += ["--allow-loopback-peers", "--no-tls", "--no-dtls", "--no-cli", "--log-file", str(folder / "log")]
    command += ["--simple-log", "--pidfile", str(folder / "pid"), "--userdb", str(folder / "users")]
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await trio.run_process(command, cwd=folder, capture_stdout=True, capture_stderr=True, check=False)

        nursery.start_soon(run)
        with trio.fail_after(SECONDS_MAX):
            await _wait_listening(port)
        yield port
        nursery.cancel_scope.cancel()


async def _wait_listening(port: int) -> None:
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.05)
            continue
        return await stream.aclose()


async def _talk(port: int, grant: Grant) -> str:
    command = [program("turnutils_uclient"), "-u", grant.username, "-w", grant.password]
    command += ["-p", str(port), "-y", "-c", "-n", "10", "127.0.0.1"]
    with trio.fail_after(SECONDS_MAX):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return (done.stdout + done.stderr).decode()


async def test_coturn_takes_our_grants_and_no_expired_or_foreign_ones(tmp_path: Path) -> None:
    unix = Clock().unix()
    async with coturn(tmp_path) as port:
        servers = (TurnServer("udp", ("127.0.0.1", port)),)
        good = make_grant(SECRET.encode(), "ab" * 20, REALM, unix, 600, servers)
        assert "Total lost packets 0 " in await _talk(port, good)
        expired = make_grant(SECRET.encode(), "ab" * 20, REALM, unix - 700, 600, servers)
        foreign = make_grant(b"another secret", "ab" * 20, REALM, unix, 600, servers)
        for bad in (expired, foreign):
            output = await _talk(port, bad)
            assert "Cannot complete Allocation" in output
            assert "Total lost packets" not in output
