"""How calls of the laboratory are judged and shown."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.nat.kinds import Kind
from tests.nat.matrix import as_table, cell
from tests.nat.talk import Heard, Talk
from tests.nat.town import House
from tests.nat.watch import Direction

GOOD = Heard(2.0, 0.99)
DIRECT: dict[str, Any] = {"way": "direct", "transport": "udp"}
RELAYED: dict[str, Any] = {"way": "relayed", "transport": "udp"}
TLS: dict[str, Any] = {"way": "relayed", "transport": "tls"}


def house(kind: Kind) -> House:
    return cast(House, SimpleNamespace(name=kind.value, site=SimpleNamespace(kind=kind)))


def call(
    one: Kind, other: Kind, paths: tuple[dict[str, Any], dict[str, Any]], callee_heard: Heard = GOOD, trouble: str = ""
) -> Talk:
    return Talk(house(one), house(other), 20.0, 35.4, paths, GOOD, callee_heard, trouble)


@pytest.mark.parametrize(
    ("made", "shown", "troubles"),
    [
        (call(Kind.PUBLIC, Kind.FULL_CONE, (DIRECT, DIRECT)), "direct 35", 0),
        (call(Kind.SYMMETRIC, Kind.SYMMETRIC, (RELAYED, DIRECT)), "relayed 35", 0),
        (call(Kind.UDP_BLOCKED, Kind.PUBLIC, (TLS, RELAYED)), "TLS 35", 0),
        (call(Kind.PUBLIC, Kind.FULL_CONE, (RELAYED, DIRECT)), "relayed 35", 1),
        (call(Kind.SYMMETRIC, Kind.SYMMETRIC, (DIRECT, DIRECT)), "direct 35", 1),
        (call(Kind.PUBLIC, Kind.PUBLIC, (DIRECT, DIRECT), Heard(2.0, 0.5)), "FAILED", 1),
        (call(Kind.PUBLIC, Kind.PUBLIC, (DIRECT, DIRECT), Heard(0.5, 1.0)), "FAILED", 1),
        (call(Kind.PUBLIC, Kind.PUBLIC, ({}, {}), Heard(), "486 Busy Here"), "FAILED", 1),
    ],
)
def test_a_call_is_judged(made: Talk, shown: str, troubles: int) -> None:
    assert cell(made) == shown
    assert len(made.troubles()) == troubles


def test_the_table_has_a_cell_for_each_pair() -> None:
    kinds = [Kind.PUBLIC, Kind.SYMMETRIC]
    text = as_table([call(one, other, (DIRECT, DIRECT)) for one in kinds for other in kinds], kinds)
    assert text.count("direct 35") == 4
    assert "4 of 4 pairs" in text


@pytest.mark.parametrize(
    ("counts", "since", "longest"),
    [
        ([1, 2, 3, 4, 5, 6], 0.0, 1.0),
        ([1, 2, 3, 3, 3, 4], 0.0, 3.0),
        ([1, 2, 2, 2, 5, 6], 2.5, 1.5),
        ([1, 2, 3, 3, 3, 3], 0.0, 3.0),
        ([0, 0, 0, 0, 0, 0], 1.0, 4.0),
    ],
)
def test_a_gap_in_the_audio_is_seen(counts: list[int], since: float, longest: float) -> None:
    direction = Direction(house(Kind.PUBLIC), list(zip([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], counts, strict=True)))
    assert direction.gap(since) == longest
