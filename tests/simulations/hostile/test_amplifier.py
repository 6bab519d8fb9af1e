"""Forged sources: the bystander is really hit, and never with more than three times what the attacker sends."""

import pytest

from overlay.rpc import AMPLIFICATION_MAX
from simulations.hostile.amplifier import REQUESTS, VOLLEY, Bystander, amplify, send_spoofed
from simulations.hostile.hostile import Gang
from simulations.network.nat import PUBLIC
from tests.simulations.town import people_of, town


def test_a_bystander_is_hit_but_not_with_more_than_the_bound() -> None:
    swarm = town(1, 12)
    gang = Gang(swarm)
    attacker = amplify(gang)
    swarm.world.run(30.0)
    assert gang.deeds["spoofed"] >= 25 * VOLLEY
    assert attacker.bystander.received > 20 * VOLLEY
    assert 0.3 < attacker.factor <= AMPLIFICATION_MAX


@pytest.mark.parametrize("kind", REQUESTS)
def test_no_kind_of_request_is_worth_more_than_the_bound(kind: str) -> None:
    swarm = town(3, 6)
    swarm.grow(2, volunteer=True, nat=PUBLIC, per_second=4.0)
    swarm.world.run(20.0)
    attacker = amplify(Gang(swarm), (kind,))
    swarm.world.run(5.0)
    assert attacker.bystander.received > 2 * VOLLEY
    assert 0.3 < attacker.factor <= AMPLIFICATION_MAX


@pytest.mark.parametrize("size", [1, 200])
def test_a_spoofed_datagram_arrives_from_the_forged_source(size: int) -> None:
    swarm = town(2, 3)
    victim = Bystander(swarm.world, 900, swarm.chance)
    sources = []
    victim.core.receive = lambda data, source, now: sources.append((source, len(data)))  # type: ignore[method-assign]
    send_spoofed(swarm.world, people_of(swarm)[0], ("198.51.100.7", 99), victim.endpoint.address, bytes(size))
    swarm.world.run(5.0)
    assert sources == [(("198.51.100.7", 99), size)]
    assert victim.received_bytes == size
