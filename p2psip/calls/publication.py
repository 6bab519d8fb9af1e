"""The person's registration in the overlay follows the phones: published with the first, withdrawn after the last.

A node that others need without phones, since it offers them a trunk, is published as long as it runs.
"""

import logging
import math

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.calls.bindings import BindingTable
from p2psip.calls.ports import ClockPort, DirectoryPort

RETRY_SECONDS = 5.0
WITHDRAW_SECONDS_MAX = 3.0

_log = logging.getLogger(__name__)


class Publication:
    """Keeps the overlay in step with the table of bindings; the directory keeps a published record fresh.

    `is_needed`: to be found even without phones.
    """

    def __init__(self, directory: DirectoryPort, table: BindingTable, addresses: Addresses, clock: ClockPort) -> None:
        self._directory = directory
        self._table = table
        self._addresses = addresses
        self._clock = clock
        self._changed = trio.Event()
        self._is_settling = False
        self._looks_at = -math.inf
        self.is_published = False
        self.is_needed = False

    def note_change(self) -> None:
        """The bindings have changed. Most of them are renewals, which change nothing in the overlay."""
        expiry = self._table.next_expiry()
        is_sooner = expiry is not None and expiry < self._looks_at
        if self._is_settling or is_sooner or self._is_wanted(self._clock.now()) != self.is_published:
            self._changed.set()

    async def run(self) -> None:
        """Publish and withdraw as phones come and go, until cancelled."""
        while True:
            self._changed = trio.Event()
            self._is_settling = True
            delay = await self._settle()
            self._is_settling = False
            self._looks_at = self._clock.now() + delay
            with trio.move_on_after(delay):
                await self._changed.wait()

    async def close(self) -> None:
        """Withdraw what is published, within WITHDRAW_SECONDS_MAX."""
        if self.is_published:
            self.is_published = False
            with trio.move_on_after(WITHDRAW_SECONDS_MAX):
                try:
                    await self._directory.withdraw()
                except RemoteError as error:
                    _log.warning("the registration could not be withdrawn, it will run out: %s", error)

    def _is_wanted(self, now: float) -> bool:
        return self.is_needed or self._table.is_there(self._addresses.own[0], now)

    async def _settle(self) -> float:
        """Bring the overlay up to date; the seconds until something runs out or is to be tried again."""
        now = self._clock.now()
        self._table.expire(now)
        wanted = self._is_wanted(now)
        try:
            if wanted and not self.is_published:
                await self._directory.publish()
                self.is_published = True
            elif self.is_published and not wanted:
                await self._directory.withdraw()
                self.is_published = False
        except RemoteError as error:
            _log.warning("the overlay does not know yet where this person is: %s", error)
            return RETRY_SECONDS
        expiry = self._table.next_expiry()
        return math.inf if expiry is None else max(expiry - self._clock.now(), 0.0)
