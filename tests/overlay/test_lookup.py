"""One lookup by hand: who is asked when, who is waited for, and when it ends."""

import pytest

from overlay.agreement import AGREEING_ANSWERS, Authored
from overlay.contact import Contact
from overlay.lookup import (
    ADDRESSES_EACH_MAX,
    ALPHA,
    ALPHA_RECORDS,
    BUSY_MAX,
    CANDIDATES_MAX,
    CHOICE,
    DOUBTFUL_ASKED_MAX,
    MESSAGES_MAX,
    MISLEADING_MAX,
    NAMERS_MAX,
    RECORDS_BUSY_MAX,
    WIDTH,
    Lookup,
)
from overlay.region import region_of
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE = TOWN.device("alice")


def contacts(count: int, first: int = 0) -> list[Contact]:
    """Contacts whose distance to 0 is their place in the list, beginning with `first` + 1."""
    made = []
    for number in range(first, first + count):
        contact = Contact(number.to_bytes(32, "big"), ("192.0.2.1", 5000))
        contact.number = number + 1
        made.append(contact)
    return made


def authored(sequence: int, kind: str = "registration") -> Authored:
    return ALICE.record(sequence, kind=kind, expiry=UNIX + 600), ALICE.certificate


def ask_all(lookup: Lookup) -> list[Contact]:
    """All that are to be asked now."""
    asked = []
    while (contact := lookup.next_to_ask()) is not None:
        asked.append(contact)
    return asked


def test_alpha_are_asked_at_once_and_no_more() -> None:
    lookup, peers = Lookup(0, False), contacts(10)
    lookup.add(peers)
    assert ask_all(lookup) == peers[:ALPHA]
    assert ALPHA == 4


def test_each_answer_lets_the_next_be_asked_without_waiting_for_a_round() -> None:
    """The playbook with a silent peer: the first never answers, and nobody waits for it."""
    lookup, peers = Lookup(0, False), contacts(10)
    lookup.add(peers)
    _silent, *others = ask_all(lookup)
    for place, contact in enumerate(others):
        lookup.answered(contact, [], [])
        assert ask_all(lookup) == [peers[ALPHA + place]]


def test_a_closer_peer_that_an_answer_names_comes_first() -> None:
    lookup, far = Lookup(0, False), contacts(6, first=100)
    lookup.add(far)
    ask_all(lookup)
    (near,) = contacts(1)
    lookup.answered(far[3], [near], [])
    assert ask_all(lookup) == [near]
    lookup.answered(near, [], [])
    assert lookup.hops == 2


def test_nobody_is_asked_twice_and_a_second_answer_changes_nothing() -> None:
    lookup, peers = Lookup(0, False), contacts(3)
    lookup.add(peers)
    assert ask_all(lookup) == peers
    lookup.answered(peers[0], peers, [])
    lookup.answered(peers[0], contacts(5, first=50), [])
    assert ask_all(lookup) == []
    assert (lookup.messages, lookup.knows(contacts(1, first=50)[0].node_key)) == (3, False)


def test_it_ends_when_the_closest_that_live_have_answered() -> None:
    lookup, peers = Lookup(0, False), contacts(WIDTH + 5)
    lookup.add(peers)
    while (contact := lookup.next_to_ask()) is not None:
        if contact is peers[2]:
            lookup.failed(contact)
        else:
            lookup.answered(contact, [], [])
    assert lookup.finished
    assert lookup.closest(WIDTH) == [*peers[:2], *peers[3 : WIDTH + 1]]
    assert lookup.messages == WIDTH + 1


def test_it_stops_when_enough_answers_agree() -> None:
    lookup, peers = Lookup(0, True), contacts(8)
    lookup.add(peers)
    asked = ask_all(lookup)
    for contact in asked[: AGREEING_ANSWERS - 1]:
        lookup.answered(contact, [], [authored(3)])
        assert not lookup.finished
    lookup.answered(asked[AGREEING_ANSWERS - 1], [], [authored(3)])
    assert lookup.finished
    assert ask_all(lookup) == []
    assert [record.sequence for record, _author in lookup.agreement.newest.values()] == [3]


def test_a_newer_record_starts_the_count_again() -> None:
    lookup, peers = Lookup(0, True), contacts(8)
    lookup.add(peers)
    for contact, sequence in zip(peers, (1, 1, 2, 1, 2), strict=False):
        ask_all(lookup)
        lookup.answered(contact, [], [authored(sequence)])
        assert not lookup.finished
    ask_all(lookup)
    lookup.answered(peers[5], [], [authored(2)])
    assert lookup.finished
    assert [record.sequence for record, _author in lookup.agreement.newest.values()] == [2]


def test_that_a_name_exists_ends_nothing() -> None:
    lookup, peers = Lookup(0, True), contacts(WIDTH)
    lookup.add(peers)
    for contact in peers[:-1]:
        ask_all(lookup)
        lookup.answered(contact, [], [authored(1, "name")])
    assert not lookup.finished


def test_who_is_late_makes_room_for_the_next() -> None:
    lookup, peers = Lookup(0, False), contacts(6)
    lookup.add(peers)
    ask_all(lookup)
    lookup.late(peers[0])
    lookup.late(peers[0])
    assert ask_all(lookup) == [peers[4]]


def test_the_late_hold_up_nobody_once_enough_was_found() -> None:
    lookup, peers = Lookup(0, False), contacts(WIDTH + 1)
    lookup.add(peers)
    ask_all(lookup)
    lookup.late(peers[0])
    for contact in peers[1:]:
        ask_all(lookup)
        lookup.answered(contact, [], [])
    assert ask_all(lookup) == []
    assert lookup.finished


@pytest.mark.parametrize("records", [True, False])
def test_without_a_find_the_late_are_waited_for(records: bool) -> None:
    lookup, (slow,) = Lookup(0, records), contacts(1)
    lookup.add([slow])
    ask_all(lookup)
    lookup.late(slow)
    assert ask_all(lookup) == []
    assert not lookup.finished
    nearer = contacts(2, first=5)
    lookup.answered(slow, nearer, [authored(1)] if records else [])
    assert ask_all(lookup) == nearer


@pytest.mark.parametrize("late_first", [True, False])
def test_it_ends_when_the_last_one_fails(late_first: bool) -> None:
    lookup, peers = Lookup(0, True), contacts(1)
    lookup.add(peers)
    ask_all(lookup)
    if late_first:
        lookup.late(peers[0])
    lookup.failed(peers[0])
    assert ask_all(lookup) == []
    assert lookup.finished


def test_without_candidates_it_ends_at_once() -> None:
    lookup = Lookup(0, True)
    assert lookup.next_to_ask() is None
    assert lookup.finished


def test_one_candidate_over_the_bound_drops_the_farthest() -> None:
    lookup, peers = Lookup(0, False), contacts(CANDIDATES_MAX + 1)
    lookup.add(reversed(peers))
    assert [lookup.knows(peer.node_key) for peer in (peers[0], peers[-2], peers[-1])] == [True, True, False]


def test_ten_thousand_candidates_do_not_pile_up() -> None:
    lookup, peers = Lookup(0, False), contacts(10_000)
    for first in range(0, 10_000, 40):
        lookup.add(peers[first : first + 40])
        lookup.next_to_ask()
    assert sum(lookup.knows(peer.node_key) for peer in peers) <= CANDIDATES_MAX + ALPHA


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_contact_that_moves_while_it_is_asked_still_ends_the_lookup(is_answered: bool) -> None:
    lookup, (moving,) = Lookup(0, False), contacts(1)
    lookup.add([moving])
    assert ask_all(lookup) == [moving]
    moving.address = ("198.51.100.1", 5000)  # what `RoutingTable.move` does with the contact that both hold
    if is_answered:
        lookup.answered(moving, contacts(CANDIDATES_MAX + 5, first=10), [])
    else:
        lookup.failed(moving)
    for contact in ask_all(lookup):
        contact.address = ("198.51.100.2", 5000)
        lookup.failed(contact)
    while asked := ask_all(lookup):
        for contact in asked:
            lookup.failed(contact)
    assert lookup.finished
    assert lookup.closest(1) == ([moving] if is_answered else [])


def test_of_what_one_answer_names_few_are_asked_until_one_of_them_answers() -> None:
    lookup, (far, *others) = Lookup(0, True), contacts(1 + 2, first=5_000)
    lookup.add([far, *others])
    ask_all(lookup)
    named = contacts(8)
    lookup.answered(far, named, [])
    assert ask_all(lookup) == named[:MISLEADING_MAX]
    lookup.answered(named[0], [], [])
    assert ask_all(lookup) == named[MISLEADING_MAX : MISLEADING_MAX + 3]


def test_invented_contacts_do_not_push_true_ones_out() -> None:
    """The first to answer names a hundred that are nobody, closer than all others: the others are asked all the same."""
    lookup, honest = Lookup(0, True), contacts(20, first=9_000)
    lookup.add(honest)
    asked = ask_all(lookup)
    lookup.answered(asked[0], contacts(100), [])
    for _ in range(200):
        for contact in ask_all(lookup):
            if contact in honest:
                lookup.answered(contact, [], [])
            else:
                lookup.late(contact)
                lookup.failed(contact)
        for contact in asked[1:]:
            lookup.answered(contact, [], [])
    assert lookup.finished
    assert lookup.closest(WIDTH) == honest[:WIDTH]
    assert lookup.messages <= 2 * WIDTH + MISLEADING_MAX + DOUBTFUL_ASKED_MAX + RECORDS_BUSY_MAX - ALPHA_RECORDS


def test_a_node_named_at_a_false_address_is_asked_at_its_true_one() -> None:
    lookup, (liar, honest) = Lookup(0, False), contacts(2, first=5_000)
    (true,) = contacts(1)
    false = Contact(true.node_key, ("198.18.0.1", 5000))
    false.number = true.number
    lookup.add([liar, honest])
    ask_all(lookup)
    lookup.answered(liar, [false], [])
    assert ask_all(lookup) == [false]
    lookup.answered(honest, [true], [])
    assert ask_all(lookup) == []
    lookup.late(false)
    assert ask_all(lookup) == [true]
    lookup.answered(true, [], [])
    assert lookup.closest(1) == [true]


def test_one_address_over_the_bound_is_not_tried() -> None:
    lookup, (first,) = Lookup(0, False), contacts(1)
    for number in range(ADDRESSES_EACH_MAX + 1):
        other = Contact(first.node_key, ("198.18.0.1", 5000 + number))
        lookup.add([other])
    asked = ask_all(lookup)
    while asked:
        lookup.failed(asked[-1])
        asked += (more := ask_all(lookup))
        if not more:
            break
    assert len(asked) == ADDRESSES_EACH_MAX


def test_the_quickest_of_those_as_close_is_asked_first() -> None:
    lookup, peers = Lookup(0, False), contacts(CHOICE, first=5_000)
    for contact, seconds in zip(peers, (0.3, 0.05, 0.2, 0.1), strict=True):
        contact.rtt = seconds
    lookup.add(peers)
    assert [contact.rtt for contact in ask_all(lookup)] == [0.05, 0.1, 0.2, 0.3]


def test_who_was_not_heard_of_for_long_comes_later() -> None:
    lookup, peers = Lookup(0, False, started=10_000.0), contacts(2, first=5_000)
    peers[0].last_seen, peers[1].last_seen = 7_000.0, 9_990.0
    lookup.add(peers)
    assert ask_all(lookup) == [peers[1], peers[0]]


@pytest.mark.parametrize(
    ("records", "at_once", "busy_max"), [(False, ALPHA, BUSY_MAX), (True, ALPHA_RECORDS, RECORDS_BUSY_MAX)]
)
def test_those_closer_need_not_wait_for_the_far_ones_and_no_more_than_the_bound_are_busy(
    records: bool, at_once: int, busy_max: int
) -> None:
    lookup, far = Lookup(0, records), contacts(at_once + 20, first=5_000)
    lookup.add(far)
    asked = ask_all(lookup)
    assert len(asked) == at_once
    lookup.answered(asked[0], [], [])
    lookup.add(contacts(20, first=10))
    assert len(ask_all(lookup)) == min(at_once, busy_max - (at_once - 1))
    lookup.add(contacts(20, first=1_000))
    assert ask_all(lookup) == []
    lookup.add(contacts(10))
    assert len(ask_all(lookup)) == busy_max - (at_once - 1) - min(at_once, busy_max - (at_once - 1))


def numbered(distances: list[int], host: str = "192.0.2.1") -> list[Contact]:
    made = contacts(len(distances), first=20_000)
    for contact, distance in zip(made, distances, strict=True):
        contact.number, contact.address = distance, (host, 5000)
    return made


def test_a_crowd_beside_the_key_makes_the_lookup_ask_for_the_whole_region() -> None:
    region = region_of(0, 1_000.0)
    lookup, far = Lookup(0, True, region=region), numbered([region.radius * 3 + number for number in range(4)])
    lookup.add(far)
    ask_all(lookup)
    crowd = contacts(8)
    for contact in far[:2]:
        lookup.answered(contact, crowd, [])
    assert lookup.is_thorough
    points = set()
    while (contact := lookup.next_to_ask()) is not None:
        points.add(lookup.point)
    assert len(points) == MISLEADING_MAX
    assert all(region.cell(point) is not None for point in points)


def test_votes_of_one_corner_of_a_crowded_region_count_once() -> None:
    """Sixty that serve a stale record beside the key must not outvote the others."""
    region = region_of(0, 1_000.0)
    lookup = Lookup(0, True, region=region)
    lookup.add([*contacts(20), *numbered([region.radius // 2, region.radius // 3])])
    ask_all(lookup)
    lookup.answered(contacts(1)[0], [], [])
    for contact in contacts(20)[1:]:
        ask_all(lookup)
        lookup.answered(contact, [], [authored(1)])
    assert lookup.is_thorough
    assert not lookup.agreed


def test_too_few_in_the_region_make_the_lookup_look_farther() -> None:
    region = region_of(0, 1_000.0)
    lookup = Lookup(0, True, region=region)
    near, far = numbered([5, 6, 7]), numbered([region.radius * 2 + number for number in range(40)])
    for contact in near:
        contact.node_key = bytes(reversed(contact.node_key))
    lookup.add([*near, *far])
    while not lookup.finished:
        for contact in ask_all(lookup):
            lookup.answered(contact, [], [])
    assert lookup.is_thorough
    assert lookup.messages == 43


@pytest.mark.parametrize("knows_far", [True, False])
def test_a_gang_that_stands_around_the_target_in_our_table_is_passed_by_way_of_its_far_parts(knows_far: bool) -> None:
    region = region_of(0, 1_000.0)
    lookup = Lookup(0, True, region=region)
    gang, (far, honest) = contacts(60), numbered([region.radius * 100, region.radius // 2])
    far.node_key, honest.node_key = bytes(31) + b"f", bytes(31) + b"h"
    lookup.add(gang[:40], [far] if knows_far else [])
    while not lookup.finished:
        for contact in ask_all(lookup):
            lookup.answered(contact, [honest] if contact is far else gang, [authored(1)] if contact is honest else [])
    assert lookup.agreement.tells == knows_far


def test_no_lookup_sends_more_than_the_bound() -> None:
    region = region_of(0, 1_000.0)
    lookup = Lookup(0, True, region=region)
    lookup.add(contacts(40))
    serial = 100
    while not lookup.finished:
        for contact in ask_all(lookup):
            lookup.answered(contact, contacts(5, first=serial), [])
            serial += 5
    assert lookup.messages <= MESSAGES_MAX


def test_one_namer_over_the_bound_is_not_kept() -> None:
    lookup, many = Lookup(0, False), contacts(ALPHA + 3, first=5_000)
    lookup.add(many)
    named = contacts(WIDTH + 20)[WIDTH + 5]
    for _ in range(NAMERS_MAX + 1):
        for contact in ask_all(lookup):
            lookup.answered(contact, [named], [])
    assert lookup.knows(named.node_key)
