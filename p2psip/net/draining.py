"""The loop of every data plane: wait until something can be read, take all of it, and under load let a little more gather.

Waking up costs more than a packet does. Where more than BUSY_PER_SECOND datagrams come in, the loop wakes by a timer, every
PAUSE_SECONDS, and takes what has gathered; the CPU time of a packet falls to a third. An idle socket is read at once.
"""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Callable
from time import perf_counter

import trio

PAUSE_SECONDS = 0.000_5
BUSY_PER_SECOND = 10_000
LOOK_DATAGRAMS = 16

_CLOCK_MONOTONIC = 1
_ONCE_AFTER_PAUSE = struct.pack("@4l", 0, 0, 0, int(PAUSE_SECONDS * 1e9))


class Pacer:
    """Says from the rate of what was read whether it pays to wait for more."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._since = clock()
        self._count = 0
        self.is_busy = False

    def note(self, count: int) -> bool:
        """So many datagrams were read now; whether the loop is busy."""
        self._count += count
        if self._count >= LOOK_DATAGRAMS:
            now = self._clock()
            self.is_busy = self._count > BUSY_PER_SECOND * (now - self._since)
            self._since, self._count = now, 0
        elif count == 0:
            self.is_busy = False
        return self.is_busy


class Pause:
    """A pause shorter than trio's own clock can make: a timer of the kernel (timerfd), or else trio's millisecond."""

    def __init__(self) -> None:
        self._file = -1
        with contextlib.suppress(OSError, AttributeError):  # not Linux
            library = ctypes.CDLL(None, use_errno=True)
            self._start, create = library.timerfd_settime, library.timerfd_create
            self._start.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
            self._file = create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)

    async def wait(self) -> None:
        """Let PAUSE_SECONDS pass."""
        if self._file >= 0 and self._start(self._file, 0, _ONCE_AFTER_PAUSE, None) == 0:
            await trio.lowlevel.wait_readable(self._file)
        else:
            await trio.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Give the timer back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


async def drain_forever(
    file: int | socket.socket, drain: Callable[[bool], int], *, gathers: Callable[[], bool] = lambda: True
) -> None:
    """Call `drain(is_busy)` whenever `file` is readable, until cancelled; it reads and gives the number of datagrams.

    While `is_busy` it must take all that waits; else it may leave some, for it is called again at once. Without `gathers()`
    nothing waits for more.
    """
    pacer, pause = Pacer(), Pause()
    try:
        while True:
            await trio.lowlevel.wait_readable(file)
            while pacer.note(drain(pacer.is_busy)) and gathers():
                await pause.wait()
    finally:
        pause.close()
