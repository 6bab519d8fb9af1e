"""A real kamailio as a provider, configured by the test: registrar, authentication, and what goes wrong on demand."""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.interop.programs import free_port, program

MODULES = ("kex", "corex", "tm", "tmx", "sl", "rr", "pv", "maxfwd", "usrloc", "registrar", "textops", "siputils")
MODULES_WITH_AUTH = (*MODULES, "auth", "nathelper", "xlog")
START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 4.0

_MAIN = """#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
disable_tcp={disable_tcp}
{listens}
mpath="{modules}"
{loads}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", {min_expires})
modparam("registrar", "max_expires", 3600)
modparam("auth", "nonce_expire", {nonce_expire})
modparam("auth", "algorithm", "{algorithm}")
modparam("tm", "failure_reply_mode", 3)
{more}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_WARN", "SEEN $rm $ru from $si:$sp From=$fu PAI=$hdr(P-Asserted-Identity) Contact=$ct\\n");
    if (is_method("INVITE")) xlog("L_WARN", "ANSWER $hdr(Proxy-Authorization)\\n");
    force_rport();
{injected}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("ACK") && has_totag()) {{ loose_route(); t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
{in_dialog}
        loose_route();
        t_relay();
        exit;
    }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
{authentication}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    record_route();
{numbers}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""

_AUTHENTICATION = """    if ($fU == "{trusted}") {{
        xlog("L_INFO", "believed\\n");
    }} else if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("$td", "{password}", "0")) {{ www_challenge("$td", "1"); exit; }}
    }} else {{
        if (!pv_proxy_authenticate("$fd", "{password}", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
    }}
    consume_credentials();
"""

_IN_DIALOG = """        if (is_method("BYE|INVITE") && $fU == "{user}" && !pv_proxy_authenticate("{domain}", "{password}", "0")) {{
            proxy_challenge("{domain}", "1"); exit;
        }}
"""


@dataclass
class Provider:
    """How the kamailio is to behave. `injected` is put before everything; `numbers` decides where a number goes.

    `trusted` is a user who is asked for no password: not every phone knows every `algorithm`.
    """

    folder: Path
    password: str = "s3cret-of-the-trunk"
    domain: str = "provider.example"
    min_expires: int = 30
    nonce_expire: int = 300
    algorithm: str = ""
    trusted: str = ""
    asks_in_dialogs: str = ""
    injected: str = ""
    numbers: str = ""
    tls: tuple[Path, Path] | None = None
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "kamailio.log").read_text(errors="replace")

    def seen(self, *words: str) -> list[str]:
        """The requests that it has seen, of which the line holds all of `words`."""
        return [line for line in self.log.splitlines() if "SEEN " in line and all(word in line for word in words)]

    def answered(self) -> str:
        """What its challenges to INVITE were answered with."""
        return "\n".join(line for line in self.log.splitlines() if "ANSWER " in line)

    def write(self) -> Path:
        """Its configuration file."""
        loads = list(MODULES_WITH_AUTH)
        listens = [f"listen=udp:127.0.0.1:{self.port}", f"listen=tcp:127.0.0.1:{self.port}"]
        more = []
        if self.tls is not None:
            loads.append("tls")
            listens.append(f"listen=tls:127.0.0.1:{self.tls_port}")
            listens.insert(0, "enable_tls=yes")
            certificate, key = self.tls
            more += [
                'modparam("tls", "tls_method", "TLSv1.2+")',
                f'modparam("tls", "certificate", "{certificate}")',
                f'modparam("tls", "private_key", "{key}")',
            ]
        text = _MAIN.format(
            disable_tcp="no",
            listens="\n".join(listens),
            modules=modules(),
            loads="\n".join(f'loadmodule "{name}.so"' for name in loads),
            min_expires=self.min_expires,
            nonce_expire=self.nonce_expire,
            algorithm=self.algorithm,
            more="\n".join(more),
            injected=self.injected,
            in_dialog=_IN_DIALOG.format(domain=self.domain, user=self.asks_in_dialogs, password=self.password)
            if self.asks_in_dialogs
            else "",
            authentication=_AUTHENTICATION.format(password=self.password, trusted=self.trusted),
            numbers=self.numbers,
        )
        path = self.folder / "kamailio.cfg"
        path.write_text(text)
        return path


def modules() -> str:
    """Where the modules of kamailio are."""
    found = next(Path("/usr/lib").glob("*/kamailio/modules"), None)
    assert found is not None, "kamailio has no modules; `make peers` as root installs all peer programs"
    return f"{found}/"


@asynccontextmanager
async def kamailio(provider: Provider) -> AsyncIterator[Provider]:
    """Run it until the block ends."""
    provider.folder.mkdir(parents=True, exist_ok=True)
    configuration = provider.write()
    log = (provider.folder / "kamailio.log").open("wb")
    command = [
        *(program("kamailio"), "-DD", "-E", "-f", str(configuration), "-w", str(provider.folder)),
        *("-Y", str(provider.folder), "-P", str(provider.folder / "pid"), "-m", "32", "-M", "4"),
    ]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        await _answers(provider, process)
        yield provider
    finally:
        with trio.CancelScope(shield=True):
            process.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_SECONDS_MAX):
                await process.wait()
            process.kill()
            await process.wait()
            log.close()


async def _answers(provider: Provider, process: trio.Process) -> None:
    """Until a TCP connection is taken: then its workers are up."""
    with trio.fail_after(START_SECONDS_MAX):
        while True:
            assert process.poll() is None, provider.log[-3000:]
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", provider.port)
            except OSError:
                await trio.sleep(0.05)
                continue
            await stream.aclose()
            return
