"""Calls through NATs: who can reach whom directly, who over a relay, and who only over a stream."""

import pytest

from simulations.network.nat import (
    FIREWALL,
    FULL_CONE,
    PORT_RESTRICTED,
    PUBLIC,
    SYMMETRIC,
    UDP_BLOCKED,
    NatKind,
)
from simulations.village.calls import ANSWERED
from simulations.village.household import Household, Wishes
from simulations.village.village import Village

SETTLED = 60.0


def village_with(seed: int, *nats: NatKind, wishes: Wishes | None = None) -> tuple[Village, list[Household]]:
    """Four public volunteers, and a household behind each of these."""
    village = Village(seed)
    for number in range(4):
        village.add(nat=PUBLIC, volunteer=True, wishes=wishes, at=number * 0.5)
    return village, [village.add(nat=nat, at=5.0 + number) for number, nat in enumerate(nats)]


def test_each_pair_takes_the_way_that_its_nats_allow() -> None:
    village, (full, port, symmetric, firewall) = village_with(3, FULL_CONE, PORT_RESTRICTED, SYMMETRIC, FIREWALL)
    pairs = [(full, port), (port, symmetric), (symmetric, firewall), (firewall, port)]
    for number, (caller, callee) in enumerate(pairs):
        village.call(caller, callee, 4, at=SETTLED + 12 * number)
    village.run(SETTLED + 12 * len(pairs) + 5)
    assert [call.outcome for call in village.calls] == [ANSWERED] * len(pairs)
    assert [call.way for call in village.calls] == ["direct", "relayed", "relayed", "direct"]
    assert all(call.has_media and call.longest_gap < 0.5 for call in village.calls)
    assert all(call.media_seconds is not None and call.media_seconds < 1.0 for call in village.calls)


@pytest.mark.parametrize("calls", [True, False])
def test_who_has_no_udp_calls_and_is_called_over_streams(calls: bool) -> None:
    village, (blocked, other) = village_with(4, UDP_BLOCKED, PORT_RESTRICTED)
    caller, callee = (blocked, other) if calls else (other, blocked)
    village.call(caller, callee, 4, at=SETTLED)
    village.run(SETTLED + 20)
    (call,) = village.calls
    assert (call.outcome, call.one_way, call.way) == (ANSWERED, False, "tls")
    assert village.wire.counters.streamed > 0


def test_a_super_node_without_room_lets_calls_take_others() -> None:
    """With one allocation at each of four super-nodes, not everybody gets a relay; calls that need none go on."""
    wishes = Wishes(volunteer=True, allocations_max=1)
    village, households = village_with(5, PORT_RESTRICTED, PORT_RESTRICTED, PORT_RESTRICTED, wishes=wishes)
    village.call(households[0], households[1], 4, at=SETTLED)
    village.call(households[2], households[1], 4, at=SETTLED + 20)
    village.run(SETTLED + 40)
    assert [(call.outcome, call.way) for call in village.calls] == [(ANSWERED, "direct")] * 2
    for each in village.households[:4]:
        assert each.node is not None
        assert each.node.supernode is not None
        assert each.node.supernode.turn is not None
        assert each.node.supernode.turn.statistics()["relayed_addresses"] <= 1
