"""Keeping a node's own records in the overlay: its registration, the names of its person, and the canary that reads back."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import trio

from overlay.found import Found
from overlay.records import NAME, REGISTRATION, RELAY, Record, make_record, name_key, registration_key
from overlay.registration import Registration, Rendezvous, encode_registration
from overlay.relay_record import Announcement, announcement_keys, encode_announcement
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import P2psipError, RemoteError
from p2psip.base.keys import SigningKey
from p2psip.net.clock import Clock

REGISTRATION_SECONDS = 600
REFRESH_SECONDS = REGISTRATION_SECONDS / 2
NAME_SECONDS = 29 * 86_400
ANNOUNCE_CHECK_SECONDS = 5.0

_log = logging.getLogger(__name__)

Where = tuple[tuple[Address, ...], tuple[Rendezvous, ...]]
"""How a node is reached: at its own addresses, or through its rendezvous."""


class Directory(Protocol):
    """What publishing needs of the overlay."""

    async def store(self, record: Record) -> int:
        """Store a record; how many others hold it."""

    async def find_again(self, address: str) -> Found:
        """Look a person up, past any cache."""

    def where(self) -> Where:
        """How this node is reached now."""


class Publishing:
    """The records of one node. `certificate` may be renewed."""

    def __init__(
        self,
        directory: Directory,
        *,
        node_key: bytes,
        certificate: DeviceCertificate,
        signing_key: SigningKey,
        clock: Clock,
    ) -> None:
        self.certificate = certificate
        self.published: tuple[str, ...] = ()
        self.last_canary = "not tried yet"
        self._directory = directory
        self._node_key = node_key
        self._signing_key = signing_key
        self._clock = clock
        self._capabilities: tuple[str, ...] = ()
        self._told: Where = ((), ())
        self._moved = trio.Event()
        self._lock = trio.Lock()
        self._last_sequence = 0

    async def publish(self, addresses: Sequence[str], capabilities: Sequence[str]) -> int:
        """Register this node at `addresses` until `withdraw`; the least number of holders of one record."""
        self.published, self._capabilities = tuple(addresses), tuple(capabilities)
        return await self._publish_now()

    async def withdraw(self, addresses: Sequence[str]) -> None:
        """Take the registrations back everywhere."""
        self.published = ()
        expiry = int(self._clock.unix()) + REGISTRATION_SECONDS
        async with self._lock:
            await self._store_all(
                [self.record(REGISTRATION, registration_key(address), None, expiry) for address in addresses]
            )

    def moved(self) -> None:
        """How this node is reached may have changed: publish at once if it has."""
        if self.published and self._directory.where() != self._told:
            self._moved.set()

    async def refresh_forever(self) -> None:
        """Publish at half life, and at once when we have moved."""
        while True:
            try:
                await self._publish_names()
                if self.published:
                    await self._publish_now()
                    await self._try_canary()
            except P2psipError as error:
                _log.warning("the overlay was not told where we are: %s", error)
            self._moved = trio.Event()
            self.moved()
            with trio.move_on_after(REFRESH_SECONDS):
                await self._moved.wait()

    async def announce_forever(self, announcement: Callable[[], Announcement | None]) -> None:
        """While this node is a super-node (an announcement is there): say so at half life, and at once when it matters."""
        told: tuple[Any, ...] | None = None
        told_at = -REFRESH_SECONDS
        while True:
            news = announcement()
            weight = None if news is None else _weight(news)
            if weight != told or (news is not None and self._clock.now() - told_at >= REFRESH_SECONDS):
                told, told_at = weight, self._clock.now()
                try:
                    await self._announce(news)
                except P2psipError as error:
                    _log.warning("the overlay was not told that this is a super-node: %s", error)
            await trio.sleep(ANNOUNCE_CHECK_SECONDS)

    async def _announce(self, announcement: Announcement | None) -> None:
        body = None if announcement is None else encode_announcement(announcement)
        expiry = int(self._clock.unix()) + REGISTRATION_SECONDS
        keys = announcement_keys(self.certificate.overlay, self.certificate.node_id)
        await self._store_all([self.record(RELAY, key, body, expiry) for key in keys])

    def record(self, kind: str, key: bytes, body: bytes | None, expiry: int) -> Record:
        """A signed record of this node, its sequence higher than that of all before."""
        self._last_sequence = max(int(self._clock.unix() * 1000), self._last_sequence + 1)
        return make_record(
            kind,
            key,
            body,
            certificate=self.certificate,
            signing_key=self._signing_key,
            sequence=self._last_sequence,
            expiry=expiry,
        )

    async def _publish_now(self) -> int:
        self._told = self._directory.where()
        addresses, rendezvous = self._told
        body = encode_registration(Registration(self._node_key, addresses, rendezvous, self._capabilities))
        expiry = int(self._clock.unix()) + REGISTRATION_SECONDS
        async with self._lock:
            return await self._store_all(
                [self.record(REGISTRATION, registration_key(address), body, expiry) for address in self.published]
            )

    async def _publish_names(self) -> None:
        """Say that our person exists, phone or not: callers are told 480 instead of 404."""
        expiry = int(self._clock.unix()) + NAME_SECONDS
        addresses = self.certificate.addresses
        await self._store_all([self.record(NAME, name_key(address), b"", expiry) for address in addresses])

    async def _store_all(self, records: Sequence[Record]) -> int:
        """Store all side by side; the least number of holders of one, or the first refusal of our own."""
        return await gather_least([self._directory.store(record) for record in records])

    async def _try_canary(self) -> None:
        """Read our own registration back: that a write was answered proves little."""
        found = await self._directory.find_again(self.published[0])
        mine = [entry for entry in found.registrations if entry.node_id == self.certificate.node_id]
        self.last_canary = "found again" if mine else "NOT found again: nobody can call this node"
        if not mine:
            _log.warning("our own registration was not found in the overlay")


def _weight(announcement: Announcement) -> tuple[Any, ...]:
    """What others should know at once when it changes."""
    ports = announcement.tcp_port, announcement.tls_port
    return announcement.addresses, ports, announcement.draining, announcement.capacity == 0


async def gather_least(stores: Sequence[Awaitable[int]]) -> int:
    """Await all side by side; the least result, or the first RemoteError once all have ended."""
    results: list[int] = []
    problems: list[RemoteError] = []

    async def take(store: Awaitable[int]) -> None:
        try:
            results.append(await store)
        except RemoteError as error:
            problems.append(error)

    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(take, store)
    if problems:
        raise problems[0]
    return min(results, default=0)
