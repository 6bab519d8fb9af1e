"""The shares of boxes, held to the totals that surveys published (sources in `simulations/network/survey.py`)."""

import math
from collections import Counter

from p2psip.base.chance import Chance
from simulations.network import latency, nat
from simulations.network.internet import Internet
from simulations.network.nat import NatKind, Rule
from simulations.network.survey import HAIRPIN, KINDS, LIFETIMES, SHARES, SURVEY

POPULATION = 20_000


def _boxes(kind: NatKind) -> list[NatKind]:
    return [kind] + (_boxes(kind.before) if kind.before else [])


def _depends_on_destination(kind: NatKind) -> bool:
    return any(box.mapping not in (None, Rule.ENDPOINT_INDEPENDENT) for box in _boxes(kind))


def _filters_ports(kind: NatKind) -> bool:
    return any(box.filtering is Rule.ADDRESS_AND_PORT_DEPENDENT for box in _boxes(kind))


def _punches(a: NatKind, b: NatKind) -> bool:
    """Whether two hosts meet by hole punching (RFC 5128 §3.3): a port that cannot be foretold passes no filter of ports."""
    return not any(_depends_on_destination(x) and _filters_ports(y) for x, y in ((a, b), (b, a)))


_BOXED = [(kind, share) for kind, share in SHARES if not kind.is_public and not kind.blocks_udp]


def test_shares_are_whole() -> None:
    assert math.isclose(sum(share for _, share in SHARES), 1.0)
    assert math.isclose(sum(share for _, share in LIFETIMES), 1.0)


def test_so_many_peers_are_behind_boxes_that_allow_punching_as_halkes_and_pouwelse_found() -> None:
    assert math.isclose(sum(share for kind, share in _BOXED if not _depends_on_destination(kind)), 0.64)


def test_about_so_many_nats_allow_punching_as_ford_srisuresh_and_kegel_found() -> None:
    nats = [(kind, share) for kind, share in _BOXED if kind.mapping]
    allowing = sum(share for kind, share in nats if not _depends_on_destination(kind))
    assert abs(allowing / sum(share for _, share in nats) - 0.82) < 0.04


def test_so_many_attempts_succeed_as_trautwein_and_others_found() -> None:
    pairs = sum(a * b for _, a in _BOXED for _, b in _BOXED)
    meeting = sum(a * b for kind, a in _BOXED for other, b in _BOXED if _punches(kind, other))
    assert abs(meeting / pairs - 0.70) < 0.071


def test_so_many_of_all_pairs_need_no_relay_as_callstats_found() -> None:
    pairs = [(kind, other, a * b) for kind, a in SHARES for other, b in SHARES]
    direct = sum(
        share
        for kind, other, share in pairs
        if not (kind.blocks_udp or other.blocks_udp) and (kind.is_public or other.is_public or _punches(kind, other))
    )
    assert abs(direct - 0.78) < 0.03


def test_mobile_lines_are_behind_carriers_and_technologies_keep_their_shares() -> None:
    assert math.isclose(sum(share for kind, share in SHARES if kind.before), latency.CARRIED)
    network = Internet(Chance.seeded(4))
    hosts = [network.endpoint(number, Chance.seeded(number)) for number in range(5_000)]
    for technology in latency.TECHNOLOGIES:
        lines = [host for host in hosts if host.line.technology == technology.name]
        assert abs(len(lines) / 5_000 - technology.share) < 0.03
    mobile = [host for host in hosts if host.line.technology == "mobile"]
    assert abs(sum(host.kind.before is not None for host in mobile) / len(mobile) - latency.MOBILE_CARRIED) < 0.05


def test_a_big_population_has_these_shares() -> None:
    chance = Chance.seeded(1)
    drawn = [SURVEY.draw(chance) for _ in range(POPULATION)]
    names = Counter(kind.name for kind in drawn)
    for kind, share in SHARES:
        assert abs(names[kind.name] - POPULATION * share) < 4 * math.sqrt(POPULATION * share * (1.0 - share))
    nats = [kind for kind in drawn if kind.mapping]
    assert abs(sum(kind.hairpin for kind in nats) / len(nats) - HAIRPIN) < 0.015
    lifetimes = Counter(kind.lifetime for kind in nats)
    for lifetime, share in LIFETIMES:
        assert abs(lifetimes[lifetime] / len(nats) - share) < 0.015


def test_kinds_that_are_equal_are_one_object() -> None:
    chance = Chance.seeded(2)
    drawn = [SURVEY.draw(chance) for _ in range(5_000)]
    assert len({id(kind) for kind in drawn}) == len(set(drawn)) <= 3 + 6 * len(LIFETIMES) * 2


def test_kinds_have_names_for_settings() -> None:
    assert KINDS["symmetric"] is nat.SYMMETRIC
    assert len(KINDS) == len(SHARES) + 2
