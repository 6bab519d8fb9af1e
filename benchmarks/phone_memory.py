"""Memory of a node for each registered phone (of 10 000, in one process) and for each call (of 500 that stand, in a real node).

The phones register with digest through the whole SIP service and the call server, each from an address of its own; transactions
are over when memory is read. Calls are sipp's, between two phones of the node, with media bridged.
"""

import gc
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio
import trio.testing

from benchmarks import sip_servers
from benchmarks.sip_servers import kilobytes_of
from p2psip.base.chance import Chance
from p2psip.calls.ports import Account, CallSettings
from p2psip.calls.server import CallServer
from p2psip.net.clock import Clock
from p2psip.sip.digest import Challenge, digest_secret, respond
from p2psip.sip.flow import Flow
from p2psip.sip.parser import parse_message
from p2psip.sip.service import SipService
from p2psip.sip.transactions import TRANSACTION_SECONDS
from tests.calls.fakes import FakeDirectory, FakeMedia
from tests.interop.programs import free_port
from tests.interop.test_sipp import answering

PHONES = 10_000
CALLS = 500
CALLS_PER_SECOND = 25
CALL_SECONDS = 40
OVERLAY = "home.example"
PASSWORD = "secret"
REGISTER = (
    "REGISTER sip:home.example SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK-{n}-{cseq};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:phone{n}@home.example>;tag={n}\r\n"
    "To: <sip:phone{n}@home.example>\r\n"
    "Call-ID: {n}-74bf9a84b4c76e66710@{host}\r\n"
    "CSeq: {cseq} REGISTER\r\n"
    "Contact: <sip:phone{n}@{host}:5060;transport=udp>\r\n"
    "Expires: 3600\r\n"
    "{credentials}Content-Length: 0\r\n\r\n"
)


def measure() -> list[dict[str, Any]]:
    """Rows of the table: kilobytes."""
    rows = [{"name": f"memory of a registered phone ({PHONES})", "value": trio.run(_phones), "unit": "kB", "goal": ""}]
    if shutil.which("sipp") is None:
        print("sipp is not installed (`make peers` as root): memory of calls is left out", file=sys.stderr)
        return rows
    with tempfile.TemporaryDirectory() as folder:
        size, standing = trio.run(_calls, Path(folder))
    return [*rows, {"name": f"memory of a call ({standing} standing)", "value": size, "unit": "kB", "goal": ""}]


class _Accounts:
    """An account and an address for every phone."""

    def account(self, name: str) -> Account | None:
        address = f"{name}@{OVERLAY}"
        return Account(name, address, "MD5", digest_secret("MD5", name, OVERLAY, PASSWORD))


class _Sip(SipService):
    """Without sockets, and with a clock that is moved on by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        super().__init__(lambda: self.seconds, Chance.seeded(1))
        self.sent: list[bytes] = []

    def _transmit(self, data: bytes, flow: Flow) -> None:
        self.sent.append(data)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and all timers with it."""
        self.seconds += seconds
        self._layer.handle_timeout(self.seconds)
        self._pump()


async def _phones() -> float:
    sip, own = _Sip(), (f"alice@{OVERLAY}",)
    clock = Clock()
    server = CallServer(
        settings=CallSettings(OVERLAY, own, "00"),
        sip=sip,
        media=FakeMedia(),
        directory=FakeDirectory("00", own, {}, {}),
        accounts=_Accounts(),
        clock=clock,
        chance=Chance.seeded(2),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(sip.run)
        await nursery.start(server.run)
        await trio.testing.wait_all_tasks_blocked()
        for n in range(PHONES, PHONES + PHONES // 10):  # whatever is made once is made now
            _register(sip, n)
        sip.pass_time(2 * TRANSACTION_SECONDS)
        gc.collect()
        before, phones = kilobytes_of(os.getpid()), len(server.bindings)
        for n in range(PHONES):
            _register(sip, n)
            if n % 500 == 0:
                sip.pass_time(2 * TRANSACTION_SECONDS)
        sip.pass_time(2 * TRANSACTION_SECONDS)
        gc.collect()
        assert len(server.bindings) - phones == PHONES
        nursery.cancel_scope.cancel()
    return (kilobytes_of(os.getpid()) - before) / PHONES


def _register(sip: _Sip, n: int) -> None:
    host = ".".join(str(each) for each in (10, *hashlib.sha256(str(n).encode()).digest()[:3]))
    flow = Flow("udp", ("10.0.0.1", 5060), (host, 5060))
    sip._receive(REGISTER.format(n=n, host=host, cseq=1, credentials="").encode(), flow)
    challenge = Challenge.parse(parse_message(sip.sent.pop()).headers.get("WWW-Authenticate") or "")
    proof = respond(
        challenge, method="REGISTER", uri=f"sip:{OVERLAY}", user=f"phone{n}", password=PASSWORD, cnonce="0a4f113b"
    )
    credentials = f"Authorization: {proof}\r\n"
    sip._receive(REGISTER.format(n=n, host=host, cseq=2, credentials=credentials).encode(), flow)
    assert sip.sent.pop().startswith(b"SIP/2.0 200 ")


async def _calls(folder: Path) -> tuple[float, int]:
    async with sip_servers.node(folder / "node") as server:
        caller, callee = free_port(), free_port()
        await sip_servers.register_both(folder, server, caller, callee)
        async with answering(folder, callee):
            await sip_servers.calls(folder, server, "kitchen", rate=CALLS_PER_SECOND, count=50, port=caller)
            before = kilobytes_of(server.pid)
            found = 0.0
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    nonlocal found
                    await trio.sleep(CALLS / CALLS_PER_SECOND + 4)
                    found = kilobytes_of(server.pid) - before

                nursery.start_soon(look)
                outcome = await sip_servers.calls(
                    folder,
                    server,
                    "kitchen",
                    rate=CALLS_PER_SECOND,
                    count=CALLS,
                    port=caller,
                    milliseconds=1_000 * CALL_SECONDS,
                )
        return found / max(outcome.succeeded, 1), outcome.succeeded
