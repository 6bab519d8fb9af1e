"""SIP through one node: CPU of a REGISTER with digest and of a call between two of its own phones, media bridged.

sipp plays both phones with its stock scenarios. Beside the node: sippy's `b2bua_simple` (a back-to-back user agent in Python,
in the environment of P2PSIP_BENCH_SIPPY_PYTHON; no media, no digest) and kamailio (a proxy in C; no media). CPU is user and
system time of the server's processes, taken from /proc.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from benchmarks.sip_message import PEER_VARIABLE
from p2psip.app.local_network import LocalNetwork, PhoneAccount
from tests.interop.programs import free_port, program
from tests.interop.sipp import SCENARIOS, injection, run_sipp
from tests.interop.test_sipp import answering, register

REGISTRATIONS = 1_000
CALLS = 400
CALLS_PER_SECOND = 40
REGISTRATIONS_PER_SECOND = 200
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

Cpu = Callable[[], float]


def measure() -> list[dict[str, Any]]:
    """Rows of the table: CPU microseconds for one REGISTER and for one call."""
    if shutil.which("sipp") is None:
        print("sipp is not installed (`make peers` as root): nothing can be measured", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        ours = trio.run(_node, Path(folder) / "node")
        sippy = trio.run(_sippy, Path(folder) / "sippy") if os.environ.get(PEER_VARIABLE) else {}
        kamailio = trio.run(_kamailio, Path(folder) / "kamailio") if _kamailio_is_there() else {}
    if not sippy:
        print(f"sippy is left out: set {PEER_VARIABLE} to a Python that has it", file=sys.stderr)
    if not kamailio:
        print("kamailio is left out: it is not installed (`make peers` as root)", file=sys.stderr)
    return [
        _row("REGISTER with digest, both round trips", ours, "register", "kamailio", kamailio, ""),
        _row("call, INVITE to BYE, media bridged", ours, "call", "sippy b2bua_simple", sippy, "ratio <= 0.5"),
        _row("call, INVITE to BYE, media bridged", ours, "call", "kamailio", kamailio, ""),
    ]


def _row(name: str, ours: dict[str, float], key: str, peer: str, theirs: dict[str, float], goal: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": ours[key], "unit": "µs CPU", "peer": peer, "goal": goal}
    if theirs:
        row["peer_value"], row["ratio"] = theirs[key], ours[key] / theirs[key]
    return row


async def _node(folder: Path) -> dict[str, float]:
    network = LocalNetwork(folder)
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        (home / "p2psip.toml").write_text("[sip]\ntrust_registered_flows = true\n")
        node = await network.up(home)
        desk, kitchen = await network.add_phone(node, "desk"), await network.add_phone(node, "kitchen")
        return await _register_and_call(folder, desk, kitchen, cpu_of(node.process.pid))
    finally:
        await network.close()


async def _sippy(folder: Path) -> dict[str, float]:
    port, callee = free_port(), free_port()
    folder.mkdir()  # noqa: ASYNC240 - before anything runs
    command = [str(Path(os.environ[PEER_VARIABLE]).parent / "b2bua_simple"), "-f", "-l", "127.0.0.1"]
    command += ["-p", str(port), "-n", f"127.0.0.1:{callee}", "-L", str(folder / "log")]
    async with _running(command, folder) as process, answering(folder, callee):
        await trio.sleep(2)
        return {"call": await _calls(folder, ("127.0.0.1", port), "kitchen", free_port(), cpu_of(process.pid))}


async def _kamailio(folder: Path) -> dict[str, float]:
    port = free_port()
    folder.mkdir()  # noqa: ASYNC240 - before anything runs
    modules = next(path for path in KAMAILIO_MODULES if os.path.isdir(path))  # noqa: ASYNC240
    configuration = folder / "kamailio.cfg"
    configuration.write_text(KAMAILIO.format(port=port, modules=modules, password="secret"))
    command = [program("kamailio"), "-f", str(configuration), "-DD", "-E", "-Y", str(folder), "-P", str(folder / "pid")]
    async with _running(command, folder) as process:
        await trio.sleep(2)
        server = ("127.0.0.1", port)
        desk, kitchen = (PhoneAccount(name, f"{name}@home.example", "secret", server) for name in ("desk", "kitchen"))
        return await _register_and_call(folder, desk, kitchen, cpu_of(process.pid))


async def _register_and_call(folder: Path, desk: PhoneAccount, kitchen: PhoneAccount, cpu: Cpu) -> dict[str, float]:
    caller, callee = free_port(), free_port()
    fields = injection(folder, desk, str(caller), "300")
    begun = cpu()
    scenario = ("-sf", str(SCENARIOS / "register.xml"), "-inf", str(fields), "-p", str(caller))
    await run_sipp(folder, desk.server, *scenario, "-r", str(REGISTRATIONS_PER_SECOND), calls=REGISTRATIONS)
    found = {"register": (cpu() - begun) / REGISTRATIONS * 1e6}
    await register(folder, kitchen, callee, seconds=300)
    async with answering(folder, callee):
        found["call"] = await _calls(folder, desk.server, "kitchen", caller, cpu)
    return found


async def _calls(folder: Path, server: tuple[str, int], target: str, port: int, cpu: Cpu) -> float:
    """CPU microseconds for each of CALLS calls; half as many come before, to warm everything up.

    A call that sipp counts as failed is allowed once in a hundred: sippy sometimes sends a 180 after its 200.
    """
    arguments = ("-sn", "uac", "-s", target, "-p", str(port), "-r", str(CALLS_PER_SECOND), "-d", "100")
    await _place(folder, server, arguments, CALLS // 2)
    begun = cpu()
    await _place(folder, server, arguments, CALLS)
    await trio.sleep(1)
    return (cpu() - begun) / CALLS * 1e6


async def _place(folder: Path, server: tuple[str, int], arguments: Sequence[str], calls: int) -> None:
    command = [program("sipp"), f"{server[0]}:{server[1]}", "-i", "127.0.0.1", "-m", str(calls), "-nostdin", *arguments]
    done = await trio.run_process(command, cwd=folder, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    found = re.findall(rb"Successful call +\| +\d+ +\| +(\d+)", done.stdout)
    if not found or int(found[-1]) < 0.99 * calls:
        raise SystemExit(f"sipp's calls failed: {done.stdout.decode(errors='replace')[-1500:]}")


@asynccontextmanager
async def _running(command: list[str], folder: Path) -> AsyncIterator[trio.Process]:
    with (folder / "output").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(5):
                await process.wait()
            process.kill()
            await process.wait()


def _kamailio_is_there() -> bool:
    return shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


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
