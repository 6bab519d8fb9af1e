"""Consent freshness (RFC 7675) and ICE restarts (RFC 8445 §9), on virtual time."""

from media import stun
from media.ice.agent import DEADLINE_SECONDS
from media.ice.candidates import local_candidate
from media.ice.events import Failed, Stalled, State
from media.ice.path import IcePath
from media.ice.upkeep import CONSENT_EXPIRES_SECONDS, CONSENT_SECONDS
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.media.world import World, agent, introduce, nominated

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 5000)


def test_consent_that_is_no_longer_given_ends_the_path_in_time() -> None:
    world = World(7)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)
    introduce(one, other, world.now)
    world.run(20.0)
    cut = world.now
    world.tap = lambda _host, _data, _destination: None
    world.run(120.0)
    for host in (host_a, host_b):
        when, event = host.events[-1]
        assert event == Failed("the other side has vanished: it no longer answers connectivity checks")
        assert CONSENT_EXPIRES_SECONDS - 1.2 * CONSENT_SECONDS - 0.2 <= when - cut <= CONSENT_EXPIRES_SECONDS
        assert host.core.poll_timeout() is None


def test_consent_survives_a_gap_and_forged_answers_do_not_renew_it() -> None:
    world = World(8)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a = world.add(one, A)
    world.add(other, B)
    introduce(one, other, world.now)
    world.run(10.0)
    world.tap = lambda _host, _data, _destination: None
    world.run(CONSENT_EXPIRES_SECONDS - 1.3 * CONSENT_SECONDS)
    world.tap = lambda _host, data, _destination: data
    world.run(CONSENT_EXPIRES_SECONDS)
    assert {one.state, other.state} == {State.CONNECTED}

    def forge(host: object, data: bytes, _destination: Address) -> bytes | None:
        if host is host_a and stun.is_request(data):
            world.inject(host_a, stun.binding_success(stun.parse(data), A, "guessed"), B)
        return None

    world.tap = forge
    world.run(CONSENT_EXPIRES_SECONDS)
    assert one.state is State.FAILED


def path(address: Address, *, controlling: bool = True, seed: int = 1) -> IcePath:
    """A path with one host candidate."""
    local = [local_candidate("host", address, address)]
    return IcePath(controlling=controlling, local=local, chance=Chance.seeded(seed))


def tell(one: IcePath, other: IcePath, now: float) -> None:
    """`one` learns the newest description of `other`."""
    agent = other.newest
    one.set_remote(agent.ufrag, agent.password, [each.to_sdp() for each in agent.local], now)


def test_a_restart_keeps_the_path_until_another_pair_is_nominated() -> None:
    world = World(9)
    one, other = path(A), path(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)
    tell(one, other, world.now)
    tell(other, one, world.now)
    world.run(3.0)
    before = (one.newest.ufrag, one.newest.password)
    for each in (one, other):
        each.restart(each.newest.local)
    assert one.selected is not None
    assert one.selected.destination == B
    assert (one.newest.ufrag, one.newest.password) != before
    world.run(20.0)  # consent of the old way goes on
    assert one.in_use.state is other.in_use.state is State.CONNECTED
    tell(one, other, world.now)
    tell(other, one, world.now)
    world.run(4.0)
    assert (nominated(host_a), nominated(host_b)) == ([B, B], [A, A])
    assert [len(each.agents) for each in (one, other)] == [1, 1]
    world.run(60.0)
    assert one.in_use.state is other.in_use.state is State.CONNECTED


def test_a_restart_that_the_peer_never_answers_harms_nothing() -> None:
    world = World(10)
    one, other = path(A), path(B, controlling=False, seed=2)
    host_a = world.add(one, A)
    world.add(other, B)
    tell(one, other, world.now)
    tell(other, one, world.now)
    world.run(3.0)
    for _ in range(5):
        one.restart(one.newest.local)
        world.run(20.0)
    assert len(one.agents) == 2
    assert not any(isinstance(event, Failed) for _, event in host_a.events)
    world.tap = lambda _host, _data, _destination: None
    world.run(60.0)
    assert isinstance(host_a.events[-1][1], Failed)


def test_a_restart_whose_checks_fail_leaves_the_old_way_in_use() -> None:
    world = World(10)
    one, other = path(A), path(B, controlling=False, seed=2)
    host_a = world.add(one, A)
    world.add(other, B)
    tell(one, other, world.now)
    tell(other, one, world.now)
    world.run(3.0)
    one.restart(one.newest.local)
    one.set_remote("nobody", "password", [local_candidate("host", ("203.0.113.9", 9), A).to_sdp()], world.now)
    world.run(60.0)
    assert not any(isinstance(event, Failed) for _, event in host_a.events)
    assert one.selected is not None


def test_a_restart_that_finds_nothing_while_all_is_dead_asks_for_another() -> None:
    world = World(10)
    one, other = path(A), path(B, controlling=False, seed=2)
    host_a = world.add(one, A)
    world.add(other, B)
    tell(one, other, world.now)
    tell(other, one, world.now)
    world.run(3.0)
    world.tap = lambda _host, _data, _destination: None
    one.suspect(world.now)
    world.run(2.0)
    one.restart(one.newest.local)
    one.set_remote("again", "password", [local_candidate("host", B, B).to_sdp()], world.now)
    world.run(DEADLINE_SECONDS + 1.0)
    assert [event for _, event in host_a.events[-2:]] == [Stalled(), Stalled()]


def test_the_same_description_again_does_not_begin_anew() -> None:
    world = World(11)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a = world.add(one, A)
    world.add(other, B)
    introduce(one, other, world.now)
    world.run(2.0)
    introduce(one, other, world.now)
    world.run(2 * DEADLINE_SECONDS)
    assert one.state is State.CONNECTED
    assert nominated(host_a) == [B]
