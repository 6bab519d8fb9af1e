"""Our ICE agent against aioice's over loopback, in both roles: they must connect and exchange a datagram."""

import asyncio
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import aioice
import aioice.ice
import pytest

from media import stun
from media.ice.agent import IceAgent
from media.ice.candidates import local_candidate
from media.ice.events import Failed, Selected, Transmit
from p2psip.base.chance import Chance
from p2psip.base.core import Address

pytestmark = pytest.mark.interop

HELLO = b"\x80hello"
SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Description:
    """What each side tells the other."""

    ufrag: str
    password: str
    candidates: tuple[str, ...]


class AioicePeer(threading.Thread):
    """An aioice.Connection in a thread with a loop of its own; it sends back the first datagram that it gets."""

    def __init__(self, *, controlling: bool) -> None:
        super().__init__(daemon=True)
        self._controlling = controlling
        self.local: queue.Queue[Description] = queue.Queue()
        self.remote: queue.Queue[Description] = queue.Queue()
        self.heard = b""
        self.problem = ""

        self._loop = asyncio.new_event_loop()
        self._gone = asyncio.Event()

    def run(self) -> None:
        """See threading.Thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._talk_until_stopped())

    def stop(self) -> None:
        """End the conversation wherever it is, and the thread."""
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._gone.set)
        self.join(SECONDS_MAX)

    async def _talk_until_stopped(self) -> None:
        talk, gone = asyncio.create_task(self._talk()), asyncio.create_task(self._gone.wait())
        _, pending = await asyncio.wait({talk, gone}, timeout=SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(talk, gone, return_exceptions=True)

    async def _talk(self) -> None:
        connection = aioice.Connection(ice_controlling=self._controlling)
        try:
            await connection.gather_candidates()
            lines = tuple(candidate.to_sdp() for candidate in connection.local_candidates)
            self.local.put(Description(connection.local_username, connection.local_password, lines))
            remote = await asyncio.to_thread(self.remote.get)
            connection.remote_username, connection.remote_password = remote.ufrag, remote.password
            for line in remote.candidates:
                await connection.add_remote_candidate(aioice.Candidate.from_sdp(line))
            await connection.add_remote_candidate(None)
            await connection.connect()
            self.heard = await connection.recv()
            await connection.send(self.heard)
        except ConnectionError as error:
            self.problem = str(error)
        finally:
            await connection.close()


class OurSide:
    """Our agent on one plain socket for each address."""

    def __init__(self, *hosts: str, controlling: bool) -> None:
        self.sockets = [_bound(host) for host in hosts]
        addresses: list[Address] = [each.getsockname()[:2] for each in self.sockets]
        local = [local_candidate("host", each, each, 65_535 - n) for n, each in enumerate(addresses)]
        self.agent = IceAgent(controlling=controlling, local=local, chance=Chance.system())
        self.events: list[Selected | Failed] = []
        self.data: list[bytes] = []

    def description(self) -> Description:
        """What the peer must know."""
        lines = tuple(each.to_sdp() for each in self.agent.local)
        return Description(self.agent.ufrag, self.agent.password, lines)

    def drive(self, until: Callable[[], bool]) -> None:
        """Serve sockets and timers until `until` holds."""
        begun = time.monotonic()
        self._drain()
        while not until():
            now = time.monotonic()
            assert now - begun < SECONDS_MAX, f"too slow: {self.events}"
            due = self.agent.poll_timeout()
            wait = 0.05 if due is None else max(min(due - now, 0.05), 0.0)
            for sock in select.select(self.sockets, [], [], wait)[0]:
                data, source = sock.recvfrom(2_048)
                if stun.is_stun(data):
                    self.agent.receive(data, source[:2], time.monotonic())
                else:
                    self.data.append(data)
            self.agent.handle_timeout(time.monotonic())
            self._drain()

    def send(self, data: bytes, destination: Address) -> None:
        """Send from the socket of the destination's family."""
        family = socket.AF_INET6 if ":" in destination[0] else socket.AF_INET
        next(each for each in self.sockets if each.family == family).sendto(data, destination)

    def nominated(self) -> Address | None:
        """Where ICE has concluded on."""
        found = [each.remote for each in self.events if isinstance(each, Selected) and each.nominated]
        return found[-1] if found else None

    def close(self) -> None:
        """Close the sockets."""
        for sock in self.sockets:
            sock.close()

    def _drain(self) -> None:
        while (output := self.agent.poll_output()) is not None:
            if isinstance(output, Transmit):
                self.send(output.data, output.destination)
            else:
                self.events.append(output)


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("::1",), ("::1", "127.0.0.1")])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(True, False), (False, True), (True, True), (False, False)], ids=lambda controls: str(controls)
)
def test_both_connect_and_a_datagram_goes_there_and_back(
    hosts: tuple[str, ...], ours: bool, theirs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: list(hosts))
    peer, side = AioicePeer(controlling=theirs), OurSide(*hosts, controlling=ours)
    peer.start()
    try:
        remote = peer.local.get(timeout=SECONDS_MAX)
        peer.remote.put(side.description())
        side.agent.set_remote(remote.ufrag, remote.password, remote.candidates, time.monotonic())
        side.drive(lambda: side.nominated() is not None)
        destination = side.nominated()
        assert destination is not None
        side.send(HELLO, destination)
        side.drive(lambda: bool(side.data) or not peer.is_alive())
        peer.join(SECONDS_MAX)
    finally:
        side.close()
        peer.stop()
    assert peer.problem == ""
    assert peer.heard == HELLO
    assert side.data[:1] == [HELLO]


@pytest.mark.parametrize("ours", [True, False])
def test_a_wrong_password_is_refused_by_aioice_and_said_by_us(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
    peer, side = AioicePeer(controlling=not ours), OurSide("127.0.0.1", controlling=ours)
    peer.start()
    try:
        remote = peer.local.get(timeout=SECONDS_MAX)
        peer.remote.put(side.description())
        side.agent.set_remote(remote.ufrag, "not the password", remote.candidates, time.monotonic())
        side.drive(lambda: any(isinstance(each, Failed) for each in side.events))
    finally:
        side.close()
        peer.stop()
    assert [type(each) for each in side.events] == [Failed]
