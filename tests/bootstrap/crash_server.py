"""A bootstrap server as a process of its own, for tests that kill it: prints its port, serves until it dies."""

import sys
from pathlib import Path

import trio

from bootstrap.service import BootstrapServer, open_overlay
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock


async def main(path: Path) -> None:
    """Serve the overlay in `path`."""
    chance = Chance.system()
    server = BootstrapServer(open_overlay(path, chance=chance), "127.0.0.1", 0, clock=Clock(), chance=chance)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        print(server.port, flush=True)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
