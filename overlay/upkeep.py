"""The upkeep of a routing table: a random place is looked up now and then, and who was silent for too long is asked for a sign.

Whatever shows that a contact lives counts: answers, and requests with our token. Contacts in the far buckets are checked half as
often: there are many to choose from, while of those near us others learn from us only. Behind a NAT somebody is asked in any
case, for a mapping that nothing uses is soon another one, and who counts on our address loses us.
"""

from collections.abc import Callable
from math import sqrt

from overlay.buckets import BITS, RoutingTable
from overlay.contact import Contact
from overlay.records import NAME
from overlay.rpc import PING, Answer
from overlay.searches import Asker, Searches
from overlay.store import RecordStore
from p2psip.base.chance import Chance
from p2psip.base.timers import Timers

REFRESH_SECONDS = 300.0
GROWING_SECONDS = 75.0
GROWTH_MIN = 3
PING_SECONDS = 10.0
WARM_SECONDS = 12.0
"""A request at least every two checks, 24 s: NATs forget after 30 s and more (RFC 4787 §4.3 wants two minutes)."""
SILENT_EACH_SECONDS = 20.0
"""In a small table each contact is checked after so many seconds for each contact in it."""
SILENT_SECONDS = 400.0
SILENT_SECONDS_MIN, SILENT_SECONDS_MAX = 150.0, 1_200.0
UNMEASURED_SECONDS = 30.0
"""Who came into the table by asking us was never asked: without a token of it, a lookup would take two round trips there."""
USUAL_SECONDS = 3_600.0
"""How long a contact stays, before anything was measured: sessions of an hour."""
PRIOR_CONTACTS = 2.0
WATCHED_SECONDS_MAX = 40 * 3_600.0
FAR_BITS = 3
FAR_PATIENCE = 2.0
FAR_RADII = 4
"""Names are let go beyond so many radii of a region: the estimates of holders differ."""
GREET_SECONDS = 2.5
GREETED_LATER_MAX = 256
GREETED_AT_ONCE_BELOW = 40
OLDEST_AHEAD = 16
"""So many of the contacts whose check is due first are found at once, for the search goes through the whole table."""


class Upkeep:
    """Refreshes buckets, checks contacts and greets strangers, each at its time. `greet` asks a stranger for a sign;
    `is_mapped`: whether we are behind a NAT and others count on what it maps us to."""

    __slots__ = (
        "_ask", "_chance", "_gone", "_greet", "_is_mapped", "_oldest", "_own", "_searches", "_size_then", "_store",
        "_strangers", "_table", "_warmed_at", "_watched", "_watched_at", "timers"
    )  # fmt: skip

    def __init__(
        self,
        table: RoutingTable,
        searches: Searches,
        store: RecordStore,
        ask: Asker,
        greet: Callable[[Contact, float], None],
        is_mapped: Callable[[], bool],
        chance: Chance,
        now: float,
    ) -> None:
        self._own = table.own
        self._table = table
        self._searches = searches
        self._store = store
        self._ask = ask
        self._greet = greet
        self._is_mapped = is_mapped
        self._warmed_at = now
        self._chance = chance
        self._oldest: list[tuple[Contact, float, float]] = []
        self._strangers: dict[str, Contact] = {}
        self._watched, self._gone = PRIOR_CONTACTS * USUAL_SECONDS, PRIOR_CONTACTS - table.gone
        self._watched_at = now
        self._size_then = 0
        self.timers: Timers[str] = Timers()
        self.timers.set("refresh", now + chance.uniform(0.5, 1.0) * REFRESH_SECONDS)
        self.timers.set("ping", now + chance.uniform(0.5, 1.0) * PING_SECONDS)

    @property
    def silent_seconds(self) -> float:
        """How long a contact may be silent before it is checked.

        A check costs a little for each contact, a contact that is gone costs who asks it, and is met the more often the longer it
        was not checked: the sum is least at a time that grows with the square root of how long contacts stay, which is measured.
        """
        stay = self._watched / (self._gone + self._table.gone)
        seconds = SILENT_SECONDS * sqrt(stay / USUAL_SECONDS)
        seconds = min(max(seconds, SILENT_SECONDS_MIN), SILENT_SECONDS_MAX)
        return min(seconds, SILENT_EACH_SECONDS * len(self._table))

    def greet_later(self, contact: Contact, now: float) -> None:
        """Greet a stranger who belongs, but has not proved its address, if it has not done so by its next request meanwhile.

        At once while we know few: they count on us.
        """
        if len(self._table) < GREETED_AT_ONCE_BELOW:
            self._greet(contact, now)
        elif len(self._strangers) < GREETED_LATER_MAX:
            name = contact.node_key.hex()
            if name not in self._strangers:
                self.timers.set(name, now + GREET_SECONDS)
            self._strangers[name] = contact

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for name in self.timers.expired(now):
            if name == "refresh":
                self._refresh(now)
            elif name == "ping":
                self._ping_oldest(now)
            else:
                stranger = self._strangers.pop(name)
                if self._table.find(stranger.node_key) is None and self._table.has_room(stranger):
                    self._greet(stranger, now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    def _refresh(self, now: float) -> None:
        """Look up a random place in one bucket, and expire what is over (§2.3 of the Kademlia paper).

        In the bucket that lacks the most, and soon again while that makes the table grow: each contact that it lacks may cost a
        lookup a round trip, here and at others.
        """
        lacking = self._table.bucket_that_lacks(self._searches.size.nodes or 0.0)
        grows = lacking is not None and len(self._table) >= self._size_then + GROWTH_MIN
        self._size_then = len(self._table)
        seconds = GROWING_SECONDS if grows else REFRESH_SECONDS
        self.timers.set("refresh", now + self._chance.uniform(0.8, 1.2) * seconds)
        self._store.expire(now + self._searches.unix_offset)
        self._searches.count_near()
        self._let_go()
        if len(self._table):
            self._searches.refresh(self._table.target_in(lacking, self._chance.integer(160)), now)

    def _let_go(self) -> None:
        """Names live for a month: who took them in while the network was small would hold them long after it has grown."""
        region = self._searches.size.region(self._own)
        if region is not None:
            self._store.let_go(NAME, self._own, FAR_RADII * region.radius)

    def _ping_oldest(self, now: float) -> None:
        """Who was silent for too long is asked whether it is still there."""
        self.timers.set("ping", now + self._chance.uniform(0.8, 1.2) * PING_SECONDS)
        self._watch(now)
        oldest = self._find_oldest()
        is_cold = self._is_mapped() and now - self._warmed_at >= WARM_SECONDS
        if oldest is not None and (is_cold or oldest[1] <= now):
            self._warmed_at = now
            self._ask(oldest[0], PING, [], _ignore, now)

    def _watch(self, now: float) -> None:
        """Note how long how many contacts were watched; of what was long ago, half counts."""
        self._watched += len(self._table) * (now - self._watched_at)
        self._watched_at = now
        if self._watched > WATCHED_SECONDS_MAX:
            self._watched /= 2
            self._gone = (self._gone + self._table.gone) / 2 - self._table.gone

    def _find_oldest(self) -> tuple[Contact, float] | None:
        """Whose check is due first, and when. Of those that were it a while ago, who was not heard since still comes first."""
        while self._oldest:
            contact, last_seen, due = self._oldest[-1]
            if contact.last_seen == last_seen and self._table.get(contact) is contact:
                return contact, due
            self._oldest.pop()
        near = self.silent_seconds
        new, far, edge = min(near, UNMEASURED_SECONDS), FAR_PATIENCE * near, 1 << BITS - FAR_BITS
        checks = [
            (
                contact.last_seen
                + (new if contact.rtt is None else far if contact.number ^ self._own >= edge else near),
                contact.number,
                contact,
            )
            for contact in self._table
        ]
        self._oldest = [
            (contact, contact.last_seen, due) for due, _number, contact in sorted(checks)[OLDEST_AHEAD - 1 :: -1]
        ]
        return (self._oldest[-1][0], self._oldest[-1][2]) if self._oldest else None


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
