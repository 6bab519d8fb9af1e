"""The devices of a person that no answer to a lookup had room for: two registrations fill an answer, a person may have sixteen.

A holder says how many more it has, and gives those after a Node-ID when it is asked so (`overlay.rpc`). Two such holders are asked
by turns for what comes after the last that was told, each until it has no more, or tells nothing new. Records prove themselves, but
not that none was passed over: if the second holder has counted more than were found, it is asked from its own beginning. All
that, whatever holders say, is bounded by REQUESTS_MAX. Persons with one or two devices cost nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from overlay.agreement import Authored
from overlay.contact import Contact
from overlay.records import KINDS, REGISTRATION

REQUESTS_MAX = 8
HOLDERS_MAX = 2
REGISTRATIONS_MAX = KINDS[REGISTRATION].entries_per_person_max


@dataclass(slots=True)
class _Holder:
    """Who has more: the last Node-ID that it has told, and how many registrations it has, as it says."""

    contact: Contact
    last: bytes
    count: int


@dataclass(slots=True)
class Further:
    """What is left to ask after one lookup. Drive it: `note` answers of the lookup; then ask whom `next_to_ask` names, one at a
    time, for what comes after `last`, and tell with `answered` or `failed` what came of it."""

    last: bytes = b""
    asked: int = 0
    _holders: list[_Holder] = field(default_factory=list)
    _turns: list[_Holder] = field(default_factory=list)
    _found: set[bytes] = field(default_factory=set)
    _is_checked: bool = False

    def note(self, contact: Contact, records: Iterable[Authored], left: int) -> None:
        """This answer to the lookup had no room for `left` registrations."""
        told = _node_ids(records)
        if told and left > 0 and len(self._holders) < HOLDERS_MAX:
            holder = _Holder(contact, max(told), len(told) + left)
            self._holders.append(holder)
            self._turns.append(holder)
            self.last = min(each.last for each in self._holders)
            self._found |= told

    def next_to_ask(self) -> Contact | None:
        """Whom to ask now; None when all is told, or enough was asked."""
        if self.asked >= REQUESTS_MAX or len(self._found) >= REGISTRATIONS_MAX:
            return None
        if not self._turns and not self._is_checked:
            self._is_checked = True
            self._turns = [each for each in self._holders[1:] if each.count > len(self._found)]
            self.last = min((each.last for each in self._turns), default=b"")
        if not self._turns:
            return None
        self.asked += 1
        return self._turns[0].contact

    def answered(self, records: Iterable[Authored], left: int) -> None:
        """The one asked has told these, and has `left` more."""
        holder = self._turns.pop(0)
        told = {node_id for node_id in _node_ids(records) if node_id > self.last}
        if told:
            self.last = max(told)
            self._found |= told
            if left > 0:
                self._turns.append(holder)

    def failed(self) -> None:
        """The one asked gave no answer in time, or none of use."""
        failed = self._turns.pop(0)
        self._holders = [each for each in self._holders if each is not failed]


def _node_ids(records: Iterable[Authored]) -> set[bytes]:
    return {author.node_id for record, author in records if record.kind == REGISTRATION}
