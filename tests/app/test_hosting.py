"""Whom the bootstrap server introduces newcomers to."""

from bootstrap.messages import Introducer
from overlay.supernodes import SuperNode
from p2psip.app.introducing import INTRODUCED_MAX, INTRODUCED_SUPERNODES_MAX, introduced
from p2psip.base.chance import Chance

CHANCE = Chance.seeded(1)
OWN = Introducer(b"own", (("192.0.2.1", 443), ("2001:db8::1", 443)))


def supernode(number: int, *, draining: bool = False) -> SuperNode:
    addresses = (f"192.0.2.{number}", 4000), (f"2001:db8::{number}", 4000)
    return SuperNode(b"super%d" % number, addresses, 4000, 443, 0.01, 100, 3, draining)


def peers(count: int) -> list[tuple[bytes, tuple[str, int]]]:
    return [(b"peer%d" % number, (f"198.51.100.{number}", 4000)) for number in range(count)]


def test_super_nodes_come_first_with_all_their_addresses() -> None:
    told = introduced(OWN, [supernode(2)], [(b"super2", ("192.0.2.2", 4000)), *peers(1)], CHANCE)
    assert told == [
        OWN,
        Introducer(b"super2", (("192.0.2.2", 4000), ("2001:db8::2", 4000))),
        Introducer(b"peer0", (("198.51.100.0", 4000),)),
    ]


def test_places_are_kept_for_others_as_long_as_there_are_any() -> None:
    many = [supernode(number) for number in range(1, INTRODUCED_MAX + 2)]
    told = introduced(OWN, many, peers(INTRODUCED_MAX), CHANCE)
    assert len(told) == INTRODUCED_MAX
    assert sum(each.node_key.startswith(b"super") for each in told) == INTRODUCED_SUPERNODES_MAX
    assert (
        sum(each.node_key.startswith(b"super") for each in introduced(OWN, many, peers(1), CHANCE))
        == INTRODUCED_MAX - 2
    )
    assert len(introduced(OWN, many, [], CHANCE)) == INTRODUCED_MAX
    assert len(introduced(OWN, [], peers(INTRODUCED_MAX), CHANCE)) == INTRODUCED_MAX


def test_one_that_drains_takes_nobody_new() -> None:
    assert introduced(OWN, [supernode(2, draining=True)], [], CHANCE) == [OWN]


def test_newcomers_are_spread_over_all_peers() -> None:
    many = peers(100)
    told = {each.node_key for _newcomer in range(40) for each in introduced(OWN, [], many, CHANCE)}
    assert len(told) > 60
