"""Whole overlays with NATs: clients that nobody can reach are spoken with through super-nodes."""

import pytest

from tests.overlay.nats import Nat
from tests.overlay.supernodes import heard, say, town


@pytest.mark.parametrize(
    "nats",
    [(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED), (Nat.SYMMETRIC, Nat.SYMMETRIC), (Nat.PORT_RESTRICTED, Nat.SYMMETRIC)],
)
def test_two_clients_talk_both_ways(nats: tuple[Nat, Nat]) -> None:
    world, _supernodes, (alice, bob) = town(1, *nats)
    say(world, alice, bob, b"hello")
    assert world.run_until(lambda: heard(bob) == [b"hello"], 2)
    bob.peer.say(alice.key, [], b"good day", world.now)
    world.pump(bob)
    assert world.run_until(lambda: heard(alice) == [b"good day"], 2)
    world.run(5)
    assert (heard(alice), heard(bob)) == ([b"good day"], [b"hello"])
