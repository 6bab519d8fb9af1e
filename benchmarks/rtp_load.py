"""Phones for the RTP benchmark, in a process and on a core of their own: G.711 at 50 packets a second each, spread evenly."""

import contextlib
import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from p2psip.base.core import Address
from p2psip.net.port import open_udp

PACKET_SECONDS = 0.02
SLOTS = 20
SETTLE_SECONDS = 0.5
PRIORITY = -15

_HEADER = struct.Struct("!BBHII")


@dataclass(slots=True)
class LoadPhone:
    """One end of a call. `sequence` is the next packet's number, `partner` says whose packets it hears."""

    sock: socket.socket
    ssrc: int
    sequence: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Packets of one run, and how many arrived changed; `seconds` it took, and the seconds of CPU of the phones."""

    sent: int
    received: int
    changed: int
    seconds: float
    cpu_seconds: float

    @property
    def loss(self) -> float:
        """The share that was lost."""
        return 1.0 - self.received / max(self.sent, 1)


def serve_phones(control: Connection, core: int) -> None:
    """The process: obeys `("phones", n)`, `("aim", addresses)`, `("run", seconds)` and `("stop",)`."""
    claim_core(core)
    phones: list[LoadPhone] = []
    epoll = select.epoll()
    while True:
        match control.recv():
            case ("phones", int(number)):
                control.send([_open(phones, epoll) for _ in range(number)])
            case ("aim", list(targets)):
                for phone, target in zip(phones[-len(targets) :], targets, strict=True):
                    phone.sock.connect(target)
                control.send(None)
            case ("run", float(seconds)):
                control.send(_run(phones, epoll, seconds))
            case _:
                for phone in phones:
                    phone.sock.close()
                return


def claim_core(core: int) -> None:
    """Run on this core only and, where that is allowed, before other programs: what is asked is what a core can carry."""
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):
        os.setsid()
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        Path("/proc/self/autogroup").write_text(str(PRIORITY), "ascii")  # niceness counts within a session only


def _open(phones: list[LoadPhone], epoll: select.epoll) -> Address:
    phone = LoadPhone(open_udp(("127.0.0.1", 0)), 1_000_000 + len(phones))
    phones.append(phone)
    epoll.register(phone.sock.fileno(), select.EPOLLIN)
    address: Address = phone.sock.getsockname()
    return address


def _run(phones: list[LoadPhone], epoll: select.epoll, seconds: float) -> LoadResult:
    """Every phone sends for `seconds`; phones 0 and 1, 2 and 3, … hear each other."""
    by_file = {phone.sock.fileno(): (phone, phones[number ^ 1]) for number, phone in enumerate(phones)}
    for phone in phones:
        phone.received = 0
    slots = [phones[number::SLOTS] for number in range(SLOTS)]
    ticks = round(seconds / PACKET_SECONDS * SLOTS)
    sent = changed = 0
    cpu, start = time.process_time(), time.monotonic()
    for tick in range(ticks):
        late = start + tick * PACKET_SECONDS / SLOTS - time.monotonic()
        if late > 0:
            time.sleep(late)
        for phone in slots[tick % SLOTS]:
            sent += _send(phone)
        changed += _receive(by_file, epoll, 0.0)
    took = time.monotonic() - start
    until = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        changed += _receive(by_file, epoll, 0.05)
    received = sum(phone.received for phone in phones)
    return LoadResult(sent, received, changed, took, time.process_time() - cpu)


def _packet(phone: LoadPhone, sequence: int) -> bytes:
    return (
        _HEADER.pack(0x80, 0, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, phone.ssrc)
        + bytes([sequence & 0xFF]) * 160
    )


def _send(phone: LoadPhone) -> int:
    phone.sequence += 1
    try:
        phone.sock.send(_packet(phone, phone.sequence))
    except OSError:
        return 0
    return 1


def _receive(by_file: dict[int, tuple[LoadPhone, LoadPhone]], epoll: select.epoll, wait: float) -> int:
    changed = 0
    for fileno, _event in epoll.poll(wait, len(by_file)):
        phone, partner = by_file[fileno]
        try:
            data = phone.sock.recv(2_048)
        except OSError:
            continue
        phone.received += 1
        if data != _packet(partner, int.from_bytes(data[2:4], "big") | (partner.sequence & ~0xFFFF)):
            changed += 1
    return changed
