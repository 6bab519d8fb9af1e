"""Randomness: one seed, one stream; children that do not depend on what was drawn; and fair draws from both sources."""

from collections import Counter

import pytest

from p2psip.base import chance as module
from p2psip.base.chance import Chance


def drawn(chance: Chance, count: int = 40) -> list[object]:
    return [(chance.integer(64), chance.uniform(1, 2), chance.choice("abc"), chance.bytes(3)) for _ in range(count)]


def test_one_seed_gives_one_stream_and_children_their_own() -> None:
    one, same, other = Chance.seeded(1), Chance.seeded(1), Chance.seeded(2)
    assert drawn(one) == drawn(same) != drawn(other)
    assert drawn(one.child("peer")) == drawn(Chance.seeded(1).child("peer")) != drawn(one.child("pear"))


def test_a_generator_is_made_when_a_stream_is_drawn_from_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HASHED_DRAWS_MAX", 3)
    one, same = Chance.seeded(1), Chance.seeded(1)
    numbers = [one.integer(64) for _ in range(3)]
    assert one._source is None
    numbers += [one.integer(64) for _ in range(3)]
    assert one._source is not None
    assert numbers == [same.integer(64) for _ in range(6)]
    assert len(set(numbers)) == 6


@pytest.mark.parametrize("hashed", [0, 1_000_000])
def test_draws_are_fair_from_both_sources(hashed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HASHED_DRAWS_MAX", hashed)
    chance = Chance.seeded(7)
    for draw in (
        lambda: chance.choice("abcdef"),
        lambda: chance.sample("abcdef", 2)[1],
        lambda: _shuffled(chance)[0],
        lambda: "abcdef"[int(chance.uniform(0, 6))],
        lambda: "abcdef"[int(6 * chance.real())] if hashed == 0 else chance.choice("abcdef"),
    ):
        counts = Counter(draw() for _ in range(3_000))
        assert sorted(counts) == list("abcdef")
        assert all(abs(count - 500) < 5 * 21 for count in counts.values())  # five standard deviations


@pytest.mark.parametrize("chance", [Chance.seeded(1), Chance.system()])
def test_the_shape_of_what_is_drawn(chance: Chance) -> None:
    assert sorted(chance.sample(range(5), 5)) == sorted(_shuffled(chance, range(5))) == [0, 1, 2, 3, 4]
    assert len(chance.bytes(300)) == 300
    assert (chance.bytes(0), chance.integer(0)) == (b"", 0)
    assert len(chance.token(4)) == 8
    assert all(0 <= chance.integer(3) < 8 and 2.0 <= chance.uniform(2.0, 2.5) <= 2.5 for _ in range(100))
    with pytest.raises(IndexError):
        chance.choice([])


def test_the_system_has_no_children_of_its_own() -> None:
    chance = Chance.system()
    assert chance.child("peer") is chance
    assert chance.bytes(16) != chance.bytes(16)


def _shuffled(chance: Chance, values: "range | str" = "abcdef") -> list[object]:
    shuffled: list[object] = list(values)
    chance.shuffle(shuffled)
    return shuffled
