"""A real baresip, run without a sound card: WAV files in and out, commands and events over its ctrl_tcp module."""

import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from p2psip.app.local_network import PhoneAccount
from tests.interop.programs import free_port, program

MODULES = ("g711", "aubridge", "aufile", "sndfile", "uuid", "account", "menu", "ctrl_tcp")
MODULE_FOLDERS = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules")
MWI = "mwi"
"""Baresip 1.0 subscribes for ever, without a pause, if its account is registered before this module's first timer; so with it the
account is made later."""
EVENT_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 4.0


class Baresip:
    """One running baresip with one account."""

    def __init__(self, folder: Path, process: trio.Process, control: trio.SocketStream) -> None:
        self.folder = folder
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._control = control
        self._changed = trio.Event()

    async def command(self, name: str, parameters: str = "") -> None:
        """Send one command of baresip's menu module, for example `dial`."""
        body = json.dumps({"command": name, "params": parameters}).encode()
        await self._control.send_all(b"%d:%s," % (len(body), body))

    async def wait_for(self, kind: str, seconds: float = EVENT_SECONDS_MAX) -> dict[str, Any]:
        """The first event of `kind` since the start, waited for at most `seconds`."""
        with trio.fail_after(seconds):
            while True:
                for event in self.events:
                    if event.get("type") == kind:
                        return event
                await self._changed.wait()

    def recordings(self, direction: str) -> list[Path]:
        """The WAV files that it wrote of one direction: "dec" (heard) or "enc" (spoken)."""
        return sorted(self.folder.glob(f"dump-*-{direction}.wav"))

    async def read_events(self) -> None:
        """Read netstrings until the connection ends."""
        data = b""
        while chunk := await self._control.receive_some(65_536):
            data += chunk
            while b":" in data:
                size, _, rest = data.partition(b":")
                if len(rest) <= int(size):
                    break
                self.events.append(json.loads(rest[: int(size)]))
                data = rest[int(size) + 1 :]
                self._changed.set()
                self._changed = trio.Event()


def _new_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


@asynccontextmanager
async def baresip(
    folder: Path,
    account: PhoneAccount,
    speaks: Path,
    *,
    transport: str = "udp",
    answer: str = "auto",
    encryption: str = "",
    prefix: Sequence[str] = (),
    new_socket: Callable[[], socket.socket] = _new_socket,
    modules: Sequence[str] = (),
    parameters: str = "",
    contacts: str = "",
    settings: Sequence[str] = (),
    registers: bool = True,
) -> AsyncIterator[Baresip]:
    """Run a baresip registered as `account` that speaks the WAV file `speaks` (8 kHz). `encryption` is its `mediaenc`, such as
    "srtp-mand" or "dtls_srtp"; `modules` are loaded beside the usual ones, `parameters` (";name=value") added to the account,
    `contacts` is its list of people, `settings` are more lines of its configuration. Who does not register finds servers itself.

    In a network namespace it is started by the command `prefix`, and `new_socket` makes a TCP socket there.
    """
    folder.mkdir(parents=True)
    control_port = free_port()
    _write_configuration(folder, account, speaks, control_port, encryption, modules, settings)
    line = _account_line(account, transport, answer, encryption, parameters)
    line = line if registers else f"<sip:{account.address}>;regint=0;answermode={answer};audio_codecs=PCMU{parameters}"
    (folder / "accounts").write_text("" if MWI in modules else line)
    (folder / "contacts").write_text(contacts)
    log = (folder / "log").open("wb")
    command = [*prefix, program("baresip"), "-f", str(folder), "-s"]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        async with await _connect(control_port, new_socket) as control, trio.open_nursery() as nursery:
            phone = Baresip(folder, process, control)
            nursery.start_soon(phone.read_events)
            if MWI in modules:
                await phone.command("uanew", line)
            yield phone
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            process.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_SECONDS_MAX):
                await process.wait()
            process.kill()
            await process.wait()
            log.close()


async def _connect(port: int, new_socket: Callable[[], socket.socket]) -> trio.SocketStream:
    with trio.fail_after(EVENT_SECONDS_MAX):
        while True:
            sock = trio.socket.from_stdlib_socket(new_socket())
            try:
                await sock.connect(("127.0.0.1", port))
                return trio.SocketStream(sock)
            except OSError:
                sock.close()
                await trio.sleep(0.05)


def _write_configuration(
    folder: Path,
    account: PhoneAccount,
    speaks: Path,
    control_port: int,
    encryption: str,
    more: Sequence[str],
    settings: Sequence[str],
) -> None:
    modules = next(path for path in MODULE_FOLDERS if Path(path).is_dir())
    encrypts = () if not encryption else ("dtls_srtp",) if encryption == "dtls_srtp" else ("srtp",)
    local = "[::1]" if ":" in account.server[0] else "127.0.0.1"
    lines = [
        "poll_method epoll",
        f"net_interface {local.strip('[]')}",
        f"sip_listen {local}:{free_port()}",
        f"audio_source aufile,{speaks}",
        "audio_player aubridge,player",
        "audio_alert aubridge,alert",
        f"snd_path {folder}",
        f"ctrl_tcp_listen 127.0.0.1:{control_port}",
        f"module_path {modules}",
        *(f"module {name}.so" for name in (*encrypts, *MODULES, *more)),
        *settings,
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")


def _account_line(account: PhoneAccount, transport: str, answer: str, encryption: str, parameters: str) -> str:
    host, port = account.server
    host = f"[{host}]" if ":" in host else host
    encrypted = f";mediaenc={encryption}" if encryption else ""
    return (
        f"<sip:{account.address};transport={transport}>;auth_user={account.name};auth_pass={account.password}"
        f';outbound="sip:{host}:{port};transport={transport}";regint=60;answermode={answer};audio_codecs=PCMU'
        f"{parameters}{encrypted}"
    )
