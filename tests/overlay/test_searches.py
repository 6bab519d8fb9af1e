"""Lookups and stores of one node, its peers played by hand: what they read, and what they refuse to believe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.events import LookupDone, StoreDone
from overlay.records import NAME, RecordVerifier, encode_record, encode_together, registration_key
from overlay.rpc import FIND, Answer, Callback, Late
from overlay.searches import CONTACTS_READ_MAX, LOOKUPS_MAX, Searches, SearchPolicy
from p2psip.base.errors import LocalError
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE, MALLORY = TOWN.device("alice"), TOWN.device("mallory")
KEY = registration_key("alice@home.example")
SEEN = ("192.0.2.1", 1)


class Play:
    """Searches over a table of peers, with all that they ask."""

    def __init__(self, peers: int = 5, policy: SearchPolicy | None = None) -> None:
        self.asked: list[tuple[Contact, int, list[object], Callback]] = []
        self.ended: list[LookupDone | StoreDone] = []
        self.peers = [Contact(bytes([number]) * 32, ("10.0.0.1", 5000 + number)) for number in range(1, peers + 1)]
        table = RoutingTable(0)
        for contact in self.peers:
            table.add(contact)
        verifier = RecordVerifier(TOWN.membership())
        self.searches = Searches(bytes(32), table, verifier, self._ask, self.ended.append, policy)
        self.searches.unix_offset = float(UNIX)

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[object],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        self.asked.append((contact, method, arguments, callback))

    def answer(self, result: object, *, status: int = 200, token: bytes = b"") -> None:
        """The one asked first answers."""
        contact, _method, _arguments, callback = self.asked.pop(0)
        callback(contact, Answer(status, SEEN, token, None, 1, result))

    def fail(self) -> None:
        """The one asked first does not answer."""
        contact, _method, _arguments, callback = self.asked.pop(0)
        callback(contact, None)

    def answer_all(self, result: object) -> None:
        """Everybody asked answers the same, until nobody is asked any more."""
        while self.asked:
            self.answer(result)


def found(play: Play) -> list[int]:
    """The sequences of the records that the last lookup has found."""
    done = play.ended[-1]
    assert isinstance(done, LookupDone)
    return [record.sequence for record, _author in done.records]


def test_a_lookup_asks_for_the_key_and_ends_with_what_was_found() -> None:
    play = Play()
    number = play.searches.look_up(KEY, 5.0, records=True)
    assert [(method, arguments) for _contact, method, arguments, _callback in play.asked] == [(FIND, [KEY, True])] * 5
    play.searches.now = 5.25
    play.answer_all([[], [encode_record(ALICE.record(3))]])
    (done,) = play.ended
    assert isinstance(done, LookupDone)
    assert (done.number, done.messages, done.hops, done.seconds) == (number, 5, 1, 0.25)
    assert (found(play), len(play.searches)) == ([3], 0)


def test_a_genuine_record_of_another_key_is_not_believed() -> None:
    """Mallory is enrolled and signs well; at alice's key their registration must not be found."""
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    play.answer_all([[], [encode_record(MALLORY.record())]])
    assert found(play) == []


@pytest.mark.parametrize(
    "record",
    [
        MALLORY.record(key=KEY),
        Town(seed=9).device("alice").record(),
        ALICE.record(expiry=UNIX - 1),
        ALICE.record(expiry=UNIX + 7_200),
    ],
)
def test_a_record_that_is_not_true_is_passed_over_and_the_others_are_read(record: object) -> None:
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    play.answer_all([[], [encode_record(record), encode_record(ALICE.record(2))]])  # type: ignore[arg-type]
    assert found(play) == [2]


def test_the_newest_of_different_answers_wins() -> None:
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    for sequence in (1, 3, 2):
        play.answer([[], [encode_record(ALICE.record(sequence))]])
    play.answer_all([[], []])
    assert found(play) == [3]


def test_the_name_and_the_registration_are_found_together() -> None:
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    name = ALICE.record(9, kind=NAME, body=b"", expiry=UNIX + 86_400)
    play.answer_all([[], [encode_record(name), encode_record(ALICE.record(2))]])
    assert sorted(found(play)) == [2, 9]


def test_a_certificate_that_was_left_out_is_that_of_the_record_before() -> None:
    name = ALICE.record(9, kind=NAME, body=b"", expiry=UNIX + 86_400)
    together = encode_together([ALICE.record(2), name])
    for records, expected in (
        (together, [2, 9]),
        (together[1:], []),
        ([b"?", together[1]], []),
        ([together[0], b"?", together[1]], [2, 9]),
    ):
        play = Play()
        play.searches.look_up(KEY, 0.0, records=True)
        play.answer_all([[], records])
        assert sorted(found(play)) == expected


def test_we_do_not_ask_ourselves() -> None:
    play = Play(1)
    play.searches.look_up(KEY, 0.0, records=False)
    play.answer([[Contact(bytes(32), ("10.0.0.9", 9)).pack()], []])
    assert (play.asked, len(play.ended)) == ([], 1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(VALUES | st.tuples(st.lists(VALUES), st.lists(VALUES)).map(list), min_size=5, max_size=5))
def test_any_result_ends_the_lookup_without_a_find(results: list[object]) -> None:
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    for _ in range(500):
        if not play.asked:
            break
        play.answer(results.pop() if results else None)
    assert found(play) == []


def test_without_peers_a_lookup_ends_at_once() -> None:
    play = Play(0)
    play.searches.look_up(KEY, 0.0, records=True)
    assert [type(done) for done in play.ended] == [LookupDone]


def test_one_lookup_over_the_bound_is_refused() -> None:
    play = Play()
    for _ in range(LOOKUPS_MAX):
        play.searches.look_up(KEY, 0.0, records=True)
    with pytest.raises(LocalError):
        play.searches.look_up(KEY, 0.0, records=True)
    with pytest.raises(LocalError):
        play.searches.find_region(KEY, 0.0, lambda _holders: None)
    play.searches.refresh(0, 0.0)
    assert len(play.searches) == LOOKUPS_MAX


def test_one_contact_over_the_bound_of_an_answer_is_not_read() -> None:
    play = Play(1)
    play.searches.look_up(KEY, 0.0, records=True)
    named = [Contact(bytes([7, number]) * 16, ("10.0.1.1", 5000 + number)) for number in range(CONTACTS_READ_MAX + 1)]
    play.answer([[contact.pack() for contact in named], []])
    asked = set()
    while play.asked:
        asked.add(play.asked[0][0].node_key)
        play.answer([[], []])
    assert named[-1].node_key not in asked


def test_what_ended_early_says_nothing_about_the_size_of_the_network() -> None:
    """It has not seen the closest, and would make the network look small and every region large."""
    play = Play()
    play.searches.look_up(KEY, 0.0, records=True)
    play.answer_all([[], [encode_record(ALICE.record(3))]])
    assert play.searches.size.nodes is None
    play.searches.look_up(KEY, 0.0, records=True)
    play.answer_all([[], []])
    assert play.searches.size.nodes is not None


FIVE = sorted((TOWN.device("alice") for _ in range(5)), key=lambda each: each.certificate.node_id)


def shown(first: int, *, left: bool = True) -> list[object]:
    """What a holder of FIVE says from the `first` on: two records, and how many more it has."""
    records = [encode_record(device.record()) for device in FIVE[first : first + 2]]
    more = max(5 - first - 2, 0)
    return [[], records, more] if left and more else [[], records]


def test_the_devices_that_no_answer_had_room_for_are_asked_for_as_soon_as_enough_agree() -> None:
    play = Play()
    play.searches.look_up(KEY, 5.0, records=True)
    while not any(len(arguments) == 3 for _contact, _method, arguments, _callback in play.asked):
        play.answer(shown(0))
    for first, last in ((2, 1), (4, 3)):
        contact, method, arguments, _callback = play.asked[-1]
        assert (method, arguments) == (FIND, [KEY, True, [KEY, FIVE[last].certificate.node_id]])
        assert play.ended == []
        play.asked.insert(0, play.asked.pop())
        play.answer(shown(first))
    (contact, _method, _arguments, callback) = play.asked.pop()
    callback(contact, None)  # the last to be asked is silent
    (done,) = play.ended
    assert isinstance(done, LookupDone)
    assert {author.node_id for _record, author in done.records} == {each.certificate.node_id for each in FIVE}
    play.answer_all(shown(0))
    assert (len(play.ended), len(play.searches)) == (1, 0)


def test_a_holder_that_always_has_more_does_not_keep_a_lookup_from_its_end() -> None:
    play = Play()
    play.searches.look_up(KEY, 5.0, records=True)
    play.answer_all([[], [encode_record(ALICE.record())], 1_000_000])
    (done,) = play.ended
    assert isinstance(done, LookupDone)
    assert done.messages <= 5 + 8


@pytest.mark.parametrize("left", [-1, True, 2**63])
def test_any_number_that_is_left_ends_the_lookup(left: int) -> None:
    play = Play()
    play.searches.look_up(KEY, 5.0, records=True)
    play.answer_all([[], [encode_record(ALICE.record())], left])
    assert found(play) == [1]
