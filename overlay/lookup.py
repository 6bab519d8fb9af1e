"""One iterative lookup: asks the next candidate the moment any answer arrives, never in rounds, and ALPHA at once.

Who is much farther from the target than the next candidate does not count: what the first answer names is asked though the
others of our own table have not answered, BUSY_MAX in all.

It ends when the WIDTH closest candidates that are alive have all answered, or, for records, when enough of them agree. Who
takes longer than usual holds up nobody, unless without it no record, or too few of the closest, were found.

Against members that lie: of what somebody names, no more are asked while those asked are silent (`_Candidate.allows`), so that
invented ones neither push others out nor cost time; a node named at two addresses is tried at both. Where more ids stand beside
the target than chance puts there, or fewer answer than should, the whole region is searched: at points spread over it
(`overlay.region`), each contact asked about another one, by turns over the paths that began at different contacts of our own
table, one of them far from the target, and never meet (disjoint paths: S/Kademlia, Baumgart and Mies 2007, §4.4). Then votes of
one cell of the region count once.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from overlay.agreement import Agreement, Authored
from overlay.contact import Contact, network_of
from overlay.region import CELLS, CELLS_IN_TURN, Region
from p2psip.base.core import Address

ALPHA = 4
ALPHA_RECORDS = 6
"""Somebody waits for records; so more are asked."""
ALPHA_REGION = 8
BUSY_MAX = 6
RECORDS_BUSY_MAX = 12
WIDTH = 8
CANDIDATES_MAX = 256
PATHS = 4
ADDRESSES_EACH_MAX = 3
NAMERS_MAX = 4
MISLEADING_MAX = 4
DOUBTFUL_ASKED_MAX = 8
QUESTIONS_PER_CELL = 2
TELL_CLOSEST = 2
CHOICE = 4
SIMILAR = 2
MUCH_FARTHER = 8
USUAL_SECONDS = 0.1
SILENT_SECONDS_MAX = 3_600.0
GONE_COST = 1e-4
"""A session lasts an hour on average, and who is gone costs a third of a second: seconds lost for each second of silence."""
CELLS_HEARD = 5
"""Twelve nodes thrown into 16 cells lie in eight of them on average; ids beside the target lie in one."""
MESSAGES_MAX = 192


@dataclass(slots=True, eq=False)
class _Candidate:
    contact: Contact
    distance: int
    hops: int
    path: int
    cell: int | None
    namers: "list[_Candidate]"
    place: tuple[bytes, Address]
    asked: bool = False
    late: bool = False
    answered: bool = False
    failed: bool = False
    good: int = 0
    open: int = 0

    @property
    def allows(self) -> bool:
        """Whether what it has named may be asked: not while too many of those are silent."""
        return self.open < MISLEADING_MAX + 2 * self.good


@dataclass(slots=True)
class Lookup:
    """The state of one lookup. Drive it: ask what `next_to_ask` gives about `point`, tell it what came of that, until `finished`.

    `started`: when it began. `region`: where the records of the target are; None: unknown, or not to matter.
    `whole_region`: all that live in it are wanted.
    """

    target: int
    wants_records: bool
    width: int = WIDTH
    agreement: Agreement = field(default_factory=Agreement)
    region: Region | None = None
    whole_region: bool = False
    paths: int = PATHS
    started: float = 0.0
    messages: int = 0
    hops: int = 0
    finished: bool = False
    agreed: bool = False
    is_thorough: bool = False
    point: int = 0
    _candidates: dict[tuple[bytes, Address], _Candidate] = field(default_factory=dict)
    _addresses: dict[bytes, int] = field(default_factory=dict)
    _order: list[_Candidate] = field(default_factory=list)
    _busy: set[bytes] = field(default_factory=set)
    _heard: set[bytes] = field(default_factory=set)
    _late: int = 0
    _doubtful: int = 0
    _questions: list[int] = field(default_factory=lambda: [0] * CELLS)
    _turns: list[int] = field(default_factory=list)

    def knows(self, node_key: bytes) -> bool:
        """Whether this node is a candidate already."""
        return node_key in self._addresses

    def add(self, contacts: Iterable[Contact], far: Iterable[Contact] = ()) -> None:
        """Candidates of our own table: the closest, and some of all its other parts.

        Those have a path to themselves: who surrounds us, or the target in our table, does not stand everywhere.
        """
        for contact in contacts:
            self._add(contact, 1, None, len(self._order) % self.paths)
        for contact in far:
            self._add(contact, 1, None, self.paths)
        self._drop()

    def next_to_ask(self) -> Contact | None:
        """The next candidate, marked as asked; None when ALPHA are under way, or none is left that could matter."""
        if self.finished or len(self._busy) >= self._busy_max():
            return None
        candidate = None
        if self.messages < MESSAGES_MAX:
            candidate = self._next_of_region() if self.is_thorough else self._next_closest()
            if candidate is None and not self._busy and self._lacks_something():
                candidate = self._next_though_doubtful()
        if candidate is not None:
            candidate.asked = True
            self._busy.add(candidate.contact.node_key)
            self.messages += 1
            for namer in candidate.namers:
                namer.open += 1
            return candidate.contact
        if not self._busy and not (self._late and self._lacks_something()):
            self.finished = True
        return None

    def late(self, contact: Contact) -> None:
        """`contact` takes longer than usual: go on with others. Only a lookup that still lacks something waits for it."""
        candidate = self._candidate(contact)
        if candidate is not None and candidate.asked and not (candidate.late or candidate.answered or candidate.failed):
            candidate.late = True
            self._busy.discard(contact.node_key)
            self._late += 1

    def answered(self, contact: Contact, contacts: Iterable[Contact], records: Iterable[Authored]) -> None:
        """`contact` gave these candidates and these records, whose signatures were verified."""
        candidate = self._candidate(contact)
        if candidate is None or candidate.answered:
            return
        self._settle(candidate)
        candidate.answered = True
        self._heard.add(contact.node_key)
        for namer in candidate.namers:
            namer.good += 1
            namer.open -= candidate.asked and not candidate.failed
        self.hops = max(self.hops, candidate.hops)
        for named in contacts:
            self._add(named, candidate.hops + 1, candidate, candidate.path)
        self._drop()
        if self.wants_records:
            self.agreed = self.agreement.add(records, self._voter(candidate), is_thorough=self.is_thorough)
            self.finished = self.finished or self.agreed
        if self.region is not None and not self.is_thorough and self.region.is_crowded(self._vouched()):
            self._search_thoroughly()

    def failed(self, contact: Contact) -> None:
        """`contact` did not answer, or is no member."""
        candidate = self._candidate(contact)
        if candidate is not None:
            self._settle(candidate)
            candidate.failed = True

    def closest(self, count: int) -> list[Contact]:
        """The closest that have answered, closest first."""
        return [candidate.contact for candidate in self._order if candidate.answered][:count]

    def _busy_max(self) -> int:
        return ALPHA_REGION if self.is_thorough else RECORDS_BUSY_MAX if self.wants_records else BUSY_MAX

    def _waits_for_closer(self, candidate: _Candidate) -> bool:
        """Whether as many are under way that are about as close as are asked at once: those who are far hold up nobody."""
        closer = 0
        enough = ALPHA_RECORDS if self.wants_records else ALPHA
        for other in self._order:
            if other.distance > MUCH_FARTHER * candidate.distance or closer == enough:
                break
            closer += other.asked and not (other.answered or other.late or other.failed)
        return closer >= enough

    def _candidate(self, contact: Contact) -> _Candidate | None:
        known = self._candidates.get((contact.node_key, contact.address))
        if known is None and contact.node_key in self._addresses:  # the table has moved it since (`RoutingTable.move`)
            known = next((candidate for candidate in self._order if candidate.contact is contact), None)
        return known

    def _add(self, contact: Contact, hops: int, namer: _Candidate | None, path: int) -> None:
        known = self._candidate(contact)
        if known is not None:
            if (
                namer is not None
                and namer is not known
                and not known.asked
                and len(known.namers) in range(1, NAMERS_MAX)
            ):
                known.namers.append(namer)
            return
        addresses = self._addresses.get(contact.node_key, 0)
        if addresses >= ADDRESSES_EACH_MAX:
            return
        self._addresses[contact.node_key] = addresses + 1
        cell = None if self.region is None else self.region.cell(contact.number)
        named = [] if namer is None else [namer]
        place = contact.node_key, contact.address
        candidate = _Candidate(contact, contact.number ^ self.target, hops, path, cell, named, place)
        self._candidates[place] = candidate
        insort(self._order, candidate, key=_distance)

    def _drop(self) -> None:
        """The farthest of those not asked make room; what nobody but misleading ones has named goes first."""
        if len(self._order) <= CANDIDATES_MAX:
            return
        waiting = [candidate for candidate in reversed(self._order) if not candidate.asked]
        waiting.sort(key=lambda candidate: not self._is_doubtful(candidate))
        for dropped in waiting[: len(self._order) - CANDIDATES_MAX]:
            self._order.remove(dropped)
            contact = dropped.contact
            del self._candidates[dropped.place]
            self._addresses[contact.node_key] -= 1
            if not self._addresses[contact.node_key]:
                del self._addresses[contact.node_key]

    # Whom to ask

    def _next_closest(self) -> _Candidate | None:
        region, alive, goes_on = self.region, 0, True
        choice: list[_Candidate] = []
        for candidate in self._order:
            if alive >= self.width and not (goes_on and region is not None and candidate.distance <= region.radius):
                break
            if candidate.failed or (candidate.late and not candidate.answered):
                continue
            if candidate.asked:
                alive += 1
                if alive == self.width and region is not None:
                    goes_on = self.whole_region or (self._lacks_record() and region.is_dense(candidate.distance))
            elif self._may_ask(candidate) and not self._is_doubtful(candidate):
                if not choice or candidate.distance <= SIMILAR * choice[0].distance:
                    choice.append(candidate)
                if len(choice) == CHOICE or choice[-1] is not candidate:
                    break
                alive += 1
        if choice:
            quickest = min(choice, key=self._delay)
            chosen = next((each for each in (quickest, choice[0]) if not self._waits_for_closer(each)), None)
            if chosen is None:
                return None
            self.point = self._point_for(chosen)
            return chosen
        if not self._busy and self._is_sparse():
            self._search_thoroughly()
            return self._next_of_region()
        return None

    def _delay(self, candidate: _Candidate) -> float:
        """How long its answer will take, about: measured, and more for those not heard of for long, who may be gone."""
        contact = candidate.contact
        silent = min(max(self.started - contact.last_seen, 0.0), SILENT_SECONDS_MAX) if contact.last_seen else 0.0
        return (USUAL_SECONDS if contact.rtt is None else contact.rtt) + GONE_COST * silent

    def _point_for(self, candidate: _Candidate) -> int:
        """The target; when all of the region is wanted and the first inside have told who is closest, the places around it, too."""
        if self.whole_region and candidate.cell is not None and self._answered_inside() >= TELL_CLOSEST:
            return self._next_question()
        return self.target

    def _next_question(self) -> int:
        assert self.region is not None
        questions = self._questions
        cell = min(CELLS_IN_TURN, key=lambda cell: questions[cell])
        self._questions[cell] += 1
        return self.region.point(cell, self._questions[cell] - 1)

    def _next_of_region(self) -> _Candidate | None:
        """One of the cell of which the fewest were asked, whom several have named first; if there is none, one outside."""
        asked = [0] * CELLS
        waiting: dict[tuple[bool, int], _Candidate] = {}
        for candidate in self._order:
            if candidate.cell is None:
                break
            if candidate.asked:
                asked[candidate.cell] += 1
            elif self._may_ask(candidate) and not self._is_doubtful(candidate):
                waiting.setdefault((len(candidate.namers) == 1, candidate.cell), candidate)
        if waiting:
            chosen = waiting[min(waiting, key=lambda place: (place[0], asked[place[1]], place[1]))]
        else:
            enough = min(self._questions) >= QUESTIONS_PER_CELL and self._cells_heard() >= CELLS_HEARD
            outside = None if enough else self._next_of_paths()
            if outside is None:
                return None
            chosen = outside
        self.point = self._next_question()
        return chosen

    def _next_of_paths(self) -> _Candidate | None:
        first: dict[int, _Candidate] = {}
        for candidate in self._order:
            if not candidate.asked and self._may_ask(candidate) and not self._is_doubtful(candidate):
                first.setdefault(candidate.path, candidate)
        if not first:
            return None
        path = min(first, key=lambda path: (self._turns[path], path))
        self._turns[path] += 1
        return first[path]

    def _next_though_doubtful(self) -> _Candidate | None:
        """Whoever named it has misled us so far: better than to give up."""
        alive = 0
        for candidate in self._order:
            if alive >= self.width or self._doubtful >= DOUBTFUL_ASKED_MAX:
                break
            if candidate.answered:
                alive += 1
            elif not candidate.asked and self._may_ask(candidate):
                self._doubtful += 1
                self.point = self.target
                return candidate
        return None

    def _may_ask(self, candidate: _Candidate) -> bool:
        """Not who is asked, or has answered, at another address."""
        return candidate.contact.node_key not in self._busy and candidate.contact.node_key not in self._heard

    def _is_doubtful(self, candidate: _Candidate) -> bool:
        return self.paths > 1 and bool(candidate.namers) and not any(namer.allows for namer in candidate.namers)

    # What looks attacked

    def _vouched(self) -> Iterator[int]:
        """How far those are that have answered, or that more than one has named."""
        return (
            candidate.distance
            for candidate in self._order
            if candidate.answered or len(candidate.namers) > 1 or not candidate.namers
        )

    def _is_sparse(self) -> bool:
        """Whether a search that lacks something has heard too few in the region."""
        lacks = self.whole_region or self._lacks_record()
        return lacks and self.region is not None and self.region.is_sparse(self._answered_inside())

    def _lacks_record(self) -> bool:
        return self.wants_records and not self.agreement.tells

    def _answered_inside(self) -> int:
        return sum(
            candidate.answered and self.region is not None and candidate.distance <= self.region.radius
            for candidate in self._order
        )

    def _cells_heard(self) -> int:
        return len({candidate.cell for candidate in self._order if candidate.answered and candidate.cell is not None})

    def _search_thoroughly(self) -> None:
        self.is_thorough = True
        self._turns = [0] * (self.paths + 1)

    def _lacks_something(self) -> bool:
        """Whether what the late ones may say still matters: no record yet, or fewer than WIDTH places to go on from."""
        if self.wants_records:
            return not self.agreement.tells
        return len(self.closest(self.width)) < self.width

    def _settle(self, candidate: _Candidate) -> None:
        if candidate.answered or candidate.failed:
            return
        if candidate.late:
            self._late -= 1
        elif candidate.asked:
            self._busy.discard(candidate.contact.node_key)

    def _voter(self, candidate: _Candidate) -> object:
        """Who votes: the cell of the region when it looks attacked, else the network."""
        if self.is_thorough:
            return candidate.cell if candidate.cell is not None else -1
        return network_of(candidate.contact.address[0]) or candidate.contact.node_key


def _distance(candidate: _Candidate) -> int:
    return candidate.distance
