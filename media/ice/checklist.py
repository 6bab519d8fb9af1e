"""The checklist of one agent (RFC 8445 §6.1.2): its pairs, which is checked next, which is the best that works, and the
checks that wait for an answer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from media.ice.candidates import Candidate, Pair, PairState, Way, peer_reflexive, relay_of

PAIRS_MAX = 64
SPARES_MAX = 2
REFUSALS_MAX = 3
ATTEMPTS_MAX = 8
CHECKS_MAX = 256
_IDLE = (PairState.WAITING, PairState.FAILED)


@dataclass(frozen=True, slots=True)
class Check:
    """A check under way: its answer is judged by the role and the wish that it was sent with (§7.2.5)."""

    pair: Pair
    nominate: bool
    controlling: bool
    sent_at: float


class Checks:
    """The checks that wait for an answer, by transaction id; the oldest beyond CHECKS_MAX are forgotten."""

    def __init__(self) -> None:
        self._by_transaction: dict[bytes, Check] = {}

    def __len__(self) -> int:
        return len(self._by_transaction)

    def add(self, transaction: bytes, check: Check) -> None:
        """A check is sent."""
        if len(self._by_transaction) >= CHECKS_MAX:
            del self._by_transaction[next(iter(self._by_transaction))]
        self._by_transaction[transaction] = check

    def get(self, transaction: bytes) -> Check | None:
        """The check that an answer is to."""
        return self._by_transaction.get(transaction)

    def remove(self, transaction: bytes) -> None:
        """The check is answered."""
        self._by_transaction.pop(transaction, None)

    def clear(self) -> None:
        """Expect no answer any more."""
        self._by_transaction.clear()


class Checklist:
    """At most PAIRS_MAX pairs, one for each way (§6.1.2.4 prunes the rest)."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self._by_way: dict[Way, Pair] = {}

    def pair_up(self, locals_: Sequence[Candidate], remotes: Sequence[Candidate]) -> None:
        """Pairs of `remotes` with each of our bases of their family: the direct ones first, for the list may fill up."""
        for local in _bases(locals_):
            for remote in remotes:
                if is_same_family(local, remote):
                    self._take(local, remote)

    def learn(self, locals_: Sequence[Candidate], way: Way, priority: int) -> Pair | None:
        """The pair of a way that the peer's check came; None when nothing can be paired with it.

        Such a way works, at least towards us, so in a full list a pair that has shown nothing makes room for it.
        """
        pair = self._by_way.get(way)
        if pair is None:
            remote = peer_reflexive((way[0], way[1]), priority, len(self.pairs))
            relay = way[2] if len(way) == 3 else None
            usable = (each for each in locals_ if relay_of(each) == relay and is_same_family(each, remote))
            local = next(usable, None)
            if local is not None:
                self._make_room()
                pair = self._take(local, remote)
        return pair

    def find(self, way: Way) -> Pair | None:
        """The pair of a way."""
        return self._by_way.get(way)

    def next_waiting(self, controlling: bool, is_wanted: Callable[[Pair], bool] = lambda _pair: True) -> Pair | None:
        """The waiting pair to check next: kinds of pairs take turns, and of each kind the one of highest priority comes first.

        By priority alone (§6.1.4.2) a relay that both can reach would wait until all that cannot work has been tried.
        """
        waiting = [pair for pair in self.pairs if pair.state is PairState.WAITING and is_wanted(pair)]
        begun = Counter(pair.kind for pair in self.pairs if pair.state is not PairState.WAITING)
        return max(waiting, key=lambda each: (-begun[each.kind], each.priority(controlling)), default=None)

    def best_valid(self, controlling: bool) -> Pair | None:
        """The pair that has succeeded over the fewest relays, of highest priority among equals."""
        valid = [pair for pair in self.pairs if pair.state is PairState.SUCCEEDED]
        return max(valid, key=lambda each: each.rank(controlling), default=None)

    def nominee(self, otherwise: Pair | None = None) -> Pair | None:
        """The pair to nominate: always the same, so that both sides agree, unless it no longer answers."""
        for pair in self.pairs:
            if pair.nominated and pair.attempts < ATTEMPTS_MAX:
                return pair
            if pair.nominated:
                pair.state, pair.nominated = PairState.FAILED, False
        return otherwise or self.best_valid(True)

    def drop_relay(self, relay: int) -> list[Pair]:
        """Forget the pairs over a relay of ours that is gone; gives them."""
        gone = [pair for pair in self.pairs if relay_of(pair.local) == relay]
        for pair in gone:
            pair.state = PairState.FAILED
            self.pairs.remove(pair)
            del self._by_way[pair.destination]
        return gone

    def nominate(self, nominee: Pair | None) -> None:
        """`nominee` alone counts as nominated from now on."""
        for pair in self.pairs:
            pair.nominated = pair is nominee

    def may_do_better_than(self, pair: Pair, controlling: bool) -> bool:
        """Whether a pair of higher priority is still to be decided."""
        return any(
            other.state in (PairState.WAITING, PairState.IN_PROGRESS)
            and other.priority(controlling) > pair.priority(controlling)
            for other in self.pairs
        )

    def may_pass_fewer_relays_than(self, pair: Pair) -> bool:
        """Whether a more direct pair is still to be decided."""
        undecided = (PairState.WAITING, PairState.IN_PROGRESS)
        return any(other.state in undecided and other.relays < pair.relays for other in self.pairs)

    def spares(self, selected: Pair, controlling: bool) -> list[Pair]:
        """Up to SPARES_MAX valid pairs that live on when what `selected` passes dies, each over something else."""
        found: list[Pair] = []
        passed = set(selected.route)
        valid = (pair for pair in self.pairs if pair.state is PairState.SUCCEEDED and pair is not selected)
        for pair in sorted(valid, key=lambda each: (each.relays, -each.priority(controlling))):
            if len(found) < SPARES_MAX and not passed & pair.route:
                found.append(pair)
                passed |= pair.route
        return found

    def is_wanted_beside(self, selected: Pair, pair: Pair, spares: Sequence[Pair]) -> bool:
        """Whether `pair` is worth checks while `selected` carries: it is more direct, or may become a spare."""
        if pair.relays < selected.relays:
            return True
        passed = selected.route.union(*(spare.route for spare in spares))
        return pair.relays > 0 and len(spares) < SPARES_MAX and not pair.route & passed

    def is_refused(self) -> bool:
        """Whether every pair has failed, and at least one because the peer does not take our credentials."""
        refused = any(pair.refusals >= REFUSALS_MAX for pair in self.pairs)
        return refused and all(pair.state is PairState.FAILED for pair in self.pairs)

    def reason(self) -> str:
        """Why the agent could not connect, as a sentence."""
        if any(pair.state is PairState.SUCCEEDED for pair in self.pairs):
            return "a way to the other side was found, but both sides could not settle on it in time"
        if any(pair.refusals for pair in self.pairs):
            return "the other side refuses the connectivity checks: it does not know their password"
        if not self.pairs:
            return "no way to the other side was found: the two sides have no address family in common"
        if any(pair.relays for pair in self.pairs):
            return "no way to the other side was found: neither a direct one nor one through a relay answers"
        return (
            "no way to the other side was found: every connectivity check failed, and neither side has a relay "
            "(what stands between them lets nothing in, as two symmetric NATs do)"
        )

    def _make_room(self) -> None:
        if len(self.pairs) < PAIRS_MAX:
            return
        idle = [pair for pair in self.pairs if pair.state in _IDLE and not pair.nominated]
        if idle:
            worst = min(idle, key=lambda each: (each.state is PairState.WAITING, each.priority(True)))
            self.pairs.remove(worst)
            del self._by_way[worst.destination]

    def _take(self, local: Candidate, remote: Candidate) -> Pair | None:
        pair = Pair(local, remote)
        known = self._by_way.get(pair.destination)
        if known is not None:
            if known.remote.type == "prflx" and remote.type != "prflx":
                known.remote = remote  # learnt from a check before it was signalled
            return known
        if len(self.pairs) >= PAIRS_MAX:
            return None
        self.pairs.append(pair)
        self._by_way[pair.destination] = pair
        return pair


def is_same_family(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are of one address family (§6.1.2.2)."""
    return (":" in one.host) == (":" in other.host)


def _bases(locals_: Sequence[Candidate]) -> list[Candidate]:
    """The best candidate for each place that packets can leave from: one for each family and relay, the port first."""
    found: dict[tuple[bool, int | None], Candidate] = {}
    for local in locals_:
        found.setdefault((":" in local.host, relay_of(local)), local)
    return sorted(found.values(), key=lambda each: relay_of(each) is not None)
