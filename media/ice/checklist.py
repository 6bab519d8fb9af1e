"""The checklist of one agent (RFC 8445 §6.1.2): its pairs, which is checked next, which is the best that works, and the
checks that wait for an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media.ice.candidates import Candidate, Pair, PairState
from p2psip.base.core import Address

PAIRS_MAX = 64
REFUSALS_MAX = 3
ATTEMPTS_MAX = 8
CHECKS_MAX = 256


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
    """At most PAIRS_MAX pairs, one for each destination (§6.1.2.4 prunes the rest)."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []

    def pair_up(self, locals_: Sequence[Candidate], remote: Candidate) -> Pair | None:
        """The pair for `remote`, made when it is new; None when nothing can be paired with it or the list is full."""
        for pair in self.pairs:
            if pair.destination == (remote.host, remote.port):
                if pair.remote.type == "prflx" and remote.type != "prflx":
                    pair.remote = remote  # learnt from a check before it was signalled
                return pair
        local = next((candidate for candidate in locals_ if candidate.can_pair_with(remote)), None)
        if local is None or len(self.pairs) >= PAIRS_MAX:
            return None
        pair = Pair(local, remote)
        self.pairs.append(pair)
        return pair

    def next_waiting(self, controlling: bool) -> Pair | None:
        """The waiting pair of highest priority (§6.1.4.2)."""
        waiting = [pair for pair in self.pairs if pair.state is PairState.WAITING]
        return max(waiting, key=lambda each: each.priority(controlling), default=None)

    def best_valid(self, controlling: bool) -> Pair | None:
        """The pair of highest priority that has succeeded."""
        valid = [pair for pair in self.pairs if pair.state is PairState.SUCCEEDED]
        return max(valid, key=lambda each: each.priority(controlling), default=None)

    def nominee(self) -> Pair | None:
        """The pair to nominate: always the same, so that both sides agree, unless it no longer answers."""
        for pair in self.pairs:
            if pair.nominated and pair.attempts < ATTEMPTS_MAX:
                return pair
            if pair.nominated:
                pair.state, pair.nominated = PairState.FAILED, False
        return self.best_valid(True)

    def may_do_better_than(self, pair: Pair, controlling: bool) -> bool:
        """Whether a pair of higher priority is still to be decided."""
        return any(
            other.state in (PairState.WAITING, PairState.IN_PROGRESS)
            and other.priority(controlling) > pair.priority(controlling)
            for other in self.pairs
        )

    def is_valid(self, destination: Address) -> bool:
        """Whether the path to `destination` has proved to work."""
        return any(pair.destination == destination and pair.state is PairState.SUCCEEDED for pair in self.pairs)

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
        return "no way to the other side was found: every connectivity check failed"
