"""Whom a node checks, and how often; and strangers, who are greeted when they have had time to prove themselves."""

import itertools
from itertools import pairwise

import pytest

from overlay.buckets import BITS, RoutingTable
from overlay.contact import Contact
from overlay.records import RecordVerifier
from overlay.rpc import PING, Callback, Late
from overlay.searches import Searches
from overlay.store import RecordStore
from overlay.upkeep import (
    FAR_PATIENCE,
    GREET_SECONDS,
    GREETED_AT_ONCE_BELOW,
    GREETED_LATER_MAX,
    GROWING_SECONDS,
    GROWTH_MIN,
    PING_SECONDS,
    REFRESH_SECONDS,
    SILENT_EACH_SECONDS,
    SILENT_SECONDS,
    SILENT_SECONDS_MAX,
    SILENT_SECONDS_MIN,
    UNMEASURED_SECONDS,
    USUAL_SECONDS,
    WATCHED_SECONDS_MAX,
    Upkeep,
)
from p2psip.base.chance import Chance
from tests.overlay.devices import Town

TOWN = Town()
NEAR, FAR = 1 << 100, 1 << BITS - 1


class Refreshing(Searches):
    """Searches that note when which place was to be refreshed."""

    refreshed: list[tuple[float, int]]

    def refresh(self, target: int, now: float) -> None:
        self.refreshed.append((now, target))


class Desk:
    """The upkeep of a node with id 0 and its `table`; contacts live as long as they are not in `dead`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_mapped = False
        self.table = RoutingTable(0)
        self.pinged: list[tuple[float, Contact]] = []
        self.greeted: list[Contact] = []
        self.dead: list[Contact] = []
        searches = self.searches = Refreshing(
            bytes(32), self.table, RecordVerifier(TOWN.membership()), self._ask, print
        )
        searches.refreshed = []
        self.upkeep = Upkeep(
            self.table,
            searches,
            RecordStore(),
            self._ask,
            self._greet,
            lambda: self.is_mapped,
            Chance.seeded(1),
            self.now,
        )
        self.upkeep.timers.stop("refresh")

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[object],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        assert method == PING
        self.pinged.append((now, contact))
        if contact in self.dead:
            contact.failures += 1
            if contact.failures > 1:
                self.table.remove(contact)
        else:
            contact.last_seen, contact.rtt = now, 0.1

    def _greet(self, contact: Contact, now: float) -> None:
        self.greeted.append(contact)

    def know(self, number: int, *, rtt: float | None = 0.1) -> Contact:
        contact = stranger(number)
        contact.rtt = rtt
        assert self.table.add(contact)
        return contact

    def fill(self, count: int) -> list[Contact]:
        """So many contacts in buckets of their own twenty."""
        return [self.know((1 << 60 + 3 * (index // 20)) + index % 20) for index in range(count)]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.upkeep.poll_timeout()) is not None and due <= end:
            self.now = due
            self.upkeep.handle_timeout(due)
        self.now = end


def stranger(number: int) -> Contact:
    contact = Contact(number.to_bytes(32, "big"), ("10.0.0.1", 5000))
    contact.number = number
    return contact


def test_in_a_small_table_who_is_silent_is_missed_soon() -> None:
    desk = Desk()
    desk.dead.append(desk.know(NEAR))
    desk.run(SILENT_EACH_SECONDS + 3 * 1.2 * PING_SECONDS)
    assert len(desk.table) == 0


def test_each_contact_is_checked_when_it_was_silent_for_long_and_far_ones_half_as_often() -> None:
    desk = Desk()
    near, far = desk.know(NEAR), desk.know(FAR)
    desk.fill(40)
    desk.run(8 * FAR_PATIENCE * SILENT_SECONDS_MAX)
    checks = [[at for at, contact in desk.pinged if contact is each] for each in (near, far)]
    assert 1.5 * len(checks[1]) < len(checks[0]) < 2.5 * len(checks[1])
    for times, patience in zip(checks, (1, FAR_PATIENCE), strict=True):
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) >= SILENT_SECONDS_MIN
        assert max(gaps) <= patience * SILENT_SECONDS_MAX + 10 * PING_SECONDS


def test_who_is_heard_otherwise_is_not_checked() -> None:
    desk = Desk()
    talker = desk.know(NEAR)
    desk.fill(40)
    for _ in range(60):
        talker.last_seen = desk.now
        desk.run(60)
    assert talker not in [contact for _at, contact in desk.pinged]
    assert desk.pinged


def test_who_was_never_asked_is_asked_soon() -> None:
    desk = Desk()
    desk.fill(40)
    new = desk.know(FAR, rtt=None)
    desk.run(UNMEASURED_SECONDS + 2 * 1.2 * PING_SECONDS)
    assert [contact for _at, contact in desk.pinged] == [new]


def test_where_contacts_stay_long_they_are_checked_seldom_and_where_they_leave_often() -> None:
    calm, wild = Desk(), Desk()
    assert len(calm.fill(60)) == len(wild.fill(60)) == 60
    before = calm.upkeep.silent_seconds
    assert before == pytest.approx(SILENT_SECONDS)
    calm.run(4 * USUAL_SECONDS)
    for number in range(240):
        lost = wild.know(FAR + number)
        lost.failures = 1
        wild.table.remove(lost)
        wild.run(10)
    assert SILENT_SECONDS_MIN <= wild.upkeep.silent_seconds < before < calm.upkeep.silent_seconds <= SILENT_SECONDS_MAX


def test_what_was_long_ago_counts_half() -> None:
    """Somebody who makes us believe that all leave, or stay, must go on with it."""
    desk = Desk()
    desk.fill(60)
    for number in range(1_000):
        lost = desk.know(FAR + number)
        lost.failures = 1
        desk.table.remove(lost)
    desk.run(60)
    assert desk.upkeep.silent_seconds == SILENT_SECONDS_MIN
    desk.run(8 * WATCHED_SECONDS_MAX / 60)
    assert desk.upkeep.silent_seconds > SILENT_SECONDS
    assert desk.upkeep._watched <= WATCHED_SECONDS_MAX


def test_a_stranger_is_greeted_at_once_while_few_are_known_and_later_when_many_are() -> None:
    desk = Desk()
    desk.fill(GREETED_AT_ONCE_BELOW - 1)
    desk.upkeep.greet_later(stranger(NEAR + 1), desk.now)
    assert len(desk.greeted) == 1
    desk.know(NEAR)
    desk.upkeep.greet_later(stranger(NEAR + 2), desk.now)
    assert len(desk.greeted) == 1
    desk.run(GREET_SECONDS)
    assert [contact.number for contact in desk.greeted] == [NEAR + 1, NEAR + 2]


def test_a_stranger_who_has_proved_itself_meanwhile_is_not_greeted() -> None:
    desk = Desk()
    desk.fill(GREETED_AT_ONCE_BELOW)
    late = stranger(NEAR)
    desk.upkeep.greet_later(late, desk.now)
    desk.table.add(late)
    desk.run(GREET_SECONDS)
    assert desk.greeted == []


def test_one_stranger_over_the_bound_is_not_greeted() -> None:
    desk = Desk()
    desk.fill(GREETED_AT_ONCE_BELOW)
    for number in range(GREETED_LATER_MAX + 1):
        desk.upkeep.greet_later(stranger(NEAR + number), desk.now)
        desk.upkeep.greet_later(stranger(NEAR + number), desk.now)  # the same again is one
    desk.run(GREET_SECONDS)
    assert len(desk.greeted) == GREETED_LATER_MAX


def test_behind_a_nat_somebody_is_asked_before_the_mapping_is_forgotten() -> None:
    desk = Desk()
    desk.is_mapped = True
    desk.fill(30)
    desk.run(600)
    times = [when for when, _contact in desk.pinged]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 25


def test_the_bucket_that_lacks_the_most_is_filled_and_soon_again_while_that_makes_the_table_grow() -> None:
    desk = Desk()
    desk.searches.size.observe(5, [5 ^ place * (1 << BITS) // 1_001 for place in (1, 2, 3, 4)])
    assert desk.searches.size.nodes == pytest.approx(1_000, rel=0.01)
    desk.upkeep.timers.stop("ping")
    waits = []
    for growth in (GROWTH_MIN, GROWTH_MIN, GROWTH_MIN - 1, GROWTH_MIN):
        for _ in range(growth):
            desk.know(FAR + len(desk.table))
        desk.upkeep.timers.set("refresh", desk.now)
        desk.upkeep.handle_timeout(desk.now)
        due = desk.upkeep.poll_timeout()
        assert due is not None
        waits.append(due - desk.now)
        desk.now = due
    targets = [target for _when, target in desk.searches.refreshed]
    assert all(target.bit_length() == BITS - 1 for target in targets)
    assert [round(wait / GROWING_SECONDS) for wait in waits if wait < 2 * GROWING_SECONDS] == [1, 1, 1]
    assert 0.8 * REFRESH_SECONDS <= waits[2] <= 1.2 * REFRESH_SECONDS
