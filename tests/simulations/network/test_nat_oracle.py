"""Boxes against the small ones that the worlds of the overlay's tests use: written apart, they must let the same datagrams pass."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.core import Address
from simulations.network import nat
from simulations.network.endpoint import Line
from tests.overlay import nats

KINDS = (
    (nat.FULL_CONE, nats.Nat.FULL_CONE),
    (nat.ADDRESS_RESTRICTED, nats.Nat.ADDRESS_RESTRICTED),
    (nat.PORT_RESTRICTED, nats.Nat.PORT_RESTRICTED),
    (nat.SYMMETRIC, nats.Nat.SYMMETRIC),
    (nat.FIREWALL, nats.Nat.FIREWALL),
)
HOST = "90.0.0.1"
OTHERS: list[Address] = [("77.0.0.1", 1), ("77.0.0.1", 2), ("78.0.0.1", 1)]
INNER: list[Address] = [("10.0.0.10", 5_000), ("10.0.0.11", 5_000), ("10.0.0.10", 6_000)]

steps = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from((0.5, 40.0, 119.0, 121.0)),
        st.integers(0, 50),
    ),
    max_size=60,
)


@given(st.sampled_from(KINDS), steps)
def test_the_same_datagrams_pass(
    kinds: tuple[nat.NatKind, nats.Nat], script: list[tuple[bool, int, int, float, int]]
) -> None:
    in_order = replace(
        kinds[0], ports=nat.Ports.SEQUENTIAL
    )  # as theirs gives them: none is given again after its mapping ran out
    ours, theirs = nat.Box(in_order, HOST, Line()), nats.Box(kinds[1], HOST)
    seen: list[tuple[Address, Address]] = []
    now = 0.0
    for outwards, inner, other, pause, which in script:
        now += pause
        if outwards:
            outer, expected = (box.outward(INNER[inner], OTHERS[other], now) for box in (ours, theirs))
            assert outer is not None
            assert expected is not None
            seen.append((outer, expected))
        elif seen:
            outer, expected = seen[-1 - which % min(len(seen), 3)]
            assert ours.inward(outer, OTHERS[other], now) == theirs.inward(expected, OTHERS[other], now)
