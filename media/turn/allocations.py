"""All allocations of a server (RFC 8656 §6 to §8): making, refreshing and ending them, within the quotas."""

from dataclasses import dataclass

from media.turn.allocation import Allocation, Relay, Relays, Tables
from media.turn.quota import User
from media.turn.refusal import Refusal
from media.turn.settings import TurnSettings
from media.turn.users import Users
from media.turn.wishes import TOKEN_BYTES, Wish
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.timers import Timers

RESERVATION_SECONDS = 60.0
MONTH_DRAIN_SHARE = 0.95


@dataclass(slots=True)
class Reservation:
    """A port that is kept for whoever has the token (RFC 8656 §7.2)."""

    relay: Relay
    user: User


@dataclass(frozen=True, slots=True)
class Created:
    """A new allocation, the token of the port reserved with it, and the families that could not be had, with the reason."""

    allocation: Allocation
    token: bytes | None
    missing: tuple[tuple[int, int], ...]


class Allocations:
    """The allocations in `tables`, their timers and their users. Each relayed address counts against the quotas."""

    def __init__(self, *, settings: TurnSettings, tables: Tables, relays: Relays, chance: Chance) -> None:
        self._settings, self._tables, self._relays, self._chance = settings, tables, relays, chance
        self._reservations: dict[bytes, Reservation] = {}
        self._timers: Timers[Address | bytes] = Timers()
        self._drain_until: float | None = None
        self._in_use = 0
        self.users = Users(settings)

    @property
    def is_draining(self) -> bool:
        """Whether no new allocations are made: told to, or the month's bytes are nearly used up."""
        meter = self._tables.meter
        return self._drain_until is not None or meter.used >= meter.end * MONTH_DRAIN_SHARE

    @property
    def free(self) -> int:
        """How many relayed addresses may still be handed out."""
        return 0 if self.is_draining else self._settings.allocations_max - self._in_use

    @property
    def in_use(self) -> int:
        """Relayed addresses handed out or reserved."""
        return self._in_use

    def drain(self, now: float) -> None:
        """Make no new allocations; those that exist may be refreshed for the settings' `drain_seconds`."""
        if self._drain_until is None:
            self._drain_until = now + self._settings.drain_seconds

    def create(self, wish: Wish, user: User, client: Address, transport: str, now: float) -> Created:
        """An allocation for `user` at `client`; Refusal(440, 486, 508) without one."""
        allocation = Allocation(client, transport, user)
        missing: tuple[tuple[int, int], ...] = ()
        token = None
        if wish.token is not None:
            allocation.relays = self._redeem(wish.token, user)
        else:
            self._check_quota(user, 2 if wish.is_dual or wish.reserves_next else 1)
            if wish.reserves_next:
                allocation.relays, token = self._open_pair(wish.families[0], user, now)
            else:
                allocation.relays, missing = self._open(wish)
            self._take(user, len(allocation.relays))
        expires = now + self.lifetime(wish.lifetime, now)
        for relay in allocation.relays.values():
            relay.expires = expires
            self._relays.assign(relay, allocation)
        self._tables.allocations[client] = allocation
        self.plan(allocation)
        return Created(allocation, token, missing)

    def lifetime(self, asked: int | None, now: float) -> int:
        """Seconds that an allocation gets (RFC 8656 §7.2), less near the end of draining."""
        settings = self._settings
        seconds = max(min(asked or 0, settings.lifetime_max), settings.lifetime_default)
        if self._drain_until is not None:
            seconds = min(seconds, max(int(self._drain_until - now), 1))
        return seconds

    def refresh(self, allocation: Allocation, asked: int | None, family: int | None, now: float) -> int:
        """The new lifetime of the whole allocation or of one family's address; 0 ends it."""
        families = list(allocation.relays) if family is None else [family]
        if asked == 0:
            self._end(allocation, families, now)
            return 0
        seconds = self.lifetime(asked, now)
        for each in families:
            allocation.relays[each].expires = now + seconds
        self.plan(allocation)
        return seconds

    def remove(self, client: Address, now: float) -> None:
        """End the allocation of `client`, if there is one."""
        allocation = self._tables.allocations.get(client)
        if allocation is not None:
            self._end(allocation, list(allocation.relays), now)

    def plan(self, allocation: Allocation) -> None:
        """Set the timer of an allocation to the first of its parts that expires."""
        self._timers.set(allocation.client, allocation.next_expiry())

    def poll_timeout(self) -> float | None:
        """See p2psip.base.core.Core."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """See p2psip.base.core.Core."""
        for name in self._timers.expired(now):
            if isinstance(name, bytes):
                reservation = self._reservations.pop(name)
                self._relays.close_relay(reservation.relay)
                self._give_back(reservation.user, 1, now)
                continue
            allocation = self._tables.allocations[name]
            allocation.forget_expired(now)
            self._end(allocation, [each for each, relay in allocation.relays.items() if relay.expires <= now], now)
            if allocation.relays:
                self.plan(allocation)

    def _check_quota(self, user: User, count: int) -> None:
        if self.free < count:
            raise Refusal(508, "this server has no relayed address left, or takes no new clients")
        if user.allocations + count > self._settings.allocations_per_user_max:
            raise Refusal(486, "this user has as many relayed addresses as one may have")

    def _open(self, wish: Wish) -> tuple[dict[int, Relay], tuple[tuple[int, int], ...]]:
        relays: dict[int, Relay] = {}
        missing: list[tuple[int, int]] = []
        for family in wish.families:
            if family not in self._settings.families:
                missing.append((family, 440))
                continue
            relay = self._relays.open_relay(family, even=wish.even)
            if relay is None:
                missing.append((family, 508))
            else:
                relays[family] = relay
        if not relays:
            raise Refusal(508, "no relayed address can be had")
        return relays, tuple(missing)

    def _open_pair(self, family: int, user: User, now: float) -> tuple[dict[int, Relay], bytes]:
        pair = self._relays.open_pair(family)
        if pair is None:
            raise Refusal(508, "no pair of ports is free")
        token = self._chance.bytes(TOKEN_BYTES)
        self._reservations[token] = Reservation(pair[1], user)
        self._timers.set(token, now + RESERVATION_SECONDS)
        self._take(user, 1)
        return {family: pair[0]}, token

    def _redeem(self, token: bytes, user: User) -> dict[int, Relay]:
        """The reserved address. It goes on counting, now for the user who has come with the token."""
        reservation = self._reservations.get(token)
        if reservation is None or self.is_draining:
            raise Refusal(508, "this reservation is over")
        if reservation.user is not user:
            raise Refusal(508, "another user's reservation")
        del self._reservations[token]
        self._timers.stop(token)
        return {reservation.relay.family: reservation.relay}

    def _end(self, allocation: Allocation, families: list[int], now: float) -> None:
        for family in families:
            self._relays.close_relay(allocation.relays.pop(family))
            self._give_back(allocation.user, 1, now)
        if allocation.relays:
            for family in families:
                allocation.forget_family(family)
            return
        self._timers.stop(allocation.client)
        if self._tables.allocations.pop(allocation.client, None) is not None:
            self._tables.finished.add(allocation.counters)

    def _take(self, user: User, count: int) -> None:
        self._in_use += count
        self.users.take(user, count)

    def _give_back(self, user: User, count: int, now: float) -> None:
        self._in_use -= count
        self.users.give_back(user, count, now)
