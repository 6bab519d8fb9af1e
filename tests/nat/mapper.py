"""A process that keeps a mapping of the UDP port it is given, and prints a line of JSON on each change and when it explains.

    python -m tests.nat.mapper PORT SECONDS [PROTOCOL ...]

SECONDS is the time between two questions to the router. It ends, and removes the mapping, when its input is closed.
"""

import json
import sys
from functools import partial

import trio

from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.net.port_mapping import PROTOCOLS, Mapping, MappingTimes, PortMapper, routers_of

LOOK_SECONDS = 0.05


async def _run(number: int, seconds: float, protocols: list[str]) -> None:
    times = MappingTimes(check_seconds=seconds, retry_seconds_min=seconds, retry_seconds_max=seconds)
    routers = partial(routers_of, protocols=protocols or PROTOCOLS)
    mapper = PortMapper(number, Clock(), Chance.system(), routers=routers, times=times)

    def tell(mapping: Mapping | None) -> None:
        external = None if mapping is None else mapping.external
        protocol = None if mapping is None else mapping.protocol
        print(json.dumps({"external": external, "protocol": protocol, "why": mapper.explanation}), flush=True)

    async def tell_explanations() -> None:
        told = mapper.explanation
        while True:
            if told != mapper.explanation:
                told = mapper.explanation
                tell(mapper.mapping)
            await trio.sleep(LOOK_SECONDS)

    mapper.on_change(tell)
    async with trio.open_nursery() as nursery:
        await nursery.start(mapper.run)
        nursery.start_soon(tell_explanations)
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_run, int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
