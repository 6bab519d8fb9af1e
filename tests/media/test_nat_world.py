"""Every pair of NATs connects, directly whenever it can be; relays that die, networks that change, better ways that come."""

import itertools

import pytest

from media.ice.agent import DEADLINE_SECONDS, RELAY_HOLD_BACK_SECONDS
from media.ice.candidates import Way, relay_candidate
from media.ice.checklist import SPARES_MAX
from media.ice.events import Failed, Stalled
from tests.media.nat_world import KINDS, NatWorld, Site, candidates, longest_gap

RELAYS = ("192.0.2.11", "192.0.2.12", "192.0.2.13")


def can_be_direct(one: str, other: str) -> bool:
    """Whether hole punching can work between two kinds."""
    if "blocked" in (one, other):
        return False
    return not ("symmetric" in (one, other) and {one, other} <= {"symmetric", "port-restricted"})


def is_direct(site: Site) -> bool:
    """Whether the selected way passes no relay."""
    assert site.path.selected is not None
    return site.path.selected.relays == 0


def call(world: NatWorld, one: str, other: str, relays: tuple[str, ...] = RELAYS) -> tuple[Site, Site]:
    """Two sites that know one another."""
    sites = world.site(one, relays=relays), world.site(other, relays=relays, controlling=False)
    world.introduce(*sites)
    return sites


def both_nominated(*sites: Site) -> bool:
    """Whether all have concluded."""
    return all(site.nominated() for site in sites)


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize(("one", "other"), list(itertools.product(KINDS, KINDS)))
def test_every_pair_connects_and_directly_whenever_it_can(one: str, other: str, loss: float) -> None:
    world = NatWorld(7, loss=loss)
    here, there = call(world, one, other)
    begun = world.now
    world.run(DEADLINE_SECONDS, until=lambda: here.way is not None and there.way is not None)
    early = world.now - begun
    world.run(DEADLINE_SECONDS, until=lambda: both_nominated(here, there))
    assert both_nominated(here, there), (here.events, there.events)
    world.talk(5.0)
    assert is_direct(here) == is_direct(there) == can_be_direct(one, other)
    assert here.media
    assert there.media
    if loss == 0.0:
        assert early < 0.5
        if can_be_direct(one, other):
            assert is_direct(here)
            assert [len(way) for way in here.nominated()] == [2]


def test_media_flows_over_a_relay_at_once_but_it_is_not_nominated_at_once() -> None:
    world = NatWorld(3)
    here, there = call(world, "symmetric", "symmetric")
    begun = world.now
    world.run(1.0, until=lambda: here.way is not None and there.way is not None)
    assert world.now - begun < 0.5
    assert not here.nominated()
    world.run(3.0, until=lambda: both_nominated(here, there))
    assert RELAY_HOLD_BACK_SECONDS <= world.now - begun < RELAY_HOLD_BACK_SECONDS + 0.5


def relay_hosts(site: Site) -> set[str]:
    """The relay servers that the selected way passes."""
    assert site.path.selected is not None
    return set(site.path.selected.route)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kinds", [("symmetric", "symmetric"), ("blocked", "port-restricted"), ("blocked", "blocked")])
def test_a_relay_that_dies_is_left_within_two_seconds_by_both(kinds: tuple[str, str], seed: int) -> None:
    world = NatWorld(seed)
    here, there = call(world, *kinds)
    world.talk(12.0)
    assert len(here.path.in_use.spares) == SPARES_MAX or kinds == ("blocked", "blocked")
    died = world.now
    world.dead_relays = relay_hosts(here) | relay_hosts(there)
    if len(world.dead_relays) == len(RELAYS):
        pytest.fail("both sides should agree on a way over two relays at most")
    world.talk(6.0)
    for site in (here, there):
        assert longest_gap(site, died, world.now) <= 2.0, (site.events, site.media[-1])
        assert not world.dead_relays & relay_hosts(site)
    assert here.path.selected is not None
    assert there.path.selected is not None
    world.talk(20.0)
    assert not any(isinstance(event, Failed) for site in (here, there) for _, event in site.events)


@pytest.mark.parametrize("seed", range(4))
def test_a_direct_way_that_dies_is_replaced_by_a_relay_within_two_seconds(seed: int) -> None:
    world = NatWorld(seed)
    here, there = call(world, "port-restricted", "full cone")
    world.talk(12.0)
    assert is_direct(here)
    died = world.now
    world.blocks_direct = True
    world.talk(6.0)
    for site in (here, there):
        assert longest_gap(site, died, world.now) <= 2.0
        assert not is_direct(site)
    world.blocks_direct = False
    back = world.now
    world.talk(30.0)
    for site in (here, there):  # and it comes back, with no packet lost
        assert is_direct(site)
        assert longest_gap(site, back, world.now) <= 0.2


def test_a_better_way_that_comes_later_takes_over_with_no_packet_lost() -> None:
    world = NatWorld(4)
    world.blocks_direct = True
    here, there = call(world, "port-restricted", "port-restricted")
    world.talk(10.0)
    assert not is_direct(here)
    world.blocks_direct = False
    counted, heard = world.sent_media, len(here.media) + len(there.media)
    world.talk(30.0)
    assert is_direct(here)
    assert is_direct(there)
    world.run(1.0)
    in_flight = 20  # when the counting began
    assert abs(world.sent_media - counted - (len(here.media) + len(there.media) - heard)) <= in_flight
    assert len(here.media) + len(there.media) - heard >= world.sent_media - counted


@pytest.mark.parametrize("kind", ["open", "port-restricted", "symmetric"])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_address_is_healed_by_a_restart_within_two_seconds(kind: str, seed: int) -> None:
    world = NatWorld(seed)
    here, there = call(world, kind, "port-restricted")
    world.talk(8.0)
    changed = world.now
    world.move(here)
    world.talk(0.3)  # until relays have answered, and signalling has gone there and back
    here.path.restart(candidates(here.addresses[0], here.nat, here.relays))
    there.path.restart(there.path.newest.local)
    world.introduce(here, there)
    world.talk(6.0)
    for site in (here, there):
        assert longest_gap(site, changed, world.now) <= 2.0
        assert not any(isinstance(event, Failed) for _, event in site.events)
    world.talk(10.0)
    assert is_direct(here) == can_be_direct(kind, "port-restricted")


def test_all_ways_dead_is_said_at_once_and_healed_when_the_network_returns() -> None:
    world = NatWorld(5)
    here, there = call(world, "open", "open", ())
    world.talk(6.0)
    here.is_cut = True
    cut = world.now
    world.talk(10.0)
    when, event = here.events[-1]
    assert event == Stalled()
    assert when - cut < 1.2
    here.is_cut = False
    world.talk(3.0)
    back = world.now
    world.talk(3.0)
    for site in (here, there):
        assert longest_gap(site, back, world.now) < 0.1


def test_two_symmetric_nats_without_a_relay_are_told_so() -> None:
    world = NatWorld(6)
    here, there = call(world, "symmetric", "symmetric", ())
    world.run(DEADLINE_SECONDS + 1)
    for site in (here, there):
        event = site.events[-1][1]
        assert isinstance(event, Failed)
        assert "neither side has a relay" in event.reason


def test_a_relay_that_comes_or_goes_during_the_checks_counts() -> None:
    world = NatWorld(8)
    here, there = call(world, "blocked", "open", RELAYS[:1])
    late = here.relays.pop(1)
    here.path.drop_relay(1, world.now)
    world.run(1.0)
    assert here.way is None
    here.relays[2] = late
    here.path.add_local(relay_candidate(2, late.relayed, late.relayed), world.now)
    world.run(3.0, until=lambda: both_nominated(here, there))
    assert both_nominated(here, there)
    died = world.now
    here.path.drop_relay(2, world.now)
    world.run(0.1)
    assert here.events[-1] == (died, Stalled())


def test_a_way_of_a_relay_is_told_apart_from_the_same_host_seen_directly() -> None:
    world = NatWorld(9)
    here, _ = call(world, "open", "open")
    world.run(3.0)
    ways: set[Way] = {pair.destination for pair in here.path.in_use.checklist.pairs}
    assert len(ways) == len(here.path.in_use.checklist.pairs)
    assert {len(way) for way in ways} == {2, 3}
