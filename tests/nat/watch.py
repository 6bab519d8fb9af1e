"""Watching the audio of a running call: how long each node had nothing from the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from tests.nat.talk import establish, last_record, node_end
from tests.nat.town import House

LOOK_SECONDS = 0.04
NO_AUDIO_YET = 5.0


@dataclass(slots=True)
class Direction:
    """What one node received from the other: the number of packets at each look."""

    house: House
    looks: list[tuple[float, int]] = field(default_factory=list)

    def gap(self, since: float) -> float:
        """The longest time without a new packet after `since`, in seconds; it may not have ended yet."""
        longest, last_change, last_count = 0.0, since, -1
        for time, count in self.looks:
            if count != last_count:
                last_count = count
                last_change, previous = time, last_change
                longest = max(longest, time - max(previous, since))
        return max(longest, self.looks[-1][0] - max(last_change, since))


class CallWatch:
    """A running call between two houses."""

    def __init__(self, caller: House, callee: House) -> None:
        self.directions = (Direction(caller), Direction(callee))

    async def run(self) -> None:
        """Look at both nodes' counters until cancelled."""
        while True:
            for direction in self.directions:
                record = await last_record(direction.house)
                direction.looks.append((trio.current_time(), int(node_end(record).get("received", 0))))
            await trio.sleep(LOOK_SECONDS)

    def gap(self, since: float) -> float:
        """The longest time without audio in either direction."""
        return max(direction.gap(since) for direction in self.directions)

    async def paths(self) -> list[dict[str, Any]]:
        """The media path as both nodes see it now."""
        return [node_end(await last_record(direction.house)).get("path", {}) for direction in self.directions]

    async def is_up(self) -> bool:
        """Whether the call still stands at both nodes."""
        return all([(await last_record(direction.house)).get("ended") is None for direction in self.directions])

    async def wait_kind(self, kind: str, seconds: float = NO_AUDIO_YET) -> None:
        """Until both nodes' path is of this kind, "direct" or "relayed"."""
        with trio.move_on_after(seconds):
            while True:
                if [str(path.get("way"))[: len(kind)] for path in await self.paths()] == [kind, kind]:
                    return
                await trio.sleep(0.1)
        raise AssertionError(f"the path did not become {kind}: {await self.paths()}")


@asynccontextmanager
async def running_call(caller: House, callee: House) -> AsyncIterator[CallWatch]:
    """A call that stands as long as the block runs, watched."""
    trouble = await establish(caller, callee)
    assert not trouble, trouble
    watch = CallWatch(caller, callee)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        yield watch
        nursery.cancel_scope.cancel()
    await caller.phone.command("hangup")
    await callee.phone.wait_for("CALL_CLOSED")
