"""Where others see us: each answer says where the request came from, and each peer has one vote."""

import ipaddress
from collections import Counter

from p2psip.base.core import Address, is_synthetic

VOTES_MAX = 16
VOTES_NEEDED = 2


class AddressVotes:
    """The latest vote of each of the last VOTES_MAX peers."""

    __slots__ = ("_votes",)

    def __init__(self) -> None:
        self._votes: dict[bytes, Address] = {}

    def __len__(self) -> int:
        return len(self._votes)

    def cast(self, voter: bytes, seen: Address) -> None:
        """The peer `voter` has seen us at `seen`; a name of ours for a stream or a relay is no address."""
        if is_synthetic(seen[0]):
            return
        votes = self._votes
        votes.pop(voter, None)
        votes[voter] = seen
        if len(votes) > VOTES_MAX:
            del votes[next(iter(votes))]

    @property
    def agreed(self) -> Address | None:
        """The address that most peers have seen, if they are at least VOTES_NEEDED."""
        if len(self._votes) >= VOTES_NEEDED and len(set(self._votes.values())) == 1:
            return next(iter(self._votes.values()))  # the usual case: it is asked for at each step of publishing
        best = Counter(self._votes.values()).most_common(1)
        return best[0][0] if best and best[0][1] >= VOTES_NEEDED else None

    @property
    def candidates(self) -> tuple[Address, ...]:
        """What is agreed; else all that was seen, the latest first and loopback last: each may be true for somebody."""
        agreed = self.agreed
        if agreed is not None:
            return (agreed,)
        latest = dict.fromkeys(reversed(self._votes.values()))
        return tuple(sorted(latest, key=lambda address: ipaddress.ip_address(address[0]).is_loopback))
