"""One iterative lookup: asks the next candidate the moment any answer arrives, ALPHA at a time, never in rounds.

It ends when the WIDTH closest candidates that are alive have all answered, or, for records, when enough of them agree. Who
takes longer than usual holds up nobody, unless without it no record, or too few of the closest, were found.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from overlay.contact import Contact
from overlay.records import NAME, Record
from p2psip.base.certificates import DeviceCertificate

ALPHA = 4
WIDTH = 8
CANDIDATES_MAX = 256
AGREEING_ANSWERS = 3

Authored = tuple[Record, DeviceCertificate]
"""A record whose signature was verified, and its author's certificate."""

_Newest = dict[tuple[str, bytes], Authored]


@dataclass(slots=True)
class _Candidate:
    contact: Contact
    distance: int
    hops: int
    asked: bool = False
    late: bool = False
    answered: bool = False
    failed: bool = False


@dataclass(slots=True)
class Lookup:
    """The state of one lookup. Drive it: ask what `next_to_ask` gives, tell it what came of that, until `finished`."""

    target: int
    wants_records: bool
    width: int = WIDTH
    agreeing: int = AGREEING_ANSWERS
    messages: int = 0
    hops: int = 0
    finished: bool = False
    newest: _Newest = field(default_factory=dict)
    _candidates: dict[bytes, _Candidate] = field(default_factory=dict)
    _order: list[_Candidate] = field(default_factory=list)
    _under_way: int = 0
    _late: int = 0
    _votes: int = 0

    def knows(self, node_key: bytes) -> bool:
        """Whether this node is a candidate already."""
        return node_key in self._candidates

    def add(self, contacts: Iterable[Contact], hops: int = 0) -> None:
        """More candidates; the farthest beyond CANDIDATES_MAX are dropped."""
        for contact in contacts:
            if contact.node_key not in self._candidates:
                candidate = _Candidate(contact, contact.number ^ self.target, hops + 1)
                self._candidates[contact.node_key] = candidate
                insort(self._order, candidate, key=_distance)
        for dropped in self._order[CANDIDATES_MAX:]:
            if not dropped.asked:
                del self._candidates[dropped.contact.node_key]
        del self._order[CANDIDATES_MAX:]

    def next_to_ask(self) -> Contact | None:
        """The next candidate, marked as asked; None when ALPHA are under way, or none is left that could matter."""
        if self.finished or self._under_way >= ALPHA:
            return None
        alive = 0
        for candidate in self._order:
            if candidate.failed or (candidate.late and not candidate.answered):
                continue
            if not candidate.asked:
                candidate.asked = True
                self._under_way += 1
                self.messages += 1
                return candidate.contact
            alive += 1
            if alive >= self.width:
                break
        if self._under_way == 0 and not (self._late and self._lacks_something()):
            self.finished = True
        return None

    def late(self, contact: Contact) -> None:
        """`contact` takes longer than usual: go on with others. Only a lookup that still lacks something waits for it."""
        candidate = self._candidates.get(contact.node_key)
        if candidate is not None and candidate.asked and not (candidate.late or candidate.answered or candidate.failed):
            candidate.late = True
            self._under_way -= 1
            self._late += 1

    def answered(self, contact: Contact, contacts: Iterable[Contact], records: Iterable[Authored]) -> None:
        """`contact` gave these candidates and these records, whose signatures were verified."""
        candidate = self._candidates.get(contact.node_key)
        if candidate is None or candidate.answered:
            return
        self._settle(candidate)
        candidate.answered = True
        self.hops = max(self.hops, candidate.hops)
        self.add(contacts, candidate.hops)
        if self.wants_records:
            self._vote({(record.kind, author.node_id): (record, author) for record, author in records})

    def failed(self, contact: Contact) -> None:
        """`contact` did not answer, or is no member."""
        candidate = self._candidates.get(contact.node_key)
        if candidate is not None:
            self._settle(candidate)
            candidate.failed = True

    def closest(self, count: int) -> list[Contact]:
        """The closest that have answered, closest first."""
        return [candidate.contact for candidate in self._order if candidate.answered][:count]

    def _lacks_something(self) -> bool:
        """Whether what the late ones may say still matters: no record yet, or fewer than WIDTH places to go on from."""
        if self.wants_records:
            return not self._tells(self.newest)
        return len(self.closest(self.width)) < self.width

    def _settle(self, candidate: _Candidate) -> None:
        if candidate.answered or candidate.failed:
            return
        if candidate.late:
            self._late -= 1
        elif candidate.asked:
            self._under_way -= 1

    @staticmethod
    def _tells(records: _Newest) -> bool:
        return any(record.kind != NAME for record, _author in records.values())

    def _vote(self, records: _Newest) -> None:
        """An answer agrees when it holds nothing older than the newest known; news starts the count again.

        That a name exists is no end: names are held more widely than what is looked for at the same key.
        """
        news = False
        for place, authored in records.items():
            known = self.newest.get(place)
            if known is None or authored[0].sequence > known[0].sequence:
                self.newest[place] = authored
                news = True
        agrees = all(
            place in records and records[place][0].sequence >= newest[0].sequence
            for place, newest in self.newest.items()
        )
        self._votes = (0 if news else self._votes) + (1 if agrees and self._tells(records) else 0)
        if self._votes >= self.agreeing:
            self.finished = True


def _distance(candidate: _Candidate) -> int:
    return candidate.distance
