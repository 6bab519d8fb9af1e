"""How a node joins the overlay, and comes back when it knows nobody any more: one attempt is a small state machine.

    GREETING   the first GREETED_FIRST_MAX known peers are greeted; the others when none of them answers soon
    TESTING    while most hosts have been sent nothing, so that they can prove who reaches us, the reachability test ends
    LOOKING    all others are greeted, and we look ourselves up (§2.3 of the Kademlia paper), again when an answer was lost
    RESTING    the attempt has ended; after one that met nobody, and when the routing table has run empty, the next begins
               after a delay that doubles from REJOIN_SECONDS_MIN to REJOIN_SECONDS_MAX, drawn so that nodes that an outage
               has cut off together do not come back together

Whom to greet is told with `join`; peers met later are noted now and then, since introducers go away.
"""

import enum
from collections.abc import Callable, Sequence

from overlay.addresses import sort_by_family
from overlay.events import LookupDone
from overlay.peer import Peer
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError
from p2psip.base.timers import Timers

GREETED_FIRST_MAX = 3
GREETED_FIRST_SECONDS = 1.0
GREETED_SECONDS_MAX = 5.0
TEST_SECONDS_MAX = 4.0
LOOKUPS_MAX = 3
KNOWN_MAX = 512
NOTED_MAX = 16
REJOIN_SECONDS_MIN = 5.0
REJOIN_SECONDS_MAX = 60.0
JOIN = "join"

Known = tuple[bytes, Address]
"""A node key and an address."""


class Step(enum.Enum):
    """Where an attempt stands."""

    RESTING = enum.auto()
    GREETING_FIRST = enum.auto()
    GREETING = enum.auto()
    TESTING = enum.auto()
    LOOKING = enum.auto()


class Joining:
    """The attempts of one node. `joined(peers)` is called at the end of each; the deadline JOIN in `timers` is ours."""

    __slots__ = ("_chance", "_delay", "_joined", "_known", "_lookup", "_lookups", "_noted", "_peer", "_timers", "step")

    def __init__(self, peer: Peer, timers: Timers[str], chance: Chance, joined: Callable[[int, float], None]) -> None:
        self.step = Step.RESTING
        self._peer = peer
        self._timers = timers
        self._chance = chance
        self._joined = joined
        self._known: tuple[Known, ...] = ()
        self._noted: tuple[Known, ...] = ()
        self._delay = REJOIN_SECONDS_MIN
        self._lookup: int | None = None
        self._lookups = 0

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self.step is not Step.RESTING

    def join(self, known: Sequence[Known], now: float) -> None:
        """Begin an attempt with these peers, the best first; KNOWN_MAX count. One that is under way ends without a word."""
        own = self._peer.node_key.public
        self._known = tuple([each for each in known if each[0] != own][:KNOWN_MAX])
        self._delay = REJOIN_SECONDS_MIN
        self._begin(now)

    def note_peers(self) -> None:
        """Remember some of the peers in the routing table, NOTED_MAX at most, for the day on which it runs empty."""
        contacts = list(self._peer.table)
        if contacts:
            some = self._chance.sample(contacts, min(NOTED_MAX, len(contacts)))
            self._noted = tuple((contact.node_key, contact.address) for contact in some)

    def met(self, now: float) -> None:
        """Somebody is in the routing table now."""
        if self.step is Step.GREETING_FIRST or self.step is Step.GREETING:
            self._test(now)

    def tested(self, now: float) -> None:
        """A test of who can reach us has ended."""
        if self.step is Step.TESTING and self._peer.dialback.is_settled:
            self._look(now)

    def looked_up(self, done: LookupDone, now: float) -> bool:
        """A lookup has ended; whether it was ours."""
        if done.number != self._lookup:
            return False
        self._lookup = None
        if done.closest:
            self._end(now)
        else:  # an answer was lost: without a second lookup we would know nobody but the introducer
            self._look_self_up(now)
        return True

    def expired(self, now: float) -> None:
        """The deadline JOIN has come."""
        match self.step:
            case Step.RESTING:
                if len(self._peer.table):  # somebody has come to us meanwhile
                    self._delay = REJOIN_SECONDS_MIN
                else:
                    self._begin(now)
            case Step.GREETING_FIRST:
                self._greet(self._sorted()[GREETED_FIRST_MAX:], now)
                self.step = Step.GREETING
                self._timers.set(JOIN, now + GREETED_SECONDS_MAX)
            case Step.GREETING:
                self._end(now)
            case Step.TESTING:
                self._look(now)

    def look_after(self, now: float) -> None:
        """Plan the next attempt when nobody is known any more; cheap, for it is asked at each timeout."""
        if self.step is Step.RESTING and not len(self._peer.table) and JOIN not in self._timers and self._candidates:
            self._timers.set(JOIN, now + self._chance.uniform(0.5, 1.0) * self._delay)
            self._delay = min(2 * self._delay, REJOIN_SECONDS_MAX)

    @property
    def _candidates(self) -> tuple[Known, ...]:
        return (*self._known, *(each for each in self._noted if each not in self._known))

    def _sorted(self) -> list[Known]:
        return sort_by_family(self._candidates, self._peer.crossing.families)

    def _begin(self, now: float) -> None:
        others = self._sorted()
        self._lookup, self._lookups = None, 0
        self._greet(others[:GREETED_FIRST_MAX], now)
        if len(self._peer.table):
            self._test(now)
        elif not others:
            self._end(now)
        elif len(others) > GREETED_FIRST_MAX:
            self.step = Step.GREETING_FIRST
            self._timers.set(JOIN, now + GREETED_FIRST_SECONDS)
        else:
            self.step = Step.GREETING
            self._timers.set(JOIN, now + GREETED_SECONDS_MAX)

    def _greet(self, others: Sequence[Known], now: float) -> None:
        for node_key, address in others:
            self._peer.greet(node_key, address, now)

    def _test(self, now: float) -> None:
        self.step = Step.TESTING
        self._timers.set(JOIN, now + TEST_SECONDS_MAX)
        self.tested(now)

    def _look(self, now: float) -> None:
        self.step = Step.LOOKING
        self._timers.stop(JOIN)
        self._greet(self._sorted()[GREETED_FIRST_MAX:], now)
        self._look_self_up(now)

    def _look_self_up(self, now: float) -> None:
        if not len(self._peer.table) or self._lookups >= LOOKUPS_MAX:
            self._end(now)
            return
        self._lookups += 1
        try:
            self._lookup = self._peer.look_up(self._peer.node_key.node_id, now, records=False)
        except LocalError:  # as many lookups as there may be: they teach us of others, too
            self._end(now)

    def _end(self, now: float) -> None:
        self.step = Step.RESTING
        self._timers.stop(JOIN)
        if len(self._peer.table):
            self._delay = REJOIN_SECONDS_MIN
            self.note_peers()
        self._joined(len(self._peer.table), now)
        self.look_after(now)
