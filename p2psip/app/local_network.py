"""A small overlay on this machine: real `p2psip` processes on loopback, for the demo and for the tests.

Every process is started with the same command line that a person types; each owns a folder and is ended by its id.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import trio

from p2psip.base.errors import P2psipError

OVERLAY = "home.example"
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0


class ProcessFailed(P2psipError):
    """A process ended, or did not become ready; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """What a person types into a phone."""

    name: str
    address: str
    password: str
    server: tuple[str, int]


class NodeProcess:
    """One running `p2psip` process and the folder it lives in."""

    def __init__(self, name: str, home: Path, process: trio.Process, ready: dict[str, Any]) -> None:
        self.name = name
        self.home = home
        self.process = process
        self.ready = ready

    @property
    def sip(self) -> tuple[str, int]:
        """Where phones register."""
        host, port = self.ready["sip"]
        return host, port

    @property
    def overlay_port(self) -> int:
        """The node's one UDP port."""
        return int(self.ready["overlay_port"])

    async def kill(self) -> None:
        """kill -9, as a power cut would; returns when the process is gone."""
        self.process.kill()
        await self._reap()

    async def stop(self) -> int:
        """SIGTERM, and wait for a proper end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS_MAX):
            return await self._reap()
        self.process.kill()
        return await self._reap()

    async def _reap(self) -> int:
        code = await self.process.wait()
        if self.process.stdout is not None:
            await self.process.stdout.aclose()
        return code


class LocalNetwork:
    """Starts a bootstrap server and nodes below `folder`; `close` ends what still runs."""

    def __init__(self, folder: Path, *, overlay: str = OVERLAY, log_level: str = "info") -> None:
        self.folder = folder
        self.overlay = overlay
        self.nodes: list[NodeProcess] = []
        self._log_level = log_level

    async def start_bootstrap(self, *, port: int = 0) -> NodeProcess:
        """`p2psip bootstrap`: the overlay is made on its first start."""
        arguments = [self.overlay, "--host", "127.0.0.1", "--port", str(port)]
        return await self.start("bootstrap", self.folder / "bootstrap", ["bootstrap", *arguments])

    async def invite(self) -> str:
        """A fresh invite link with a one-time token."""
        answer = await self.command(self.folder / "bootstrap", "invite")
        return str(answer["link"])

    async def join(self, name: str, *extra: str) -> Path:
        """`p2psip join` with a fresh invite, in a new folder."""
        home = self.folder / name
        await self.command(home, "join", await self.invite(), "--name", name, *extra)
        return home

    async def up(self, home: Path, *extra: str) -> NodeProcess:
        """`p2psip up` on free ports of loopback."""
        ports = ["--overlay-host", "127.0.0.1", "--sip-host", "127.0.0.1", "--sip-port", "0"]
        return await self.start(home.name, home, ["up", *ports, *extra])

    async def add_phone(self, node: NodeProcess, name: str | None = None) -> PhoneAccount:
        """`p2psip phone add` for a running node."""
        answer = await self.command(node.home, "phone", "add", *([name] if name else []))
        return PhoneAccount(answer["name"], answer["address"], answer["password"], node.sip)

    async def command(self, home: Path, *arguments: str) -> Any:
        """Run one command with `--json` to its end; its JSON answer, or ProcessFailed with its words."""
        command = [*self.program(home), "--json", *arguments]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise ProcessFailed(f"`p2psip {' '.join(arguments)}` ended with {done.returncode}: {words}")
        return json.loads(done.stdout)

    async def close(self) -> None:
        """Stop every process that still runs, newest first."""
        with trio.CancelScope(shield=True):
            for node in reversed(self.nodes):
                await node.stop()

    def program(self, home: Path) -> list[str]:
        """How `p2psip` is started for a folder; a network that is spread over several hosts starts it elsewhere."""
        return [sys.executable, "-m", "p2psip.app", "--home", str(home)]

    async def start(self, name: str, home: Path, arguments: Sequence[str]) -> NodeProcess:
        """Start a `p2psip` that serves, and wait until it says that it is ready; ProcessFailed with the end of its log."""
        command = [*self.program(home), "--json", "--log-level", self._log_level, *arguments]
        with _open_log(home) as log:
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=log)
        line = b""
        try:
            with trio.move_on_after(READY_SECONDS_MAX):
                line = await _first_line(process)
        finally:
            if not line:  # too late, failed or cancelled: it must not stay behind
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
        if not line:
            raise ProcessFailed(f"`p2psip {arguments[0]}` of {name} did not become ready: {_end_of_log(home)}")
        node = NodeProcess(name, home, process, json.loads(line))
        self.nodes.append(node)
        return node


def _open_log(home: Path) -> IO[bytes]:
    home.mkdir(parents=True, exist_ok=True)
    return (home / "log").open("ab")


def _end_of_log(home: Path) -> str:
    return " / ".join((home / "log").read_text(errors="replace").strip().splitlines()[-5:])


async def _first_line(process: trio.Process) -> bytes:
    assert process.stdout is not None
    data = b""
    while b"\n" not in data:
        chunk = await process.stdout.receive_some(65_536)
        if not chunk:
            return b""
        data += chunk
    return data.partition(b"\n")[0]
