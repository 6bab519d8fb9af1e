"""When a data plane lets datagrams gather, and that it then loses none."""

import socket

import trio

from p2psip.base.core import Address
from p2psip.net.batch import BATCH_DATAGRAMS_MAX
from p2psip.net.draining import BUSY_PER_SECOND, LOOK_DATAGRAMS, PAUSE_SECONDS, Pacer, Pause, drain_forever
from p2psip.net.port import BATCHES_MAX, NodePort


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(pacer: Pacer, hands: Hands, per_second: float, datagrams: int) -> bool:
    for _ in range(datagrams):
        hands.now += 1 / per_second
        pacer.note(1)
    return pacer.is_busy


def test_only_a_rate_above_the_bound_is_busy() -> None:
    hands = Hands()
    pacer = Pacer(hands)
    assert not _run(pacer, hands, 0.9 * BUSY_PER_SECOND, 10 * LOOK_DATAGRAMS)
    assert _run(pacer, hands, 1.1 * BUSY_PER_SECOND, 2 * LOOK_DATAGRAMS)
    assert not _run(pacer, hands, 0.9 * BUSY_PER_SECOND, 2 * LOOK_DATAGRAMS)


def test_a_burst_after_silence_is_not_busy_and_silence_ends_it() -> None:
    hands = Hands()
    pacer = Pacer(hands)
    hands.now += 10
    assert not pacer.note(LOOK_DATAGRAMS)
    assert _run(pacer, hands, 2 * BUSY_PER_SECOND, LOOK_DATAGRAMS)
    assert not pacer.note(0)


async def test_a_pause_ends_with_and_without_a_kernel_timer() -> None:
    pause = Pause()
    for _ in range(2):
        with trio.fail_after(5):
            before = trio.current_time()
            await pause.wait()
            assert trio.current_time() - before >= 0.9 * PAUSE_SECONDS
        pause.close()


async def test_a_busy_loop_takes_everything(nursery: trio.Nursery) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.setblocking(False)
    there.setblocking(False)
    modes: set[bool] = set()
    done = trio.Event()
    sent = got = 0

    def drain(is_busy: bool) -> int:
        nonlocal got, sent
        modes.add(is_busy)
        count = 0
        for _ in range(64 if is_busy else 1):
            try:
                here.recv(16)
            except BlockingIOError:
                break
            count += 1
        got += count
        for _ in range(2 * count if sent < 500 else 0):  # ever more, until it must be busy
            try:
                there.send(b"x")
            except BlockingIOError:
                break
            sent += 1
        if sent >= 500 and got == sent:
            done.set()
        return count

    there.send(b"x")
    sent += 1
    nursery.start_soon(drain_forever, here.fileno(), drain)
    with trio.fail_after(10):
        await done.wait()
    assert modes == {False, True}
    nursery.cancel_scope.cancel()
    here.close()
    there.close()


async def test_a_flooded_port_delivers_in_order(nursery: trio.Nursery) -> None:
    port, sender = NodePort.bind(["127.0.0.1"], 0), NodePort.bind(["127.0.0.1"], 0)
    got: list[bytes] = []
    done = trio.Event()
    expected = [b"%d" % number for number in range(BATCHES_MAX * BATCH_DATAGRAMS_MAX + 100)]

    def take(data: bytes, _source: Address) -> None:
        got.append(data)
        if len(got) == len(expected):
            done.set()

    port.route(0, 255, take)
    for data in expected:
        sender.send(data, port.local[0])
    await nursery.start(port.run)
    with trio.fail_after(5):
        await done.wait()
    assert got == expected
    sender.close()
    nursery.cancel_scope.cancel()
