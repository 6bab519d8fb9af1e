"""How a node joins the overlay, and comes back when it knows nobody any more: one attempt is a small state machine.

    GREETING   the first GREETED_FIRST_MAX known peers are greeted; the others when none of them answers soon; all once again
    TESTING    while most hosts have been sent nothing, so that they can prove who reaches us, the reachability test ends
    LOOKING    all others are greeted, and we look ourselves up (§2.3 of the Kademlia paper), again when an answer was lost
    RESTING    the attempt has ended; after one that met nobody, and when the routing table has run empty, the next begins
               after a delay that doubles from REJOIN_SECONDS_MIN to REJOIN_SECONDS_MAX, drawn so that nodes that an outage
               has cut off together do not come back together

Whom to greet is told with `join`; peers met later are noted now and then, since introducers go away.

A network that was cut in two would stay so, once each half has forgotten the other. So each REUNION_SECONDS one of those who
were known and are not in the table any more is greeted; if it is there again, we look ourselves up among its peers.
"""

import contextlib
import enum
from collections.abc import Callable, Sequence

from overlay.addresses import sort_by_family
from overlay.contact import Contact
from overlay.events import LookupDone
from overlay.peer import Peer
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import LocalError
from p2psip.base.timers import Timers

GREETED_FIRST_MAX = 3
GREETED_FIRST_SECONDS = 1.0
GREETED_SECONDS_MAX = 5.0
GREETED_AGAIN_SECONDS = 2.6  # a little later than the first greeting is given up (`overlay.rtt`)
TEST_SECONDS_MAX = 4.0
LOOKING_SECONDS_MAX = 30.0
LOOKUPS_MAX = 3
GREETED_AT_ONCE_MAX = 64
KNOWN_MAX = 512
NOTED_MAX = 16
NOTED_EACH_TIME = 2
REJOIN_SECONDS_MIN = 5.0
REJOIN_SECONDS_MAX = 60.0
REUNION_SECONDS = 120.0
JOIN, REUNION = "join", "reunion"

Known = tuple[bytes, Address]
"""A node key and an address."""


class Step(enum.Enum):
    """Where an attempt stands."""

    RESTING = enum.auto()
    GREETING_FIRST = enum.auto()
    GREETING = enum.auto()
    GREETING_AGAIN = enum.auto()
    TESTING = enum.auto()
    LOOKING = enum.auto()


def in_order(introducers: Sequence[Known], remembered: Sequence[Known]) -> list[Known]:
    """Whom to greet, the first first: after a power cut all come back at once, and all are told of the bootstrap server's node."""
    return [*remembered[:GREETED_FIRST_MAX], *introducers, *remembered[GREETED_FIRST_MAX:]]


_GREETING = (Step.GREETING_FIRST, Step.GREETING, Step.GREETING_AGAIN)


class Joining:
    """The attempts of one node. `joined(peers, now)` is called at the end of each.

    The deadlines JOIN and REUNION in `timers` are ours.
    """

    __slots__ = (
        *("_attempts", "_chance", "_delay", "_greeted", "_joined", "_known", "_lookup", "_lookups", "_noted", "_peer"),
        *("_timers", "step"),
    )

    def __init__(self, peer: Peer, timers: Timers[str], chance: Chance, joined: Callable[[int, float], None]) -> None:
        self.step = Step.RESTING
        self._peer = peer
        self._timers = timers
        self._chance = chance
        self._joined = joined
        self._known: tuple[Known, ...] = ()
        self._noted: tuple[Known, ...] = ()
        self._delay = REJOIN_SECONDS_MIN
        self._attempts = 0
        self._lookup: int | None = None
        self._lookups = 0
        self._greeted: bytes | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self.step is not Step.RESTING

    def join(self, known: Sequence[Known], now: float) -> None:
        """Begin an attempt with these peers, the best first; KNOWN_MAX count. One that is under way ends without a word."""
        own = self._peer.node_key.public
        self._known = tuple([each for each in known if each[0] != own][:KNOWN_MAX])
        self._delay, self._attempts = REJOIN_SECONDS_MIN, 0
        self._begin(now)

    def met(self, contact: Contact, now: float) -> None:
        """This peer is in the routing table now."""
        if REUNION not in self._timers:
            self._plan_reunion(now)
        if self.step in _GREETING:
            self._test(now)
        elif contact.node_key == self._greeted and self.step is Step.RESTING:
            self._greeted = None
            with contextlib.suppress(LocalError):
                self._peer.look_up(self._peer.node_key.node_id, now, records=False)

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

    def expired(self, name: str, now: float) -> None:
        """One of our deadlines has come."""
        if name == REUNION:
            self._reunite(now)
            return
        match self.step:
            case Step.RESTING:
                if len(self._peer.table):  # somebody has come to us meanwhile
                    self._delay = REJOIN_SECONDS_MIN
                else:
                    self._begin(now)
            case Step.GREETING_FIRST:
                self._greet_others(now)
                self._wait(Step.GREETING, GREETED_AGAIN_SECONDS, now)
            case Step.GREETING:
                self._greet(self._candidates()[:GREETED_FIRST_MAX], now)
                self._greet_others(now)
                self._wait(Step.GREETING_AGAIN, GREETED_SECONDS_MAX - GREETED_AGAIN_SECONDS, now)
            case Step.GREETING_AGAIN | Step.LOOKING:
                self._end(now)
            case Step.TESTING:
                self._look(now)

    def look_after(self, now: float) -> None:
        """Plan the next attempt when nobody is known any more; cheap, for it is asked at each timeout."""
        if self.step is not Step.RESTING or len(self._peer.table) or JOIN in self._timers:
            return
        if self._known or self._noted:
            self._timers.set(JOIN, now + self._chance.uniform(0.5, 1.0) * self._delay)
            self._delay = min(2 * self._delay, REJOIN_SECONDS_MAX)

    # An attempt

    def _candidates(self) -> list[Known]:
        """All whom we can greet, those first whom we have a way to."""
        told = {node_key for node_key, _address in self._known}
        noted = [each for each in self._noted if each[0] not in told]
        return sort_by_family([*self._known, *noted], self._peer.crossing.families)

    def _begin(self, now: float) -> None:
        others = self._candidates()
        self._lookup, self._lookups = None, 0
        self._greet(others[:GREETED_FIRST_MAX], now)
        if len(self._peer.table):
            self._test(now)
        elif not others:
            self._end(now)
        elif len(others) > GREETED_FIRST_MAX:
            self._wait(Step.GREETING_FIRST, GREETED_FIRST_SECONDS, now)
        else:
            self._wait(Step.GREETING, GREETED_AGAIN_SECONDS, now)

    def _wait(self, step: Step, seconds: float, now: float) -> None:
        self.step = step
        self._timers.set(JOIN, now + seconds)

    def _greet(self, others: Sequence[Known], now: float) -> None:
        for node_key, address in others:
            self._peer.greet(node_key, address, now)

    def _greet_others(self, now: float) -> None:
        """All but the first, GREETED_AT_ONCE_MAX at most; the next attempt takes the next of them."""
        others = self._candidates()[GREETED_FIRST_MAX:]
        windows = max(1, -(-len(others) // GREETED_AT_ONCE_MAX))
        start = self._attempts % windows * GREETED_AT_ONCE_MAX
        self._greet(others[start : start + GREETED_AT_ONCE_MAX], now)

    def _test(self, now: float) -> None:
        self._wait(Step.TESTING, TEST_SECONDS_MAX, now)
        self.tested(now)

    def _look(self, now: float) -> None:
        self._wait(Step.LOOKING, LOOKING_SECONDS_MAX, now)
        self._greet_others(now)
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
        self._lookup = None
        self._attempts += 1
        self._timers.stop(JOIN)
        if len(self._peer.table):
            self._delay, self._attempts = REJOIN_SECONDS_MIN, 0
            self._known = self._known[:NOTED_MAX]
            self._note_peers(NOTED_MAX // 2)
        self._joined(len(self._peer.table), now)
        self.look_after(now)

    # Between attempts

    def _note_peers(self, count: int) -> None:
        """Remember some of the peers in the routing table; the oldest beyond NOTED_MAX are forgotten."""
        noted = {node_key for node_key, _address in self._noted}
        fresh = [contact for contact in self._peer.table if contact.node_key not in noted]
        some = self._chance.sample(fresh, min(count, len(fresh)))
        self._noted = (*self._noted, *((contact.node_key, contact.address) for contact in some))[-NOTED_MAX:]

    def _plan_reunion(self, now: float) -> None:
        self._timers.set(REUNION, now + self._chance.uniform(0.8, 1.2) * REUNION_SECONDS)

    def _reunite(self, now: float) -> None:
        """Greet one who was lost, and note who is there."""
        self._plan_reunion(now)
        lost = [each for each in self._candidates() if self._peer.table.find(each[0]) is None]
        if lost:
            self._greeted, address = self._chance.choice(lost)
            self._peer.greet(self._greeted, address, now)
        self._note_peers(NOTED_EACH_TIME)
