"""Our own records at their holders: found by a search, renewed directly, looked for anew when too many have gone."""

from dataclasses import replace

import pytest

from overlay.contact import Contact
from overlay.events import LookupDone, StoreDone
from overlay.records import NAME, Record, decode_together, encode_record, registration_key
from overlay.rpc import FIND, STORE
from overlay.searches import LOOKUPS_MAX, Searches, SearchPolicy
from overlay.storing import GROWTH_SECONDS_MIN, PLACES_MAX, RENEWED_SECONDS_MAX, Stores
from p2psip.base.errors import LocalError
from tests.overlay.devices import UNIX
from tests.overlay.test_searches import ALICE, KEY, Play


class Keeping(Play):
    """Stores over a table of peers, with all that they ask."""

    def __init__(self, peers: int = 5, policy: SearchPolicy | None = None) -> None:
        super().__init__(peers, policy)
        self.stores = Stores(self.searches, self.ended.append)

    def search(self) -> None:
        """Everybody who is asked for contacts knows no more."""
        while self.asked and self.asked[0][1] == FIND:
            self.answer([[], []])

    @property
    def methods(self) -> list[int]:
        return [method for _contact, method, _arguments, _callback in self.asked]

    @property
    def sent(self) -> list[list[Record]]:
        """The records of each store under way."""
        own = ALICE.certificate.der
        return [decode_together(arguments[0], own) for _c, method, arguments, _b in self.asked if method == STORE]  # type: ignore[arg-type]

    @property
    def done(self) -> StoreDone:
        last = self.ended[-1]
        assert isinstance(last, StoreDone)
        return last

    def stored(self, now: float = 0.0) -> "Keeping":
        """Alice's first record is with all peers."""
        self.stores.store(ALICE.record(1), now)
        self.search()
        self.answer_all(None)
        return self


def test_a_store_goes_to_the_closest_and_counts_who_took_it() -> None:
    play = Keeping()
    play.stores.store(ALICE.record(), 0.0)
    while play.asked[0][1] == FIND:
        play.answer([[], []])
    assert [method for _contact, method, _arguments, _callback in play.asked] == [STORE] * 5
    play.answer(None)
    play.answer("no room", status=507)
    play.fail()
    play.answer_all(None)
    (done,) = play.ended
    assert done == StoreDone(done.number, 3, "no room")


def test_a_store_is_tried_once_more_with_the_fresh_token_of_a_refusal() -> None:
    play = Keeping(1)
    play.stores.store(ALICE.record(), 0.0)
    play.answer([[], []])
    play.answer("a store without a valid write token", status=401, token=b"fresh")
    assert [method for _contact, method, _arguments, _callback in play.asked] == [STORE]
    play.answer("a store without a valid write token", status=401, token=b"fresher")
    assert [(done.holders, done.refusal is None) for done in play.ended if isinstance(done, StoreDone)] == [(0, False)]


def test_without_peers_a_store_ends_at_once() -> None:
    play = Keeping(0)
    number = play.stores.store(ALICE.record(), 0.0)
    assert play.ended == [StoreDone(number, 0, None)]


def test_without_regions_a_record_goes_to_the_closest_as_in_kademlia() -> None:
    play = Keeping(19, SearchPolicy(paths=1, regions=False, copies=3))
    play.stores.store(ALICE.record(), 0.0)
    while play.asked[0][1] == FIND:
        play.answer([[], []])
    closest = sorted(play.peers, key=lambda contact: contact.number ^ int.from_bytes(KEY, "big"))[:3]
    assert [contact for contact, _method, _arguments, _callback in play.asked] == closest


def test_who_holds_a_record_is_asked_directly_to_renew_it() -> None:
    play = Keeping().stored()
    number = play.stores.store(ALICE.record(2), RENEWED_SECONDS_MAX - 1)
    assert play.methods == [STORE] * 5
    play.answer_all(None)
    assert play.done == StoreDone(number, 5, None, is_renewal=True)
    play.stores.store(ALICE.record(3), RENEWED_SECONDS_MAX)
    assert set(play.methods) == {FIND}


def test_a_record_stored_anew_goes_to_known_holders_at_once_and_to_all_that_are_found() -> None:
    play = Keeping().stored()
    number = play.stores.store(ALICE.record(2), 1.0, anew=True)
    assert play.methods[:5] == [STORE] * 5
    assert set(play.methods[5:]) == {FIND}
    for _ in range(5):
        play.answer(None)
    play.search()
    assert play.done == StoreDone(number, 5, None)


def test_after_a_search_only_those_that_it_found_are_remembered() -> None:
    play = Keeping().stored()
    play.stores.store(ALICE.record(2), 1.0, anew=True)
    for _ in range(5):
        play.answer(None)
    while len(play.asked) > 2:
        play.fail()  # two of five are found again
    play.search()
    number = play.stores.store(ALICE.record(3), 2.0)
    assert play.methods == [STORE] * len(play.asked)
    assert 0 < len(play.asked) < 5
    play.answer_all(None)
    assert play.done == StoreDone(number, play.done.holders, None, is_renewal=True)


def test_when_too_few_of_its_holders_take_it_the_region_is_searched_at_once() -> None:
    play = Keeping().stored()
    number = play.stores.store(ALICE.record(2), 300.0)
    for _ in range(2):
        play.fail()
    for _ in range(3):
        play.answer(None)
    assert set(play.methods) == {FIND}
    play.search()
    assert len(play.methods) == 2  # those that have not taken it yet
    play.answer_all(None)
    assert play.done == StoreDone(number, 5, None)


def test_who_leaves_bit_by_bit_is_missed_in_the_end() -> None:
    """Each time one more is gone: it is those that a search had found that count, not those of the last time."""
    play = Keeping(8).stored()
    for gone in range(1, 3):
        play.stores.store(ALICE.record(1 + gone), gone * 100.0)
        assert len(play.methods) == 9 - gone
        play.fail()
        play.answer_all(None)
        assert play.done.is_renewal
    play.stores.store(ALICE.record(9), 300.0)
    play.fail()
    while play.asked and play.asked[0][1] == STORE:
        play.answer(None)
    assert set(play.methods) == {FIND}


def test_holders_that_refuse_are_no_holders() -> None:
    play = Keeping(8).stored()
    play.stores.store(ALICE.record(2), 1.0)
    play.answer("no room", status=507)
    play.answer_all(None)
    assert play.done == StoreDone(play.done.number, 7, "no room", is_renewal=True)
    play.stores.store(ALICE.record(3), 2.0)
    assert len(play.methods) == 7


def test_a_withdrawal_goes_to_known_holders_at_once_and_to_all_that_are_found() -> None:
    play = Keeping().stored()
    number = play.stores.store(ALICE.record(2, body=None), 1.0)
    assert play.methods[:5] == [STORE] * 5
    assert set(play.methods[5:]) == {FIND}
    play.fail()
    for _ in range(4):
        play.answer(None)
    play.search()
    assert play.methods == [STORE]  # the one that was silent
    play.answer_all(None)
    assert play.done == StoreDone(number, 5, None)
    play.stores.store(ALICE.record(3), 2.0)
    assert set(play.methods) == {FIND}  # nothing is remembered of what was withdrawn


def test_what_stands_beside_a_record_goes_along_after_a_search_only() -> None:
    play = Keeping()
    name = ALICE.record(9, kind=NAME, body=b"", expiry=UNIX + 86_400)
    play.stores.store(ALICE.record(1), 0.0, [name])
    play.search()
    assert play.sent == [[ALICE.record(1), name]] * 5
    play.answer_all(None)
    play.stores.store(ALICE.record(2), 1.0, [name])
    assert play.sent == [[ALICE.record(2)]] * 5


def test_a_certificate_that_holders_have_is_left_out_and_sent_to_those_who_have_lost_it() -> None:
    play = Keeping(2).stored()
    play.stores.store(ALICE.record(2), 1.0)
    short, whole = [encode_record(ALICE.record(2), ALICE.certificate.der)], [encode_record(ALICE.record(2))]
    assert [arguments for _c, _m, arguments, _b in play.asked] == [[short]] * 2
    play.answer(None)
    play.answer("the renewal of a record that is not held here", status=401)
    assert [arguments for _c, _m, arguments, _b in play.asked] == [[whole]]
    play.answer(None)
    assert play.done == StoreDone(play.done.number, 2, None, is_renewal=True)


def test_a_new_certificate_is_sent_once() -> None:
    play = Keeping(1).stored()
    renewed = [replace(ALICE.record(sequence), certificate=b"renewed") for sequence in (2, 3)]
    play.stores.store(renewed[0], 1.0)
    assert [arguments for _c, _m, arguments, _b in play.asked] == [[[encode_record(renewed[0])]]]
    play.answer(None)
    play.stores.store(renewed[1], 2.0)
    assert [arguments for _c, _m, arguments, _b in play.asked] == [[[encode_record(renewed[1], b"renewed")]]]


def test_one_place_over_the_bound_is_forgotten() -> None:
    play = Keeping()
    for number in range(PLACES_MAX + 1):
        play.stores.store(ALICE.record(key=registration_key(f"a{number}@home.example")), 0.0)
        play.search()
        play.answer_all(None)
    assert len(play.stores) == PLACES_MAX
    play.stores.store(ALICE.record(2, key=registration_key("a0@home.example")), 1.0)
    assert set(play.methods) == {FIND}


def test_one_store_over_the_bound_of_searches_is_refused_and_a_renewal_ends_without_one() -> None:
    play = Keeping().stored()
    play.stores.store(ALICE.record(2), 1.0)
    for _ in range(LOOKUPS_MAX):
        play.searches.look_up(KEY, 0.0, records=True)
    with pytest.raises(LocalError):
        play.stores.store(ALICE.record(3), 1.0)
    for _ in range(5):
        play.fail()
    assert (play.done.holders, play.done.is_renewal) == (0, False)
    assert "too many" in str(play.done.refusal)


def test_peers_that_cannot_be_asked_end_a_renewal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Keeping().stored()

    def refuse(
        contact: Contact, _method: int, _arguments: object, callback: object, _now: float, late: object = None
    ) -> None:
        callback(contact, None)  # type: ignore[operator]

    monkeypatch.setattr(play.searches, "_ask", refuse)
    before = len(play.ended)
    play.stores.store(ALICE.record(2), 1.0)
    assert [type(done) for done in play.ended[before:]] == [StoreDone]
    assert not [done for done in play.ended if isinstance(done, LookupDone)]


@pytest.mark.parametrize(("grown", "method"), [(1.2, STORE), (2.0, FIND)])
def test_when_the_network_has_grown_by_much_the_region_is_searched_anew(
    grown: float, method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [1_000.0]
    monkeypatch.setattr(Searches, "count_near", lambda _searches: nodes[0])
    play = Keeping().stored()
    nodes[0] *= grown
    play.stores.store(ALICE.record(2), 300.0)
    assert set(play.methods) == {method}


def test_in_a_network_that_has_grown_the_region_is_searched_and_soon_if_it_has_doubled() -> None:
    play = Keeping(8).stored()
    far = max(contact.number for contact in play.peers)
    for number in range(40, 56):
        newcomer = Contact(bytes([number]) * 32, ("10.0.0.2", 5000 + number))
        newcomer.number = far // 8 + number
        play.searches._table.add(newcomer)
    assert not play.stores.are_outgrown(GROWTH_SECONDS_MIN - 1)
    assert play.stores.are_outgrown(GROWTH_SECONDS_MIN)
    play.stores.store(ALICE.record(2), 60.0)
    assert set(play.methods) == {FIND}
    play.search()
    play.answer_all(None)
    assert not play.stores.are_outgrown(100.0)
