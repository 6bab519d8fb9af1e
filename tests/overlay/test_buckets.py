"""The routing table: exact against brute force and against kademlia's own heap, and its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kademlia.node import Node, NodeHeap

from overlay.buckets import (
    BITS,
    BUCKET_CONTACTS_MAX,
    FAR_BUCKETS,
    FAR_CONTACTS,
    LACK_MIN,
    NETWORK_CONTACTS_MAX,
    TABLE_CONTACTS_MAX,
    RoutingTable,
)
from overlay.contact import Contact

NUMBERS = st.integers(0, (1 << BITS) - 1)
FAR = 1 << BITS - 1


def contact(number: int, host: str = "10.0.0.1", *, node_id: int | None = None) -> Contact:
    """A contact with this node key; its Node-ID is set by hand where a test needs to choose the bucket."""
    made = Contact(number.to_bytes(32, "big"), (host, 5000))
    if node_id is not None:
        made.number, made.node_id = node_id, node_id.to_bytes(20, "big")
    return made


@given(NUMBERS, st.sets(NUMBERS, max_size=120), NUMBERS, st.integers(0, 50))
def test_the_closest_are_those_of_brute_force_and_of_kademlia(
    own: int, numbers: set[int], target: int, count: int
) -> None:
    table = RoutingTable(own)
    for index, number in enumerate(sorted(numbers)):
        table.add(contact(index, node_id=number))
    held = [each.number for each in table]
    found = [each.number for each in table.find_closest(target, count)]
    assert found == sorted(held, key=lambda number: number ^ target)[:count]
    heap = NodeHeap(Node(target.to_bytes(20, "big")), count)
    heap.push([Node(number.to_bytes(20, "big")) for number in held])
    assert found == [node.long_id for node in heap]


@given(NUMBERS, st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=120))
def test_the_table_stays_true_to_what_was_added_and_removed(own: int, steps: list[tuple[bool, int]]) -> None:
    table, model = RoutingTable(own), set()
    for add, index in steps:
        each = contact(index, node_id=(index + 1) << 100)
        if not add:
            table.remove(each)
            model.discard(each.node_key)
        elif table.add(each):
            model.add(each.node_key)
    assert {each.node_key for each in table} == model
    assert {each.node_key for each in table.find_closest(0, 1_000)} == model


def test_a_bucket_takes_its_bound_and_not_one_more() -> None:
    table = RoutingTable(0)
    for index in range(BUCKET_CONTACTS_MAX):
        assert table.add(contact(index, node_id=FAR + index))
    assert not table.has_room(contact(99, node_id=FAR + 99))
    assert not table.add(contact(99, node_id=FAR + 99))
    assert len(table) == BUCKET_CONTACTS_MAX


def test_one_that_failed_makes_room_in_a_full_bucket() -> None:
    table = RoutingTable(0)
    everyone = [contact(index, node_id=FAR + index) for index in range(BUCKET_CONTACTS_MAX)]
    for each in everyone:
        table.add(each)
    everyone[4].failures = 1
    table.note_failed(everyone[4])
    assert table.add(contact(99, node_id=FAR + 99))
    assert table.get(everyone[4]) is None
    assert len(table) == BUCKET_CONTACTS_MAX


def test_the_far_ones_are_the_closest_of_each_half_quarter_and_so_on_that_is_not_ours() -> None:
    table = RoutingTable(0)
    for index in range(40):
        table.add(contact(index, node_id=(index + 1) << BITS - 6))
    places = [each.number >> BITS - 6 for each in table.far_from(0)]
    assert places == [place + offset for place in (32, 16)[:FAR_BUCKETS] for offset in range(FAR_CONTACTS)]
    assert RoutingTable(0).far_from(0) == []


def test_we_are_not_in_our_own_table() -> None:
    ourselves = contact(1)
    assert not RoutingTable(ourselves.number).add(ourselves)


@pytest.mark.parametrize("hosts", ["8.8.8.{}", "2a00:1:2:3::{}"])
def test_a_network_takes_its_bound_and_not_one_more(hosts: str) -> None:
    table = RoutingTable(0)
    everyone = [contact(i, hosts.format(i + 1), node_id=1 << 20 + i) for i in range(NETWORK_CONTACTS_MAX + 1)]
    assert [table.add(each) for each in everyone] == [True] * NETWORK_CONTACTS_MAX + [False]
    table.remove(everyone[0])
    assert table.add(everyone[-1])


def test_loopback_and_private_networks_have_no_cap() -> None:
    table = RoutingTable(0)
    assert all(table.add(contact(i, "127.0.0.1", node_id=1 << 20 + i)) for i in range(2 * NETWORK_CONTACTS_MAX))


def test_who_moves_into_a_full_network_stays_where_they_were() -> None:
    table = RoutingTable(0)
    mover = contact(50, "9.9.9.9", node_id=1 << 100)
    table.add(mover)
    for i in range(NETWORK_CONTACTS_MAX):
        table.add(contact(i, f"8.8.8.{i + 1}", node_id=1 << 20 + i))
    assert not table.move(mover, ("8.8.8.99", 1))
    table.add(contact(50, "8.8.8.99", node_id=1 << 100))
    assert mover.address == ("9.9.9.9", 5000)


def test_a_network_is_free_again_when_its_peers_have_moved_away() -> None:
    table = RoutingTable(0)
    everyone = [contact(i, f"8.8.8.{i + 1}", node_id=1 << 20 + i) for i in range(NETWORK_CONTACTS_MAX)]
    for each in everyone:
        table.add(each)
        assert table.move(each, ("10.0.0.1", 5000))
        table.remove(each)
    assert all(table.add(contact(i, f"8.8.8.{i + 1}", node_id=1 << 20 + i)) for i in range(NETWORK_CONTACTS_MAX))


def test_the_table_takes_its_bound_and_not_one_more() -> None:
    table = RoutingTable(0)
    numbers = [(1 << bit) + i for bit in range(50, BITS) for i in range(BUCKET_CONTACTS_MAX)]
    added = [table.add(contact(i, node_id=number)) for i, number in enumerate(numbers[: TABLE_CONTACTS_MAX + 1])]
    assert added == [True] * TABLE_CONTACTS_MAX + [False]


@given(NUMBERS, NUMBERS)
def test_a_place_to_refresh_is_in_a_bucket_that_is_used(own: int, draw: int) -> None:
    table = RoutingTable(own)
    assert (table.target_in(None, draw) ^ own).bit_length() == BITS
    for bit in (7, 60, 159):
        table.add(contact(bit, node_id=own ^ 1 << bit))
    assert (table.target_in(None, draw) ^ own).bit_length() - 1 in (7, 60, 159)


def test_the_bucket_that_lacks_the_most_is_the_one_to_fill() -> None:
    table = RoutingTable(0)
    assert table.bucket_that_lacks(2 * LACK_MIN - 1) is None
    assert table.bucket_that_lacks(1_000.0) == BITS - 1
    for index in range(BUCKET_CONTACTS_MAX):
        table.add(contact(index, node_id=FAR + index))
    assert table.bucket_that_lacks(1_000.0) == BITS - 2
    assert table.bucket_that_lacks(BUCKET_CONTACTS_MAX / 2) == BITS - 2
    for index in range(BUCKET_CONTACTS_MAX - LACK_MIN + 1):
        table.add(contact(100 + index, node_id=FAR // 2 + index))
    assert table.bucket_that_lacks(4.0 * BUCKET_CONTACTS_MAX) == BITS - 3
    assert table.bucket_that_lacks(2.0 * LACK_MIN) is None


@given(NUMBERS, st.integers(0, BITS - 1), NUMBERS)
def test_a_place_in_a_bucket_is_inside(own: int, index: int, draw: int) -> None:
    assert (RoutingTable(own).target_in(index, draw) ^ own).bit_length() - 1 == index


def test_the_address_of_a_peer_that_is_met_again_is_the_new_one() -> None:
    table = RoutingTable(0)
    table.add(contact(1))
    table.add(contact(1, "10.0.0.2"))
    assert [each.address[0] for each in table] == ["10.0.0.2"]
