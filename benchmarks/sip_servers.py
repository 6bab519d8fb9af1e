"""The servers that sipp is let loose on: a node of ours, kamailio (a proxy and registrar in C) and sippy (a B2BUA in Python).

CPU is user and system time of the server's processes, taken from /proc.
"""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from benchmarks.sip_message import PEER_VARIABLE
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from tests.interop.programs import free_port, program
from tests.interop.sipp import SCENARIOS, injection
from tests.interop.test_sipp import register

KAMAILIO_MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules")
KAMAILIO = """
debug=0
log_stderror=yes
children=1
disable_tcp=yes
listen=udp:127.0.0.1:{port}
mpath="{modules}"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
request_route {{
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("home.example", "{password}", "0")) {{
            www_challenge("home.example", "0");
            exit;
        }}
        save("location");
        exit;
    }}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""
SETTINGS = "[sip]\ntrust_registered_flows = true\n"
TRUNK = """
[[trunk]]
name = "provider"
server = "sip:127.0.0.1:{port}"
domain = "127.0.0.1"
user = "bench"
register = false
health_seconds = 0
calls_max = 1000
calls_per_minute_max = 1000
[dial_plan]
country = "DE"
trunks = ["provider"]
"""

Cpu = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: where it listens, the CPU seconds that it has used, its processes, and two accounts."""

    address: tuple[str, int]
    cpu: Cpu
    pid: int
    desk: PhoneAccount
    kitchen: PhoneAccount


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run of sipp."""

    succeeded: int
    failed: int
    words: str

    @property
    def share_failed(self) -> float:
        """From 0 to 1."""
        return self.failed / max(self.succeeded + self.failed, 1)


def sippy_is_there() -> bool:
    """Whether an interpreter with sippy is named in the environment."""
    return bool(os.environ.get(PEER_VARIABLE))


def kamailio_is_there() -> bool:
    """Whether kamailio is installed."""
    return shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


@asynccontextmanager
async def node(folder: Path, *, provider: int | None = None) -> AsyncIterator[Server]:
    """A node of ours, in an overlay with its bootstrap server; with a trunk to a provider at that port of loopback."""
    network = LocalNetwork(folder)
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        settings = SETTINGS if provider is None else SETTINGS + TRUNK.format(port=provider)
        (home / "p2psip.toml").write_text(settings)
        started: NodeProcess = await network.up(home)
        desk, kitchen = await network.add_phone(started, "desk"), await network.add_phone(started, "kitchen")
        yield Server(desk.server, cpu_of(started.process.pid), started.process.pid, desk, kitchen)
    finally:
        await network.close()


@asynccontextmanager
async def sippy(folder: Path, callee: int) -> AsyncIterator[Server]:
    """sippy's `b2bua_simple`, which sends all calls to `callee`; it has no digest and no media."""
    port = free_port()
    command = [str(Path(os.environ[PEER_VARIABLE]).parent / "b2bua_simple"), "-f", "-l", "127.0.0.1"]
    command += ["-p", str(port), "-n", f"127.0.0.1:{callee}", "-L", str(folder / "log")]
    async with _running(command, folder) as process:
        yield _foreign(port, process)


@asynccontextmanager
async def kamailio(folder: Path) -> AsyncIterator[Server]:
    """kamailio with one worker."""
    port = free_port()
    folder.mkdir()  # noqa: ASYNC240 - before anything runs
    modules = next(path for path in KAMAILIO_MODULES if os.path.isdir(path))  # noqa: ASYNC240
    configuration = folder / "kamailio.cfg"
    configuration.write_text(KAMAILIO.format(port=port, modules=modules, password="secret"))
    command = [program("kamailio"), "-f", str(configuration), "-DD", "-E", "-Y", str(folder), "-P", str(folder / "pid")]
    async with _running(command, folder) as process:
        yield _foreign(port, process)


async def registrations(folder: Path, server: Server, *, rate: int, count: int) -> Outcome:
    """REGISTER with digest (401, then 200) so often; each with a Call-ID of its own, all from one phone."""
    phone = free_port()
    fields = injection(folder, server.desk, str(phone), "300")
    scenario = ("-sf", str(SCENARIOS / "register.xml"), "-inf", str(fields), "-p", str(phone))
    return await run(folder, server.address, *scenario, rate=rate, count=count)


async def calls(
    folder: Path, server: Server, target: str, *, rate: int, count: int, port: int, milliseconds: int = 100
) -> Outcome:
    """Calls of sipp's stock uac from `port`, from INVITE to BYE."""
    arguments = ("-sn", "uac", "-s", target, "-p", str(port), "-d", str(milliseconds))
    return await run(folder, server.address, *arguments, rate=rate, count=count)


async def register_both(folder: Path, server: Server, caller: int, callee: int) -> None:
    """Register desk at port `caller` and kitchen at port `callee`."""
    await register(folder, server.desk, caller, seconds=300)
    await register(folder, server.kitchen, callee, seconds=300)


@asynccontextmanager
async def answering(folder: Path, port: int) -> AsyncIterator[None]:
    """sipp on `port` as a phone that rings for 50 ms and answers."""
    command = [program("sipp"), "-sf", str(SCENARIOS / "ringing.xml"), "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    async with _running([*command, "-l", "100000"], folder / f"callee-{port}"):
        yield


async def run(folder: Path, address: tuple[str, int], *arguments: str, rate: int, count: int) -> Outcome:
    """Run sipp to its end."""
    command = [program("sipp"), f"{address[0]}:{address[1]}", "-i", "127.0.0.1", "-nostdin"]
    command += ["-m", str(count), "-r", str(rate), "-l", str(max(10 * rate, count)), *arguments]
    done = await trio.run_process(command, cwd=folder, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    words = done.stdout.decode(errors="replace")
    succeeded, failed = (
        int(found[-1]) if (found := re.findall(rf"{what} call +\| +\d+ +\| +(\d+)", words)) else 0
        for what in ("Successful", "Failed")
    )
    return Outcome(succeeded, failed + max(count - succeeded - failed, 0), words[-1_500:])


def cpu_of(pid: int) -> Cpu:
    """A function that gives the CPU seconds of process `pid` and its children so far."""

    def seconds() -> float:
        total = 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == pid or int(fields[1]) == pid:
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    return seconds


def kilobytes_of(pid: int) -> int:
    """The memory that the process `pid` holds now (VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def _foreign(port: int, process: trio.Process) -> Server:
    address = ("127.0.0.1", port)
    desk, kitchen = (PhoneAccount(name, f"{name}@home.example", "secret", address) for name in ("desk", "kitchen"))
    return Server(address, cpu_of(process.pid), process.pid, desk, kitchen)


@asynccontextmanager
async def _running(command: Sequence[str], folder: Path) -> AsyncIterator[trio.Process]:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - before anything runs
    with (folder / "output").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        await trio.sleep(2)
        yield process
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(5):
                await process.wait()
            process.kill()
            await process.wait()
