"""The servers of the TURN benchmarks, each in a process on one core: ours as a super-node runs it, and coturn."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.rtp_bridge import worker
from benchmarks.rtp_load import claim_core
from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.grants import make_grant
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

PROGRAM = shutil.which("turnserver")
SECRET, REALM, USER = b"of this benchmark", "bench.example", "ab" * 20
PORTS = (20_000, 29_999)
COTURN_PORT = 34_780
FILES = 16_384
START_SECONDS = 1.0
SETTINGS = TurnSettings(
    first_port=PORTS[0],
    last_port=PORTS[1],
    allows_private=True,
    allocations_max=8_000,
    allocations_per_user_max=8_000,
    requests_per_second_per_user_max=1e9,
    answers_per_second_per_source=1e9,
    answers_burst_per_source=1e9,
    answers_per_second_max=1e9,
    bytes_per_second_max=1e12,
    bytes_per_second_per_user_max=1e12,
    bytes_per_month_max=1e18,
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running TURN server."""

    name: str
    address: Address
    pid: int

    def cpu_seconds(self) -> float:
        """CPU time since its start, user and system, of all its threads."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text("ascii").split()[0])
        return nanoseconds / 1e9

    def memory_bytes(self) -> int:
        """What it holds of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * resource.getpagesize()


def credentials() -> tuple[str, str]:
    """User name and password, good for both servers."""
    grant = make_grant(SECRET, USER, REALM, time.time(), 3_600, ())
    return grant.username, grant.password


def version() -> str:
    """coturn's name and version."""
    assert PROGRAM is not None
    run = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    return "coturn " + run.stdout.split()[-1].strip()


@contextmanager
def run_ours(core: int) -> Iterator[Server]:
    """Our service on one core."""
    with worker(_serve, core) as control:
        address, pid = control.recv()
        yield Server("ours", address, pid)


@contextmanager
def run_coturn(core: int) -> Iterator[Server]:
    """coturn on one core, with time-limited credentials like ours."""
    assert PROGRAM is not None
    options = ["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={COTURN_PORT}"]
    options += ["--lt-cred-mech", "--use-auth-secret", f"--static-auth-secret={SECRET.decode()}", f"--realm={REALM}"]
    options += ["--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-stdout-log"]
    options += [f"--min-port={PORTS[0]}", f"--max-port={PORTS[1]}", "--log-file=/dev/null"]

    def before() -> None:
        claim_core(core)
        _allow_files()

    with TemporaryDirectory() as folder:
        command = [PROGRAM, *options, f"--pidfile={folder}/pid", f"--userdb={folder}/db"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=folder, preexec_fn=before)
        try:
            time.sleep(START_SECONDS)
            yield Server(version(), ("127.0.0.1", COTURN_PORT), process.pid)
        finally:
            process.terminate()
            process.wait(10)


def _serve(control: Connection, core: int) -> None:
    claim_core(core)
    _allow_files()
    trio.run(_serve_turn, control)


async def _serve_turn(control: Connection) -> None:
    port = NodePort.bind(["127.0.0.1"], 0)
    service = TurnService(port, Clock(), Chance.system(), SETTINGS, SECRET, REALM)
    port.route(0, 3, service.receive_stun)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        await nursery.start(port.run)
        control.send((port.local[0], os.getpid()))
        await trio.sleep_forever()


def _allow_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard) if hard >= 0 else FILES, hard))
