"""What the answers of one lookup say together: the newest of each record, and how many agree on it.

Any record proves itself, but not that it is the newest: who withholds the newer one can show an old one until it expires. So an
end before all were asked needs answers that agree. A network (or, if the voter is named so, a part of the region) votes once.
"""

import math
from collections.abc import Iterable

from overlay.records import KINDS, NAME, Record
from p2psip.base.certificates import DeviceCertificate

AGREEING_ANSWERS = 3
AGREEING_IF_FRESH = 2

Authored = tuple[Record, DeviceCertificate]
"""A record whose signature was verified, and its author's certificate."""


class Agreement:
    """The records that a lookup has seen, and who agrees on them. `unix`: when the lookup began."""

    __slots__ = ("_agreeing", "_votes", "newest", "unix")

    def __init__(self, agreeing: int = AGREEING_ANSWERS, unix: float = math.inf) -> None:
        self.newest: dict[tuple[str, bytes], Authored] = {}
        self.unix = unix
        self._agreeing = agreeing
        self._votes: set[object] = set()

    @property
    def tells(self) -> bool:
        """Whether something was found. That a name exists is nothing: names are held more widely than what is looked for."""
        return _tells(record for record, _author in self.newest.values())

    def add(self, records: Iterable[Authored], voter: object, *, is_thorough: bool = False) -> bool:
        """One answer; whether enough agree now.

        An answer agrees when it holds nothing older than the newest known; news starts the count again.
        """
        shown: dict[tuple[str, bytes], Authored] = {}
        news = False
        for record, author in records:
            place = record.kind, author.node_id
            shown[place] = record, author
            known = self.newest.get(place)
            if known is None or record.sequence > known[0].sequence:
                self.newest[place] = record, author
                news = True
        if news:
            self._votes.clear()
        agrees = all(
            place in shown and shown[place][0].sequence >= self.newest[place][0].sequence for place in self.newest
        )
        if agrees and _tells(record for record, _author in shown.values()):
            self._votes.add(voter)
        return len(self._votes) >= self._needed(is_thorough)

    def _needed(self, is_thorough: bool) -> int:
        """Fewer for records in the first half of what their kind lives: little can have changed since."""
        told = [record for record, _author in self.newest.values() if record.kind != NAME]
        fresh = all(record.expiry >= self.unix + KINDS[record.kind].lifetime_seconds_max / 2 for record in told)
        return min(AGREEING_IF_FRESH, self._agreeing) if fresh and not is_thorough else self._agreeing


def _tells(records: Iterable[Record]) -> bool:
    return any(record.kind != NAME for record in records)
