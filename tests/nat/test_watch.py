"""The kernel tells a real watch of addresses that come and go."""

import pytest
import trio

from p2psip.net.clock import Clock
from p2psip.net.watch import NetlinkSource, NetworkWatch, open_source
from tests.nat.namespaces import Namespace, make_namespaces, random_prefix, remove_namespaces

pytestmark = pytest.mark.nat

CHANGE_SECONDS_MAX = 3.0


async def _watch(namespace: Namespace) -> list[tuple[str, ...]]:
    watch = NetworkWatch(Clock())
    told: list[tuple[str, ...]] = []
    changed = trio.Event()

    def note(addresses: tuple[str, ...]) -> None:
        told.append(addresses)
        changed.set()

    watch.on_change(note)
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run)
        for line in (
            "address add 192.168.5.2/24 dev one",
            "address add 2a11:5::2/64 dev one nodad",
            "address del 192.168.5.2/24 dev one",
            "link set one down",
        ):
            changed = trio.Event()
            namespace.ip([line])
            with trio.fail_after(CHANGE_SECONDS_MAX):
                await changed.wait()
        nursery.cancel_scope.cancel()
    return told


def test_addresses_that_come_and_go_are_told() -> None:
    names = make_namespaces([f"{random_prefix()}-watch"])
    (namespace,) = names.values()
    try:
        namespace.ip(["link add one type veth peer name two", "link set one up", "link set two up"])
        told = namespace.run(lambda: trio.run(_watch, namespace))
        source = namespace.run(open_source)
        source.close()
        assert isinstance(source, NetlinkSource)
    finally:
        remove_namespaces(names)
    assert told == [("192.168.5.2",), ("192.168.5.2", "2a11:5::2"), ("2a11:5::2",), ()]
