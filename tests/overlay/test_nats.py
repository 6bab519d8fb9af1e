"""The NATs of the world behave as RFC 4787 and RFC 5780 name them."""

import pytest

from p2psip.base.core import Address
from tests.overlay.nats import LIFETIME_SECONDS, Box, Nat

INNER: Address = ("192.168.0.1", 5000)
FRIEND: Address = ("10.0.0.1", 5000)
ITS_OTHER_PORT: Address = ("10.0.0.1", 6000)
STRANGER: Address = ("10.0.0.2", 5000)


@pytest.mark.parametrize(
    ("nat", "one_address", "passing"),
    [
        (Nat.FULL_CONE, True, [FRIEND, ITS_OTHER_PORT, STRANGER]),
        (Nat.ADDRESS_RESTRICTED, True, [FRIEND, ITS_OTHER_PORT]),
        (Nat.PORT_RESTRICTED, True, [FRIEND]),
        (Nat.SYMMETRIC, False, [FRIEND]),
        (Nat.FIREWALL, True, [FRIEND]),
        (Nat.ADDRESS_FIREWALL, True, [FRIEND, ITS_OTHER_PORT]),
    ],
)
def test_each_nat_maps_and_filters_as_its_name_says(nat: Nat, one_address: bool, passing: list[Address]) -> None:
    box = Box(nat, "10.0.9.9")
    outer = box.outward(INNER, FRIEND, 1.0)
    assert (outer == INNER) is (not box.translates)
    sources = [FRIEND, ITS_OTHER_PORT, STRANGER]
    assert [source for source in sources if box.inward(outer, source, 2.0) == INNER] == passing
    assert (box.outward(INNER, STRANGER, 3.0) == outer) is one_address
    assert box.inward(("10.0.9.9", 1), FRIEND, 3.0) is None


def test_what_was_open_is_shut_after_the_lifetime_and_gets_another_port() -> None:
    box = Box(Nat.PORT_RESTRICTED, "10.0.9.9")
    outer = box.outward(INNER, FRIEND, 1.0)
    assert box.outward(INNER, FRIEND, 50.0) == outer
    assert box.inward(outer, FRIEND, 50.0 + LIFETIME_SECONDS) == INNER
    assert box.inward(outer, FRIEND, 50.1 + LIFETIME_SECONDS) is None
    assert box.outward(INNER, FRIEND, 50.1 + LIFETIME_SECONDS) != outer
    box.forget()
    assert box.inward(outer, FRIEND, 51.0) is None
