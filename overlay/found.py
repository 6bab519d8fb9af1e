"""What a lookup of a person gives: the devices that are registered, read from verified records."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from overlay.agreement import Authored
from overlay.events import LookupDone
from overlay.records import REGISTRATION
from overlay.registration import Rendezvous, read_registration
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

FOUND_SECONDS_MAX = 5.0
FOUND_CACHED_MAX = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundRegistration:
    """One device of a person, its record verified: at its own `addresses`, or through `rendezvous`. `expires`: unix seconds."""

    node_id: bytes
    node_key: bytes
    addresses: tuple[Address, ...]
    redirect: str | None
    certificate: DeviceCertificate
    expires: int
    rendezvous: tuple[Rendezvous, ...] = ()

    @property
    def ways(self) -> tuple[Address | Rendezvous, ...]:
        """All ways to the device, for `OverlayService.send_message`."""
        return (*self.addresses, *self.rendezvous)


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup gave. `name_exists` is known when a device is registered, or the name record was found.

    `was_answered`: somebody else was there to say so; else that nothing was found says nothing.
    """

    registrations: tuple[FoundRegistration, ...]
    name_exists: bool
    hops: int
    messages: int
    milliseconds: float
    cached: bool = False
    was_answered: bool = True


class FoundCache:
    """What was found in the last FOUND_SECONDS_MAX seconds, by address; FOUND_CACHED_MAX at most."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Found]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def get(self, address: str, now: float) -> Found | None:
        """What was found lately, at no cost."""
        at, found = self._found.get(address, (0.0, None))
        if found is None or now - at >= FOUND_SECONDS_MAX:
            return None
        return Found(found.registrations, found.name_exists, 0, 0, 0.0, cached=True, was_answered=found.was_answered)

    def put(self, address: str, found: Found, now: float) -> None:
        """This was found now; what is too old by now is forgotten."""
        self._found.pop(address, None)
        self._found[address] = now, found
        while len(self._found) > FOUND_CACHED_MAX or now - next(iter(self._found.values()))[0] >= FOUND_SECONDS_MAX:
            del self._found[next(iter(self._found))]

    def forget(self, address: str) -> None:
        """It was of no use."""
        self._found.pop(address, None)


def read_found(done: LookupDone) -> Found:
    """The devices that a lookup of a registration key found, and what it cost."""
    exists = any(record.body is not None or record.kind == REGISTRATION for record, _author in done.records)
    devices = read_registrations(done.records)
    return Found(devices, exists, done.hops, done.messages, 1000 * done.seconds, was_answered=bool(done.closest))


def read_registrations(records: Iterable[Authored]) -> tuple[FoundRegistration, ...]:
    """The registrations among verified records, by Node-ID; what is withdrawn or malformed is left out."""
    newest: dict[bytes, FoundRegistration] = {}
    for record, author in records:
        if record.kind != REGISTRATION:
            continue
        try:
            registration = read_registration(record, author)
        except RemoteError as error:
            _log.debug("a registration is passed over: %s", error)
            continue
        if registration is not None:
            newest[author.node_id] = FoundRegistration(
                author.node_id,
                registration.node_key,
                registration.addresses,
                registration.redirect,
                author,
                record.expiry,
                registration.rendezvous,
            )
    return tuple(newest[node_id] for node_id in sorted(newest))
