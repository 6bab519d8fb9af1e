"""A real Linphone without a sound card: its daemon, told by lines on standard input, plays a WAV file into calls."""

import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2psip.app.local_network import PhoneAccount
from tests.interop.programs import program

ANSWER_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 4.0

CONFIGURATION = """
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
use_ipv6={ipv6}
root_ca={authority}
verify_server_certs=1
verify_server_cn=1
default_proxy=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
[net]
mtu=1300
[video]
enabled=0
[auth_info_0]
username={user}
userid={name}
passwd={password}
realm={domain}
domain={domain}
[proxy_0]
reg_proxy=<sip:{server};transport={transport}>
reg_route=<sip:{server};transport={transport};lr>
reg_identity=sip:{address}
reg_expires=120
reg_sendregister=1
"""


class Linphone:
    """One running daemon; `said` is all that it has said."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._changed = trio.Event()
        self.said = ""

    async def command(self, line: str) -> None:
        """Send one command of the daemon, for example `call sip:bob@home.example`."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line.encode() + b"\n")

    async def wait_for(self, pattern: str, seconds: float = ANSWER_SECONDS_MAX) -> "re.Match[str]":
        """The first place in what it has said that matches, waited for at most `seconds`."""
        with trio.fail_after(seconds):
            while (found := re.search(pattern, self.said)) is None:
                await self._changed.wait()
            return found

    async def read(self) -> None:
        """Collect what it says, until it ends."""
        assert self._process.stdout is not None
        async for chunk in self._process.stdout:
            self.said += bytes(chunk).decode(errors="replace")
            self._changed.set()
            self._changed = trio.Event()


@asynccontextmanager
async def linphone(
    folder: Path, account: PhoneAccount, *, transport: str, authority: Path, encryption: str = "none"
) -> AsyncIterator[Linphone]:
    """Run a Linphone that registers as `account`, trusts `authority` and answers calls, only encrypted ones with the `encryption`
    "srtp" or "dtls".
    """
    (folder / ".local/share/linphone").mkdir(parents=True)  # without a place for its database it opens no sockets
    host, port = account.server
    (folder / "rc").write_text(
        CONFIGURATION.format(
            ipv6=int(":" in host),
            authority=authority,
            encryption=encryption,
            mandatory=int(encryption != "none"),
            user=account.address.partition("@")[0],
            name=account.name,
            password=account.password,
            address=account.address,
            domain=account.address.partition("@")[2],
            server=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            transport=transport,
        )
    )
    log = (folder / "log").open("wb")
    files = ("--config", str(folder / "rc"), "--log", str(folder / "messages"))
    process = await trio.lowlevel.open_process(
        [program("stdbuf"), "-oL", program("linphone-daemon"), *files, "--disable-stats-events", "--auto-answer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        phone = Linphone(process)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(phone.read)
            yield phone
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            with trio.move_on_after(STOP_SECONDS_MAX), contextlib.suppress(trio.BrokenResourceError):
                await phone.command("quit")  # by which it unregisters
                await process.wait()
            process.kill()
            await process.wait()
            log.close()
