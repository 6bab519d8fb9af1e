"""Being told when somebody's registration changes: holders tell who watches, so that nobody need look again and again.

    WATCH   [key, how I am reached]   ->   [seconds]     "" or the body of a registration that names the asker's rendezvous
    NEWS    [key]                     ->   nil           something was stored at this key

A watcher asks the HOLDERS_WATCHED nodes that a lookup of the key ends at, and again before the seconds are over. NEWS says nothing
but that it is worth to look: what is there proves itself, so a holder that lies costs a lookup or keeps silent as the three
others do not. It comes only from holders that were asked, and only to who has proved who it is and where it receives. That a
record has run out is not told: who has talked to a device knows sooner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from overlay.budget import Budget
from overlay.contact import Contact
from overlay.events import LookupDone, RegistrationNews
from overlay.holder import Asking
from overlay.reaching import may_try
from overlay.records import RECORD_KEY_BYTES
from overlay.registration import Registration, Rendezvous, decode_registration, encode_registration
from overlay.rpc import NEWS, OK, UNAUTHORIZED, WATCH, Answer
from overlay.searches import Asker
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError

HOLDERS_WATCHED = 4
WATCH_SECONDS = 240
RENEW_SECONDS = 180.0
RETRY_SECONDS = 10.0
WATCHES_MAX = 4_096
WATCHES_PER_KEY_MAX = 64
WATCHES_PER_NODE_MAX = 256
WISHES_MAX = 256
NEWS_PER_KEY_PER_SECOND_MAX = 1
NEWS_PER_SECOND_MAX = 200


@dataclass(slots=True)
class _Wish:
    """A key that we watch: the holders that have agreed to tell us, and when they are to be asked again."""

    due: float
    holders: set[bytes] = field(default_factory=set)
    is_established: bool = False


@dataclass(slots=True)
class _Watched:
    """A key that others watch: how each is reached, and until when."""

    budget: Budget
    watchers: dict[bytes, tuple[tuple[Address, ...], float]] = field(default_factory=dict)


class Watching:
    """Both sides of one node. `own_ways()` are the rendezvous of a client, none of a peer; the rest is as in `Reaching`."""

    __slots__ = (
        "_ask", "_budget", "_emit", "_find", "_is_client", "_is_member", "_own_ways", "_per_node", "_time", "_watched",
        "_ways", "_wishes"
    )  # fmt: skip

    def __init__(
        self,
        ask: Asker,
        find: Callable[[bytes, float, Callable[[LookupDone], None]], None],
        ways: Callable[[Sequence[Address | Rendezvous], float], list[Address]],
        is_member: Callable[[bytes, float], bool],
        time: Callable[[], float],
        *,
        emit: Callable[[RegistrationNews], None],
        is_client: Callable[[], bool],
        own_ways: Callable[[], tuple[Rendezvous, ...]],
    ) -> None:
        self._ask = ask
        self._find = find
        self._ways = ways
        self._is_member = is_member
        self._time = time
        self._emit = emit
        self._is_client = is_client
        self._own_ways = own_ways
        self._wishes: dict[bytes, _Wish] = {}
        self._watched: dict[bytes, _Watched] = {}
        self._per_node: dict[bytes, int] = {}
        self._budget: Budget | None = None

    def __len__(self) -> int:
        """How many watches of others are held (at most WATCHES_MAX)."""
        return sum(self._per_node.values())

    # What we watch

    def watch(self, key: bytes, now: float) -> None:
        """Emit `RegistrationNews` when something is stored at `key`, until `stop`. LocalError over WISHES_MAX."""
        if key in self._wishes:
            return
        if len(self._wishes) >= WISHES_MAX:
            raise LocalError("too many people are watched at once")
        self._wishes[key] = _Wish(now)
        self.renew(now)

    def stop(self, key: bytes) -> None:
        """Watch this key no more; holders forget us by themselves."""
        self._wishes.pop(key, None)

    def renew(self, now: float) -> float | None:
        """Ask the holders whose turn it is; when to come back, or None when nothing is watched."""
        for key, wish in self._wishes.items():
            if wish.due <= now:
                wish.due = now + RETRY_SECONDS  # until somebody has agreed
                try:
                    self._find(key, now, lambda done, key=key: self._found(key, done))  # type: ignore[misc]
                except LocalError:
                    continue
        return min((wish.due for wish in self._wishes.values()), default=None)

    def _found(self, key: bytes, done: LookupDone) -> None:
        wish = self._wishes.get(key)
        if wish is None:
            return
        wish.holders = set()
        flows = self._own_ways()
        for contact in done.closest[:HOLDERS_WATCHED]:
            self._ask_holder(contact, key, wish, flows)

    def _ask_holder(
        self, contact: Contact, key: bytes, wish: _Wish, flows: tuple[Rendezvous, ...], *, again: bool = False
    ) -> None:
        def answered(asked: Contact, answer: Answer | None) -> None:
            if answer is None or self._wishes.get(key) is not wish:
                return
            if answer.status == UNAUTHORIZED and not again:  # a token has come with it
                self._ask_holder(asked, key, wish, flows, again=True)
            elif answer.status == OK:
                wish.holders.add(asked.node_key)
                wish.due = max(wish.due, self._time() + RENEW_SECONDS)
                if not wish.is_established:  # what came between the last look and now was told to nobody
                    wish.is_established = True
                    self._emit(RegistrationNews(key))

        told = encode_registration(Registration(bytes(32), rendezvous=flows)) if flows else b""
        self._ask(contact, WATCH, [key, told], answered, self._time())

    def take_news(self, asking: Asking, arguments: list[Any]) -> Any:
        """NEWS: only of holders that have agreed to tell us."""
        match arguments:
            case [bytes() as key, *_] if (wish := self._wishes.get(key)) and asking.node_key in wish.holders:
                self._emit(RegistrationNews(key))
                return None
            case _:
                raise RemoteError("news that nobody here waits for", status=404)

    # What others watch

    def take_watch(self, asking: Asking, arguments: list[Any]) -> Any:
        """WATCH: tell the asker of what is stored at a key, for WATCH_SECONDS."""
        match arguments:
            case [bytes() as key, bytes() as told, *_] if len(key) == RECORD_KEY_BYTES:
                pass
            case _:
                raise RemoteError("a request to watch of an unknown form")
        if self._is_client():
            raise RemoteError("a client holds nothing for others", status=503)
        if not asking.is_proved or not self._is_member(asking.node_key, asking.now):
            raise RemoteError("a watch for a node that has not proved who and where it is", status=401)
        ways: tuple[Address, ...] = (asking.source,)
        if told:
            flows = [way for way in decode_registration(told).rendezvous if may_try(way, asking.source[0])]
            ways = (*self._ways(flows, asking.now), *ways)
        self._hold(key, asking.node_key, ways, asking.now)
        return [WATCH_SECONDS]

    def stored(self, key: bytes, now: float) -> None:
        """A registration that was not held yet is held now at `key`, or its withdrawal."""
        if key in self._wishes:
            self._emit(RegistrationNews(key))
        watched = self._watched.get(key)
        if watched is None or not watched.budget.spend(now):
            return
        self._budget = self._budget or Budget(NEWS_PER_SECOND_MAX)
        for node_key, (ways, until) in list(watched.watchers.items()):
            if until <= now:
                self._forget(key, node_key)
            elif self._budget.spend(now):
                self._tell(key, node_key, ways)

    def _tell(self, key: bytes, node_key: bytes, ways: Sequence[Address]) -> None:
        """Over one way after the other, until an answer comes."""

        def answered(_contact: Contact, answer: Answer | None) -> None:
            if answer is None and len(ways) > 1:
                self._tell(key, node_key, ways[1:])
            elif answer is not None and answer.status != OK:
                self._forget(key, node_key)

        self._ask(Contact(node_key, ways[0]), NEWS, [key], answered, self._time())

    def _hold(self, key: bytes, node_key: bytes, ways: tuple[Address, ...], now: float) -> None:
        watched = self._watched.get(key)
        if watched is None or node_key not in watched.watchers:
            if len(self) >= WATCHES_MAX or self._per_node.get(node_key, 0) >= WATCHES_PER_NODE_MAX:
                self._forget_past(now)
            of_key = 0 if watched is None else len(watched.watchers)
            of_node = self._per_node.get(node_key, 0)
            if len(self) >= WATCHES_MAX or of_key >= WATCHES_PER_KEY_MAX or of_node >= WATCHES_PER_NODE_MAX:
                raise RemoteError("this node tells as many as it can", status=507)
            watched = self._watched.setdefault(key, _Watched(Budget(NEWS_PER_KEY_PER_SECOND_MAX)))
            self._per_node[node_key] = of_node + 1
        watched.watchers[node_key] = ways, now + WATCH_SECONDS

    def _forget_past(self, now: float) -> None:
        over = [
            (key, node_key)
            for key, watched in self._watched.items()
            for node_key, (_ways, until) in watched.watchers.items()
            if until <= now
        ]
        for key, node_key in over:
            self._forget(key, node_key)

    def _forget(self, key: bytes, node_key: bytes) -> None:
        watched = self._watched.get(key)
        if watched is None or watched.watchers.pop(node_key, None) is None:
            return
        if not watched.watchers:
            del self._watched[key]
        self._per_node[node_key] -= 1
        if not self._per_node[node_key]:
            del self._per_node[node_key]
