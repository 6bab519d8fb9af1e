"""The upkeep of a routing table: a random place is looked up now and then, and the peer silent longest is asked for a sign."""

import heapq

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.records import NAME
from overlay.rpc import PING, Answer
from overlay.searches import Asker, Searches
from overlay.store import RecordStore
from p2psip.base.chance import Chance
from p2psip.base.timers import Timers

REFRESH_SECONDS = 300.0
PING_SECONDS = 20.0
FAR_RADII = 4
"""Names are let go beyond so many radii of a region: the estimates of holders differ."""
OLDEST_AHEAD = 16
"""So many of the contacts silent longest are found at once, for the search goes through the whole table."""


class Upkeep:
    """Refreshes buckets and pings, each at its time."""

    __slots__ = ("_ask", "_chance", "_oldest", "_own", "_searches", "_store", "_table", "timers")

    def __init__(
        self,
        own: int,
        table: RoutingTable,
        searches: Searches,
        store: RecordStore,
        ask: Asker,
        chance: Chance,
        now: float,
    ) -> None:
        self._own = own
        self._table = table
        self._searches = searches
        self._store = store
        self._ask = ask
        self._chance = chance
        self._oldest: list[tuple[Contact, float]] = []
        self.timers: Timers[str] = Timers()
        self.timers.set("refresh", now + chance.uniform(0.5, 1.0) * REFRESH_SECONDS)
        self.timers.set("ping", now + chance.uniform(0.5, 1.0) * PING_SECONDS)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for name in self.timers.expired(now):
            if name == "refresh":
                self._refresh(now)
            else:
                self._ping_oldest(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    def _refresh(self, now: float) -> None:
        """Look up a random place in one bucket, and expire what is over (§2.3 of the Kademlia paper)."""
        self.timers.set("refresh", now + self._chance.uniform(0.8, 1.2) * REFRESH_SECONDS)
        self._store.expire(now + self._searches.unix_offset)
        self._let_go()
        if len(self._table):
            self._searches.refresh(self._table.oldest_bucket_target(self._chance.integer(160)), now)

    def _let_go(self) -> None:
        """Names live for a month: who took them in while the network was small would hold them long after it has grown."""
        region = self._searches.size.region(self._own)
        if region is not None:
            self._store.let_go(NAME, self._own, FAR_RADII * region.radius)

    def _ping_oldest(self, now: float) -> None:
        """The peer that was silent longest is asked whether it is still there."""
        self.timers.set("ping", now + self._chance.uniform(0.8, 1.2) * PING_SECONDS)
        oldest = self._find_oldest()
        if oldest is not None and now - oldest.last_seen > PING_SECONDS:
            self._ask(oldest, PING, [], _ignore, now)

    def _find_oldest(self) -> Contact | None:
        """The contact silent longest. Of those that were it a while ago, who was not heard since still comes before all others."""
        while self._oldest:
            contact, last_seen = self._oldest[-1]
            if contact.last_seen == last_seen and self._table.get(contact) is contact:
                return contact
            self._oldest.pop()
        oldest = heapq.nsmallest(OLDEST_AHEAD, self._table, key=lambda contact: (contact.last_seen, contact.number))
        self._oldest = [(contact, contact.last_seen) for contact in reversed(oldest)]
        return self._oldest[-1][0] if self._oldest else None


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
