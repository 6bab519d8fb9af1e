"""Keeping a node's own records in the overlay: its registration, the names of its person, its announcement as a super-node.

A registration is stored at once, again at half life, and again when the node is reached in another way or nobody has taken
it; then it is read back (the canary). Registrations are stored one after the other. A withdrawal overtakes them, for who
withdraws may have a second left: its sequence is higher, so holders refuse what comes behind it.
Holders hand copies on to others that we do not know. So when what all were told last leads to us no more, the region is searched
anew: those copies are fresh, and two holders that agree on one would end a lookup.
While the node joins, all waits: what is sent to strangers then spoils the reachability test (`overlay.joining`).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from overlay.events import LookupDone, StoreDone
from overlay.found import read_found
from overlay.own_records import NAME_SECONDS, OwnRecords
from overlay.peer import Peer
from overlay.records import NAME, REGISTRATION, RELAY, name_key, registration_key
from overlay.registration import Registration, Rendezvous, encode_registration
from overlay.relay_record import Announcement, announcement_keys, encode_announcement
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import SigningKey
from p2psip.base.timers import Timers

REGISTRATION_SECONDS = 600
REFRESH_SECONDS = REGISTRATION_SECONDS / 2
REFRESH_SPREAD = 0.1
NAME_REFRESH_SECONDS = 900.0
"""Only holders that leave make names rare; while their person is away, the holders hand them on."""
CANARY_SECONDS = 900.0
RETRY_SECONDS = 60.0
LOOK_SECONDS = 20.0
LOOK_SOON_SECONDS = 0.2
ANNOUNCE_CHECK_SECONDS = 5.0
WISHES_MAX = 16

NAMES, REFRESH, LOOK, LOOK_SOON, ANNOUNCE = "names", "refresh", "look", "look soon", "announce"

Where = tuple[tuple[Address, ...], tuple[Rendezvous, ...]]
"""How a node is reached: at its own addresses, or through its rendezvous."""

NOWHERE: Where = ((), ())


class _Wish(NamedTuple):
    """A command for registrations: withdraw `addresses`, or publish what is `published` when its turn has come (None)."""

    number: int
    addresses: tuple[str, ...] | None


class _Batch:
    """Records of one kind that are stored side by side; `number` is that of the command, 0 if there was none."""

    __slots__ = ("is_anew", "is_renewal", "is_wide", "kind", "least", "left", "number", "refusal")

    def __init__(self, kind: str, number: int = 0, *, is_anew: bool = False) -> None:
        self.kind = kind
        self.number = number
        self.is_anew = is_anew
        self.left = 0
        self.least: int | None = None
        self.refusal: str | None = None
        self.is_renewal = self.is_wide = True

    def note(self, holders: int, refusal: str | None, *, is_renewal: bool = False) -> None:
        """One record is stored at so many."""
        self.is_renewal = self.is_renewal and is_renewal
        self.is_wide = self.is_wide and not is_renewal
        self.least = holders if self.least is None else min(self.least, holders)
        self.refusal = refusal or self.refusal


class Publishing:
    """The records of one node. The deadlines in `timers` with names of this file are ours.

    `where()` says how this node is reached. `done(number, holders, refusal)` is called at the end of each store of
    registrations, with the least number of holders of one of them (number 0: nobody asked for it), and
    `canary(address, is_found)` when one was read back.
    """

    __slots__ = (
        "_batch", "_canary", "_canary_at", "_canary_hook", "_capabilities", "_chance", "_done", "_is_doubted",
        "_is_held", "_is_started", "_own", "_peer", "_read_back", "_said", "_said_at", "_stores", "_timers", "_told",
        "_told_all", "_volunteers", "_where", "_wishes", "last_canary", "published"
    )  # fmt: skip

    def __init__(
        self,
        peer: Peer,
        timers: Timers[str],
        chance: Chance,
        *,
        certificate: DeviceCertificate,
        signing_key: SigningKey,
        volunteers: bool,
        where: Callable[[], Where],
        done: Callable[[int, int, str | None], None],
        canary: Callable[[str, bool], None],
    ) -> None:
        self.published: tuple[str, ...] = ()
        self.last_canary = "not tried yet"
        self._peer = peer
        self._timers = timers
        self._chance = chance
        self._own = OwnRecords(certificate, signing_key)
        self._volunteers = volunteers
        self._where = where
        self._done = done
        self._canary_hook = canary
        self._capabilities: tuple[str, ...] = ()
        self._told: Where | None = None
        self._told_all = NOWHERE  # what the last search of all holders told
        self._is_held = self._is_started = False
        self._wishes: list[_Wish] = []
        self._batch: _Batch | None = None
        self._stores: dict[int, _Batch] = {}
        self._canary: int | None = None
        self._canary_at = float("-inf")
        self._is_doubted = False
        self._read_back = ""
        self._said: tuple[Any, ...] | None = None
        self._said_at = 0.0

    # Commands

    @property
    def certificate(self) -> DeviceCertificate:
        """Ours; a renewed one signs from then on."""
        return self._own.certificate

    @certificate.setter
    def certificate(self, certificate: DeviceCertificate) -> None:
        self._own.certificate = certificate

    def publish(self, number: int, addresses: Sequence[str], capabilities: Sequence[str], now: float) -> None:
        """Register this node at `addresses` until `withdraw`. LocalError when WISHES_MAX wait.

        RemoteError when our own certificate is none of the overlay now.
        """
        self._peer.membership.check(self.certificate.der, now + self._peer.unix_offset)
        self._wish(_Wish(number, None))
        self.published, self._capabilities = tuple(addresses), tuple(capabilities)
        self._timers.set(LOOK, now + LOOK_SECONDS)
        self._grant(now)

    def withdraw(self, number: int, addresses: Sequence[str], now: float) -> None:
        """Take the registrations back everywhere, at once if there is anybody to tell. LocalError when WISHES_MAX wait."""
        wish = _Wish(number, tuple(addresses))
        must_wait = self._is_held and not len(self._peer.table)
        if must_wait:
            self._wish(wish)
        self.published = tuple(address for address in self.published if address not in addresses)
        if not self.published:
            for name in (REFRESH, LOOK, LOOK_SOON):
                self._timers.stop(name)
        if not must_wait:
            self._take_back(wish, now)

    # What happens

    def hold(self) -> None:
        """The node joins: everything waits."""
        self._is_held = True

    def release(self, now: float) -> None:
        """The node has joined, or knows nobody."""
        self._is_held = False
        if len(self._peer.table):
            self._start(now)
        self._grant(now)
        self._moved(now)

    def met(self, now: float) -> None:
        """A peer has come into the routing table: it may be the first one, and it may see us elsewhere."""
        if self._is_held:
            return
        self._start(now)
        self.look_soon(now)

    def look_soon(self, now: float) -> None:
        """How this node is reached may have changed: publish anew if it has, once all that changes now has changed."""
        if self.published and not self._is_held and LOOK_SOON not in self._timers:
            self._timers.set(LOOK_SOON, now + LOOK_SOON_SECONDS)

    def _moved(self, now: float, *, is_patient: bool = True) -> None:
        """Publish anew if we are reached elsewhere and there is anybody to tell.

        A patient look waits for a way to us when there is none just now: one comes soon, and the last may be good still.
        """
        if not self.published or self._is_held or self._is_wished or not len(self._peer.table):
            return
        where = self._where()
        has_moved = where != self._told and not (is_patient and where == NOWHERE)
        if has_moved or self._peer.stores.are_outgrown(now):
            self._refresh(now)

    def stored(self, event: StoreDone, now: float) -> bool:
        """A store has ended; whether it was ours."""
        batch = self._stores.pop(event.number, None)
        if batch is None:
            return False
        batch.note(event.holders, event.refusal, is_renewal=event.is_renewal)
        batch.left -= 1
        if not batch.left:
            self._end(batch, now)
            self._grant(now)
        return True

    def looked_up(self, event: LookupDone, now: float) -> bool:
        """A lookup has ended; whether it was the canary's."""
        if event.number != self._canary:
            return False
        self._canary = None
        is_behind = self._own.catch_up(event.records)
        if self._read_back not in self.published or self._batch is not None:
            return True  # withdrawn meanwhile, or just being stored anew
        own = self.certificate.node_id
        is_found = any(entry.node_id == own for entry in read_found(event).registrations)
        self.last_canary = "found again" if is_found else "NOT found again: nobody can call this node"
        self._is_doubted = not is_found
        if is_behind:
            self._timers.set(REFRESH, now)
        elif not is_found:
            self._timers.set(REFRESH, now + self._chance.uniform(0.5, 1.0) * RETRY_SECONDS)
        self._canary_hook(self._read_back, is_found)
        return True

    def expired(self, name: str, now: float) -> None:
        """One of our deadlines has come."""
        if name == NAMES:
            self._store_names(now)
        elif name == ANNOUNCE:
            self._announce(now)
        elif name == REFRESH:
            self._give_up(now)
            if self.published and not self._is_wished:
                self._refresh(now)
        elif self.published:
            self._timers.set(LOOK, now + LOOK_SECONDS)
            self._moved(now, is_patient=name == LOOK_SOON)

    # Registrations, one command after the other

    def _wish(self, wish: _Wish) -> None:
        if len(self._wishes) >= WISHES_MAX:
            raise LocalError("too many changes of registrations wait")
        self._wishes.append(wish)

    @property
    def _is_wished(self) -> bool:
        return any(wish.addresses is None for wish in self._wishes)

    def _refresh(self, now: float) -> None:
        if len(self._wishes) < WISHES_MAX:
            self._wishes.append(_Wish(0, None))
            self._grant(now)

    def _grant(self, now: float) -> None:
        while self._wishes and self._batch is None and not self._is_held:
            wish = self._wishes.pop(0)
            if wish.addresses is not None:
                self._take_back(wish, now)
                continue
            self._told = self._where()
            self._batch = _Batch(REGISTRATION, wish.number, is_anew=not _leads_to(self._told_all, self._told))
            self._timers.set(REFRESH, now + REFRESH_SECONDS)
            body = encode_registration(Registration(self._peer.node_key.public, *self._told, self._capabilities))
            self._store_registrations(self._batch, self.published, body, now)

    def _take_back(self, wish: _Wish, now: float) -> None:
        self._store_registrations(_Batch(REGISTRATION, wish.number), wish.addresses or (), None, now)

    def _store_registrations(self, batch: _Batch, addresses: Sequence[str], body: bytes | None, now: float) -> None:
        self._store(batch, [registration_key(address) for address in addresses], body, REGISTRATION_SECONDS, now)

    def _give_up(self, now: float) -> None:
        """A store that has not ended by the next refresh never will: it must not be the last one of this node."""
        batch = self._batch
        if batch is not None:
            self._stores = {number: other for number, other in self._stores.items() if other is not batch}
            batch.note(0, "a store has not ended")
            self._end(batch, now)
            self._grant(now)

    def _try_canary(self, now: float) -> None:
        """Read our own registration back: that a write was answered proves little."""
        self._read_back, self._canary_at = self.published[0], now
        with contextlib.suppress(LocalError):
            self._canary = self._peer.look_up(registration_key(self._read_back), now)

    # Names and announcements

    def _start(self, now: float) -> None:
        """There is somebody to tell, for the first time."""
        if not self._is_started:
            self._is_started = True
            self._store_names(now)
            if self._volunteers:
                self._announce(now)

    def _store_names(self, now: float) -> None:
        """Say that our person exists, phone or not: callers are told 480, not 404. Names go along with registrations."""
        keys = [name_key(address) for address in self.certificate.addresses if address not in self.published]
        if keys:
            self._store(_Batch(NAME), keys, b"", NAME_SECONDS, now)
        else:
            self._timers.set(NAMES, now + self._spread(NAME_REFRESH_SECONDS))

    def _announce(self, now: float) -> None:
        """While this node is a super-node: say so at half life, and at once when it matters."""
        self._timers.set(ANNOUNCE, now + ANNOUNCE_CHECK_SECONDS)
        news = self._peer.crossing.announcement
        weight = None if news is None else _weight(news)
        if weight == self._said and (news is None or now - self._said_at < REFRESH_SECONDS):
            return
        has_moved = self._said is not None and weight is not None and weight[0] != self._said[0]
        self._said, self._said_at = weight, now
        keys = announcement_keys(self.certificate.overlay, self.certificate.node_id)
        body = None if news is None else encode_announcement(news)
        self._store(_Batch(RELAY, is_anew=has_moved), list(keys), body, REGISTRATION_SECONDS, now)

    # All kinds

    def _store(self, batch: _Batch, keys: Sequence[bytes], body: bytes | None, seconds: int, now: float) -> None:
        """Store a record at each key, here, too, since we may be of the region."""
        unix = now + self._peer.unix_offset
        for key in keys:
            try:
                author = self._peer.membership.check(self.certificate.der, unix)
                record = self._own.make(batch.kind, key, body, int(unix) + seconds, unix)
                beside = [self._own.name(key, unix)] if batch.kind == REGISTRATION and body is not None else []
                number = self._peer.store_record(record, now, beside, anew=batch.is_anew or self._is_doubted)
            except (LocalError, RemoteError) as error:
                batch.note(0, str(error))
                continue
            with contextlib.suppress(RemoteError):  # full; others may have room
                for each in (record, *beside):
                    self._peer.store.put(each, author, unix)
            batch.left += 1
            self._stores[number] = batch
        if not batch.left:
            self._end(batch, now)

    def _end(self, batch: _Batch, now: float) -> None:
        """All of a batch are stored as well as they could be: what is next."""
        holders = batch.least or 0
        if batch.kind == NAME:
            self._timers.set(NAMES, now + self._spread(NAME_REFRESH_SECONDS if holders else RETRY_SECONDS))
        elif batch.kind == RELAY:
            if not holders:
                self._said_at = now + RETRY_SECONDS - REFRESH_SECONDS
        else:
            self._done(batch.number, holders, batch.refusal)
        if batch is not self._batch:
            return
        self._batch = None
        self._timers.stop(REFRESH)
        if not holders:
            self._told = None  # LOOK tries again
        elif batch.is_wide and self._told is not None:
            self._told_all = self._told
        if self.published:
            self._timers.set(REFRESH, now + self._spread(REFRESH_SECONDS))
            if batch.refusal is not None and not holders:
                self._try_canary(now)
            elif holders:
                if not batch.is_renewal or now - self._canary_at >= CANARY_SECONDS:
                    self._try_canary(now)
                self._moved(now)

    def _spread(self, seconds: float) -> float:
        """A little less, so that nodes that have started together do not stay together."""
        return self._chance.uniform(1 - REFRESH_SPREAD, 1.0) * seconds


def _leads_to(told: Where, where: Where) -> bool:
    """Whether one of the ways that were told is still one to us."""
    return any(not set(old).isdisjoint(new) for old, new in zip(told, where, strict=True))


def _weight(announcement: Announcement) -> tuple[Any, ...]:
    """What others should know at once when it changes."""
    ports = announcement.tcp_port, announcement.tls_port
    return announcement.addresses, ports, announcement.draining, announcement.capacity == 0
