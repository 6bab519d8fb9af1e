"""Ground keys are true key pairs, and lie where they were wanted."""

import itertools

import pytest

from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError
from p2psip.base.keys import KEY_BYTES, NodeKey
from simulations.hostile import grinding
from simulations.hostile.grinding import BATCH, BITS_MAX, bits_for, grind


def test_the_walk_gives_key_pairs_also_across_batches() -> None:
    for scalar, public in itertools.islice(grinding._walk(Chance.seeded(1)), 2 * BATCH + 3):
        assert NodeKey(scalar.to_bytes(KEY_BYTES, "little")).public == public


def test_ground_keys_share_the_bits_and_can_be_talked_to() -> None:
    target = bytes.fromhex("c0ffee" + 17 * "00")
    keys = grind(target, 5, 8, Chance.seeded(2))
    assert len({key.public for key in keys}) == 5
    assert all(key.node_id[0] == 0xC0 for key in keys)
    other = NodeKey.generate(Chance.seeded(3))
    assert keys[0].exchange(other.public) == other.exchange(keys[0].public)


def test_the_same_seed_grinds_the_same_keys() -> None:
    ground = [[key.private for key in grind(bytes(20), 3, 6, Chance.seeded(4))] for _ in range(2)]
    assert ground[0] == ground[1]


def test_bits_that_beat_a_network() -> None:
    assert bits_for(1_000) == 14
    assert bits_for(1) == 5


def test_one_bit_too_many_is_refused() -> None:
    with pytest.raises(LocalError, match="all day"):
        grind(bytes(20), 1, BITS_MAX + 1, Chance.seeded(5))
