"""The one port: first-byte routing, both address families, and failures that stay where they happen."""

import logging
import socket

import pytest
import trio

from p2psip.base.core import Address
from p2psip.net.port import NodePort


async def test_datagrams_go_to_the_receiver_of_their_first_byte(nursery: trio.Nursery) -> None:
    port = NodePort.bind(["127.0.0.1", "::1"], 0)
    assert [address[1] for address in port.local] == [port.number, port.number]
    got: list[tuple[str, bytes, Address]] = []
    done = trio.Event()
    port.route(0, 3, lambda data, source: got.append(("stun", data, source)))
    port.route(192, 255, lambda data, source: (got.append(("overlay", data, source)), done.set())[0])
    await nursery.start(port.run)
    sender = NodePort.bind(["127.0.0.1", "::1"], 0)
    sender.send(b"\x00stun", port.local[0])
    sender.send(b"\x50nobody's", port.local[0])
    sender.send(b"", port.local[0])
    with trio.fail_after(5):
        while len(got) < 1:
            await trio.lowlevel.checkpoint()
    sender.send(b"\xc0frame", port.local[1])
    with trio.fail_after(5):
        await done.wait()
    assert got == [("stun", b"\x00stun", sender.local[0]), ("overlay", b"\xc0frame", sender.local[1])]
    assert port.counters.unroutable == 1
    sender.close()
    nursery.cancel_scope.cancel()


async def test_a_failing_receiver_is_counted_and_stops_nobody(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    port = NodePort.bind(["127.0.0.1"], 0)
    done = trio.Event()

    def fail(_data: bytes, _source: Address) -> None:
        raise ZeroDivisionError

    port.route(0, 0, fail)
    port.route(1, 1, lambda _data, _source: done.set())
    await nursery.start(port.run)
    with caplog.at_level(logging.CRITICAL, logger="p2psip.net.port"):
        port.send(b"\x00", port.local[0])
        port.send(b"\x01", port.local[0])
        with trio.fail_after(5):
            await done.wait()
    assert port.counters.failed == 1
    nursery.cancel_scope.cancel()


def test_what_cannot_be_sent_is_dropped_and_counted() -> None:
    port = NodePort.bind(["127.0.0.1"], 0)
    port.send(b"x", ("::1", 9))
    port.send(b"x", ("127.0.0.1", 99_999))
    port.send(b"x" * 70_000, port.local[0])
    assert port.counters.send_dropped == 3
    port.close()


def test_a_port_in_use_is_named_in_the_error() -> None:
    port = NodePort.bind(["127.0.0.1"], 0)
    with pytest.raises(OSError, match=f"port {port.number}"):
        NodePort.bind(["127.0.0.1"], port.number)
    port.close()


@pytest.mark.parametrize(("bound", "host"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1")])
def test_a_probe_from_elsewhere_comes_from_another_port(bound: str, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host, 0))
        receiver.settimeout(2)
        target: Address = receiver.getsockname()[:2]
        _port_at((bound, 5999)).send_from_elsewhere(b"probe", target)
        data, source = receiver.recvfrom(100)
    assert (data, source[0]) == (b"probe", host)
    assert source[1] != 5999


def test_what_cannot_be_sent_from_elsewhere_is_dropped() -> None:
    for destination in [("100::1", 1), ("::1", 5), ("127.0.0.1", 0), ("127.0.0.1", 70_000)]:
        _port_at(("127.0.0.1", 5999)).send_from_elsewhere(b"probe", destination)
    _port_at(("192.0.2.1", 5999)).send_from_elsewhere(b"probe", ("127.0.0.1", 5))


def _port_at(address: Address) -> NodePort:
    """A port that was bound to `address`, without its sockets."""
    port = NodePort([])
    port.local = (address,)
    return port
