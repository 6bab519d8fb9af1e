"""Steps that many tests of calls take."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tests.calls.world import Established, Node, Phone, World

T = TypeVar("T")


async def both(first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[object]]) -> T:
    """Run two things at once; the result of the first."""
    results: list[T] = []

    async def run_first() -> None:
        results.append(await first())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        nursery.start_soon(second)
    return results[0]


async def connect(caller: Phone, callee: Phone, uri: str) -> tuple[Established, Established]:
    """A call that stands: (the caller's side, the callee's)."""
    outgoing = await caller.call(uri)
    invite = await callee.invited()
    there: list[Established] = []

    async def answer() -> None:
        there.append(await callee.answer(invite))

    here = await both(outgoing.established, answer)
    return here, there[0]


async def two_nodes(w: World) -> tuple[Node, Node, Phone, Phone]:
    """alice and bob, each with a node and a phone."""
    a, b = await w.node("alice", "1001"), await w.node("bob", "1002")
    return a, b, await w.phone(a, "alice", 6000), await w.phone(b, "bob", 6100)
