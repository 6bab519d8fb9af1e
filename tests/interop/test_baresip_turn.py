"""Two real baresips that send their media through our TURN server only."""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from media.tones import tone
from media.wav import write_wav
from p2psip.base.grants import Grant
from tests.interop.baresip import MODULE_FOLDERS
from tests.interop.programs import free_port, program
from tests.media.turn.running import Running, running

pytestmark = pytest.mark.interop

MODULES = ("g711", "aubridge", "aufile", "uuid", "turn", "account", "menu", "ctrl_tcp")
SECONDS_MAX = 30.0
PACKETS_WANTED = 500


def _write(folder: Path, name: str, sip_port: int, control_port: int, server: int, grant: Grant) -> None:
    folder.mkdir()
    write_wav(folder / "tone.wav", tone(440.0, 30.0))
    modules = next(path for path in MODULE_FOLDERS if Path(path).is_dir())
    lines = ["poll_method epoll", "net_interface 127.0.0.1", f"sip_listen 127.0.0.1:{sip_port}"]
    lines += [
        f"audio_source aufile,{folder / 'tone.wav'}",
        "audio_player aubridge,player",
        "audio_alert aubridge,alert",
    ]
    lines += [f"ctrl_tcp_listen 127.0.0.1:{control_port}", f"module_path {modules}"]
    lines += [f"module {module}.so" for module in MODULES]
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "accounts").write_text(
        f"<sip:{name}@127.0.0.1:{sip_port}>;regint=0;answermode=auto;audio_codecs=PCMU;medianat=turn"
        f';stunserver="turn:127.0.0.1:{server}";stunuser="{grant.username}";stunpass="{grant.password}"\n'
    )


@asynccontextmanager
async def _baresip(folder: Path, name: str, sip_port: int, server: Running) -> AsyncIterator[trio.SocketStream]:
    """A baresip without a registrar; its control connection."""
    control_port = free_port()
    _write(folder, name, sip_port, control_port, server.port.number, server.grant)
    with (folder / "log").open("wb") as log:
        command = [program("baresip"), "-f", str(folder)]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            async with await _connect(control_port) as control:
                yield control
        finally:
            with trio.CancelScope(shield=True):
                process.send_signal(signal.SIGTERM)
                with trio.move_on_after(4.0):
                    await process.wait()
                process.kill()
                await process.wait()


async def _connect(port: int) -> trio.SocketStream:
    with trio.fail_after(SECONDS_MAX):
        while True:
            try:
                return await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.05)


async def test_two_baresips_talk_through_two_relays_of_ours(tmp_path: Path) -> None:
    async with running() as server:
        ports = [free_port(), free_port()]
        async with (
            _baresip(tmp_path / "bob", "bob", ports[1], server),
            _baresip(tmp_path / "alice", "alice", ports[0], server) as alice,
        ):
            body = b'{"command": "dial", "params": "sip:bob@127.0.0.1:%d"}' % ports[1]
            await alice.send_all(b"%d:%s," % (len(body), body))
            with trio.move_on_after(SECONDS_MAX):
                while server.service.statistics()["packets"] < PACKETS_WANTED:
                    await trio.lowlevel.checkpoint()
            counters = [each.counters for each in server.service.tables.allocations.values()]
        busy = [each for each in counters if each.to_peer > PACKETS_WANTED // 10]
        assert len(busy) == 2, (tmp_path / "alice" / "log").read_text(errors="replace")
        for each in busy:
            assert each.to_client > PACKETS_WANTED // 10
            assert each.dropped == each.over_quota == 0
