"""The contest played by unmodified `kademlia` (2.2.3): its own servers, protocol, tables and crawls, on a `VirtualLoop`.

What a lookup has caused is told by a context variable: each task of a lookup, and whatever its datagrams make others do, runs in
the context of that lookup. kademlia's first byte tells requests (0) from answers (1).
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

from kademlia.network import Server

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network.model import Network
from simulations.referee.contest import (
    INTRODUCERS,
    JOIN_SECONDS,
    LOOKUP_SECONDS,
    PATIENCE_SECONDS,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    Contest,
    Score,
    Tries,
)
from simulations.referee.loop import VirtualLoop

NODE_ID_BYTES = 20
REQUEST = b"\x00"
VALUE = "x" * 300
"""As long as one of our registrations."""

_requests: ContextVar[list[int] | None] = ContextVar("requests of this lookup", default=None)


def play_theirs(contest: Contest, network: Network, chance: Chance) -> Score:
    """Play it; all nodes are public."""
    loop = VirtualLoop(network, chance.child("places"), sent=_count)
    with _silence():
        try:
            return loop.run_until_complete(_Theirs(contest, loop, chance).play())
        finally:
            _end(loop)


class _Theirs:
    def __init__(self, contest: Contest, loop: VirtualLoop, chance: Chance) -> None:
        self.contest = contest
        self.loop = loop
        self.score = Score()
        self.servers: list[Any] = []
        self._ids = chance.child("ids")
        self._introducing = chance.child("introducers")

    async def play(self) -> Score:
        contest, traffic = self.contest, self.loop.traffic
        for _ in range(contest.peers + 1):
            await self._join()
        await asyncio.sleep(SETTLE_SECONDS)
        for number in range(1, contest.peers + 1):
            self.score.stored += bool(await self.servers[number].set(_name(number), VALUE))
        await asyncio.sleep(SETTLE_SECONDS)
        self.score.joining_bytes = traffic.bytes / (contest.peers + 1)
        before = traffic.bytes
        await asyncio.sleep(QUIET_SECONDS)
        self.score.upkeep = (traffic.bytes - before) / QUIET_SECONDS / (contest.peers + 1)
        for number in contest.crashed:
            self.servers[number].stop()
        await self._look_up([self._live(asker, target) for asker, target in contest.lookups])
        await self._look_up([self._absent(asker, number) for number, asker in enumerate(contest.absent)])
        for server in self.servers:
            server.stop()
        return self.score

    async def _join(self) -> None:
        server = Server(node_id=self._ids.bytes(NODE_ID_BYTES))
        await server.listen(0)
        known = self._introducing.sample(self.servers, min(INTRODUCERS, len(self.servers)))
        self.servers.append(server)
        if known:
            await server.bootstrap([_address(other) for other in known])
        await asyncio.sleep(JOIN_SECONDS)

    async def _look_up(self, lookups: list[Coroutine[Any, Any, None]]) -> None:
        tasks = []
        for lookup in lookups:
            tasks.append(asyncio.create_task(lookup))
            await asyncio.sleep(LOOKUP_SECONDS)
        await asyncio.gather(*tasks)

    async def _live(self, asker: int, target: int) -> None:
        await self._look(asker, _name(target), VALUE, self.score.live)

    async def _absent(self, asker: int, number: int) -> None:
        await self._look(asker, f"nobody{number}", None, self.score.absent)

    async def _look(self, asker: int, key: str, expected: str | None, tries: Tries) -> None:
        begun, count = self.loop.time(), [0]
        _requests.set(count)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                right = await self.servers[asker].get(key) == expected
        except TimeoutError:
            right = False
        tries.note(right, count[0], self.loop.time() - begun)


def _name(number: int) -> str:
    return f"u{number}"


def _address(server: Any) -> Address:
    address: Address = server.transport.get_extra_info("sockname")
    return address


def _count(data: bytes) -> None:
    count = _requests.get()
    if count is not None and data[:1] == REQUEST:
        count[0] += 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Dead contacts are the point of the contest; each would be a line on stderr."""
    loggers = [logging.getLogger(name) for name in ("kademlia", "rpcudp", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _end(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
