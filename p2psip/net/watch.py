"""Notices that this machine has moved: its addresses have changed, or it has slept.

On Linux the kernel tells (rtnetlink); elsewhere the addresses are looked up every second. A machine that has slept has kept
its addresses, but no mapping in any NAT, so that counts as a move too.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Protocol

import ifaddr
import trio

from p2psip.net.clock import Clock

DEBOUNCE_SECONDS = 0.3
RESTLESS_SECONDS_MAX = 2.0
POLL_SECONDS = 1.0
LOOK_SECONDS = 2.0
SLEPT_SECONDS_MIN = 5.0
HOOKS_MAX = 16
ADDRESSES_MAX = 64
MESSAGES_MAX = 1_024

_NETLINK_BYTES = 65_536
# RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE of linux/rtnetlink.h
_NETLINK_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

Hook = Callable[[tuple[str, ...]], None]


class Source(Protocol):
    """Where changes are seen."""

    def addresses(self) -> tuple[str, ...]:
        """The addresses of this machine that others may reach it by, in order."""

    async def wait_changed(self) -> None:
        """Return when they may have changed."""

    def close(self) -> None:
        """Free what it holds."""


class PollingSource:
    """Looks again every second."""

    def addresses(self) -> tuple[str, ...]:
        """The addresses of all interfaces but loopback and link-local ones."""
        return local_addresses()

    async def wait_changed(self) -> None:
        """Return after a second."""
        await trio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """It holds nothing."""


class NetlinkSource(PollingSource):
    """Told by the kernel (rtnetlink), of addresses, links and routes."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sock.setblocking(False)
        self._sock.bind((0, _NETLINK_GROUPS))

    async def wait_changed(self) -> None:
        """Return when the kernel has told something; what it was does not matter."""
        await trio.lowlevel.wait_readable(self._sock)
        for _number in range(MESSAGES_MAX):
            try:
                self._sock.recv(_NETLINK_BYTES)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: more has changed than the kernel could keep
                continue

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def open_source() -> PollingSource:
    """The best source of this system."""
    try:
        return NetlinkSource()
    except (AttributeError, OSError):  # not Linux, or a container that forbids it
        return PollingSource()


def local_addresses() -> tuple[str, ...]:
    """The addresses of all interfaces but loopback and link-local ones, sorted."""
    found = set()
    for card in ifaddr.get_adapters():
        for each in card.ips:
            host = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = ipaddress.ip_address(host.partition("%")[0])
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                found.add(str(address))
    return tuple(sorted(found)[:ADDRESSES_MAX])


class NetworkWatch:
    """Calls its hooks with the addresses of this machine when they have changed, and when it has slept."""

    def __init__(self, clock: Clock, *, source: Source | None = None) -> None:
        self._clock = clock
        self._source = source
        self._hooks: list[Hook] = []
        self.addresses: tuple[str, ...] = ()

    def on_change(self, hook: Hook) -> None:
        """Call `hook(addresses)` on each change, once it has been quiet for 0.3 s."""
        assert len(self._hooks) < HOOKS_MAX
        self._hooks.append(hook)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled. What there is at the start is no change."""
        source = self._source or open_source()
        try:
            self.addresses = source.addresses()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_addresses, source)
                nursery.start_soon(self._watch_sleep, source)
                task_status.started()
        finally:
            source.close()

    async def _watch_addresses(self, source: Source) -> None:
        while True:
            await source.wait_changed()
            restless = True
            with trio.move_on_after(RESTLESS_SECONDS_MAX):
                while restless:
                    with trio.move_on_after(DEBOUNCE_SECONDS) as scope:
                        await source.wait_changed()
                    restless = not scope.cancelled_caught
            if source.addresses() != self.addresses:
                self._tell(source)

    async def _watch_sleep(self, source: Source) -> None:
        while True:
            before = self._clock.boot()
            await trio.sleep(LOOK_SECONDS)
            if self._clock.boot() - before > LOOK_SECONDS + SLEPT_SECONDS_MIN:
                self._tell(source)

    def _tell(self, source: Source) -> None:
        self.addresses = source.addresses()
        for hook in self._hooks:
            hook(self.addresses)
