"""Real coturn servers at public hosts of a laboratory, in the place of our own relays."""

import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from p2psip.app.local_network import OVERLAY
from p2psip.base.self_signed import as_pem, self_signed
from p2psip.net.clock import Clock
from tests.interop.programs import program
from tests.nat.lab import Lab, Site

SECRET = "what the operator told nobody"
PORT, TLS_PORT = 3_478, 443
LISTENING_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Coturn:
    """A coturn that runs at a site, and what it has written."""

    site: Site
    process: trio.Process
    log: Path

    @property
    def sent(self) -> int:
        """How many datagrams have gone from its host (the kernel counts): nothing else speaks UDP there."""
        lines = self.site.run(Path("/proc/thread-self/net/snmp").read_text).splitlines()
        names, values = (line.split() for line in lines if line.startswith("Udp:"))
        return int(values[names.index("OutDatagrams")])

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.process.wait()


def volunteer_settings(lab: Lab, host: str) -> str:
    """`[relay]` of a super-node that announces the coturn at a public host."""
    return (
        f'[relay]\nvolunteer = true\ncoturn_host = "{lab[host].ipv4}"\ncoturn_port = {PORT}\n'
        f'coturn_tls_port = {TLS_PORT}\ncoturn_secret = "{SECRET}"\n'
    )


@asynccontextmanager
async def coturn(folder: Path, site: Site) -> AsyncIterator[Coturn]:
    """A coturn by UDP and TCP, and by TLS where firewalls let it pass, until the block ends."""
    folder.mkdir()
    pem = folder / "certificate-and-key.pem"
    pem.write_bytes(as_pem(*self_signed("localhost", Clock().unix(), 1)))
    log = folder / "log"
    command = [*site.prefix, program("turnserver"), "-n", "--listening-ip", site.ipv4, "--relay-ip", site.ipv4]
    command += ["--listening-port", str(PORT), "--tls-listening-port", str(TLS_PORT), "--realm", OVERLAY]
    command += ["--use-auth-secret", "--static-auth-secret", SECRET, "--cert", str(pem), "--pkey", str(pem)]
    command += ["--no-cli", "--no-dtls", "--verbose", "--simple-log", "--log-file", str(log)]
    command += ["--pidfile", str(folder / "pid"), "--userdb", str(folder / "users")]
    process = await trio.lowlevel.open_process(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _wait_listening(site)
        yield Coturn(site, process, log)
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def _wait_listening(site: Site) -> None:
    with trio.fail_after(LISTENING_SECONDS_MAX):
        for port in (PORT, TLS_PORT):
            while True:
                if await trio.to_thread.run_sync(site.run, partial(_listens, site.ipv4, port)):
                    break
                await trio.sleep(0.05)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
