"""A stream whose other side has vanished without a word ends by itself, on both sides."""

import pytest
import trio

from p2psip.base.core import Address
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from tests.nat.namespaces import Namespace, make_namespaces, random_prefix, remove_namespaces

pytestmark = [pytest.mark.nat, pytest.mark.slow]

NOTICE_SECONDS_MAX = 30.0
CUT = """
table inet cut {
    chain input { type filter hook input priority filter; meta l4proto tcp drop; }
}
"""


async def _cut(namespace: Namespace) -> list[float]:
    """Seconds until either side has noticed, the one that sends and the one that only listens."""
    port = NodePort.bind(["127.0.0.1"], 0)
    here, there = StreamLinks(port), StreamLinks(port)
    heard = trio.Event()
    port.route(192, 255, lambda _data, _source: heard.set())
    noticed: list[float] = []
    both = trio.Event()

    def note(_address: Address) -> None:
        noticed.append(trio.current_time())
        if len(noticed) == 2:
            both.set()

    here.on_closed(note)
    there.on_closed(note)
    async with trio.open_nursery() as nursery:
        await nursery.start(here.run)
        await nursery.start(there.run)
        link = await here.dial(*await there.listen("127.0.0.1", 0), tls=False)
        port.send(b"\xc0frame", link)
        await heard.wait()
        namespace.nft(CUT)
        start = trio.current_time()
        port.send(b"\xc0frame", link)
        with trio.move_on_after(NOTICE_SECONDS_MAX):
            await both.wait()
        nursery.cancel_scope.cancel()
    port.close()
    return [moment - start for moment in noticed]


def test_both_sides_notice_a_cut_path() -> None:
    names = make_namespaces([f"{random_prefix()}-cut"])
    (namespace,) = names.values()
    try:
        seconds = namespace.run(lambda: trio.run(_cut, namespace))
    finally:
        remove_namespaces(names)
    assert len(seconds) == 2, seconds
