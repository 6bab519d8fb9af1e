"""Lookups and stores among members that lie, in a ring of a thousand ids (`tests.overlay.ring`)."""

import pytest

from overlay.searches import SearchPolicy
from tests.overlay.ring import (
    Answering,
    Ring,
    conspiring,
    denying,
    ground,
    inventing,
    misdirecting,
    record_of,
    silent,
    stale,
)

PLAIN = SearchPolicy(paths=1, regions=False, copies=8)


def share_found(ring: Ring, lookups: int, *, twice: bool = False, policy: SearchPolicy | None = None) -> float:
    """The share of lookups that find the newest record."""
    honest, found = [index for index in range(ring.nodes) if index not in ring.lies], 0
    for place in range(lookups):
        key = ring.chance.bytes(20)
        writer = ring.searcher(honest[place % 20], policy)
        for sequence in (1, 2) if twice else (1,):
            writer.store(record_of(ring, key, sequence, seconds=250 if twice else 600))
        done = ring.searcher(honest[20 + place % 20], policy).look_up(key)
        found += [record.sequence for record, _author in done.records] == [2 if twice else 1]
    return found / lookups


@pytest.mark.parametrize("lie", [silent, denying, conspiring, inventing, misdirecting])
def test_with_a_fifth_of_liars_all_are_found(lie: Answering) -> None:
    assert share_found(Ring(1, 1_000, hostile=0.2, lie=lie), 40) == 1.0


@pytest.mark.parametrize("lie", [conspiring, misdirecting])
def test_with_three_in_ten_liars_nearly_all_are_found(lie: Answering) -> None:
    assert share_found(Ring(2, 1_000, hostile=0.3, lie=lie), 40) >= 0.96


def test_a_stale_record_past_half_its_life_is_not_believed() -> None:
    assert share_found(Ring(3, 1_000, hostile=0.2, lie=stale), 60, twice=True) >= 0.98


def sybils(ring: Ring, key: bytes, lie: Answering, bits: int, networks: int) -> None:
    for place, node_key in enumerate(ground(ring, key, 60, bits)):
        ring.add(node_key, lie, f"100.64.{place % networks}.{1 + place // networks}")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("networks", [6, 60])
@pytest.mark.parametrize("bits", [14, 7])
@pytest.mark.parametrize("lie", [denying, conspiring, silent, inventing])
def test_sixty_ids_ground_out_beside_a_key_hide_nothing(lie: Answering, bits: int, networks: int, when: str) -> None:
    """Closer to the key than anybody (14 bits), or all over its region (7 bits); there before the store or after it."""
    ring = Ring(bits, 1_000)
    key = ring.chance.bytes(20)
    if when == "before":
        sybils(ring, key, lie, bits, networks)
    ring.searcher(5).store(record_of(ring, key))
    if when == "after":
        sybils(ring, key, lie, bits, networks)
    assert ring.honest_holders(key) >= 6
    assert [len(ring.searcher(index).look_up(key).records) for index in (20, 30, 40, 50)] == [1, 1, 1, 1]


def test_without_regions_they_hide_it() -> None:
    """What the defences are for."""
    ring = Ring(14, 1_000)
    key = ring.chance.bytes(20)
    sybils(ring, key, denying, 14, 60)
    ring.searcher(5, PLAIN).store(record_of(ring, key))
    found = [len(ring.searcher(index, PLAIN).look_up(key).records) for index in (20, 30, 40, 50)]
    assert sum(found) <= 2


def test_without_an_attack_a_lookup_costs_twenty_messages_and_less_than_two_round_trips() -> None:
    ring = Ring(5, 1_500)
    middle, found = ring.median_round_trip, []
    for place in range(60):
        key = ring.chance.bytes(20)
        ring.searcher(place % 20).store(record_of(ring, key))
        found.append(ring.searcher(20 + place % 20).look_up(key))
    assert sum(done.messages for done in found) / len(found) < 20
    assert sorted(done.seconds for done in found)[30] < 1.6 * middle
    assert sorted(done.seconds for done in found)[57] < 3 * middle
