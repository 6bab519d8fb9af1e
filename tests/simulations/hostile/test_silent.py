"""Droppers, suppressors and stalers really keep others from what is there."""

import pytest

from overlay.participant import FoundDone
from overlay.records import REGISTRATION, registration_key
from simulations.hostile.hostile import Gang
from simulations.hostile.silent import Dropper, Staler, Suppressor
from simulations.swarm import Swarm
from tests.simulations.town import Answers, pairs, people_of, share_found, town


def milliseconds_for_nobody(swarm: Swarm) -> float:
    """What it costs all people together to learn that somebody is not there."""
    ends: list[FoundDone] = []
    people = people_of(swarm)
    for number, node in enumerate(people):
        swarm.find(node, f"nobody{number}@sim.example", ends.append)
    assert swarm.world.run_until(lambda: len(ends) == len(people), 60.0)
    return sum(each.found.milliseconds for each in ends)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_droppers_cost_time_outs(seed: int) -> None:
    """Who is there has holders enough that answer, and is found without the droppers. That somebody is not, all must say."""
    milliseconds = []
    for droppers in (0, 20):
        swarm = town(seed, 20)
        gang = Gang(swarm)
        gang.recruit(Dropper, droppers)
        swarm.world.run(30.0)
        assert share_found(swarm, pairs(swarm, 15)) == 1.0
        milliseconds.append(milliseconds_for_nobody(swarm))
    assert gang.deeds["dropped"] > 50
    assert milliseconds[1] > 2 * milliseconds[0]


def test_a_suppressor_says_that_it_holds_and_holds_nothing() -> None:
    swarm = town(2, 12)
    gang = Gang(swarm)
    liars = gang.recruit(Suppressor, 4)
    swarm.world.run(350.0)
    answers, asker, target = Answers(swarm), people_of(swarm)[0], people_of(swarm)[1]
    for liar in liars:
        held = liar.core.peer.store.records(swarm.world.unix)
        assert all(record.certificate == liar.device.certificate.der for record in held), "only what is its own"
        assert answers.find(asker, liar, registration_key(target.address))[1] == []
    assert gang.deeds["denied"] >= len(liars)


def test_a_suppressor_with_targets_is_a_good_node_for_all_other_keys() -> None:
    swarm = town(3, 12)
    hidden, other = people_of(swarm)[1:3]
    gang = Gang(swarm, targets=[registration_key(hidden.address)])
    liars = gang.recruit(Suppressor, 4)
    swarm.world.run(350.0)
    answers, asker = Answers(swarm), people_of(swarm)[0]
    shown = [answers.find(asker, liar, registration_key(other.address))[1] for liar in liars]
    denied = [answers.find(asker, liar, registration_key(hidden.address))[1] for liar in liars]
    assert any(shown)
    assert not any(denied)


def test_a_staler_shows_who_has_left_as_if_he_had_not() -> None:
    swarm = town(4, 12)
    stalers = Gang(swarm).recruit(Staler, 6)
    swarm.world.run(350.0)
    answers, asker, target = Answers(swarm), people_of(swarm)[0], people_of(swarm)[1]
    key = registration_key(target.address)
    swarm.leave(target)
    swarm.world.run(10.0)

    told = [
        staler
        for staler in stalers
        if any(record.withdrawn for record in staler.core.peer.store.get(REGISTRATION, key, swarm.world.unix))
    ]
    assert told, "some were told that the registration is withdrawn"
    shown = [record for staler in told for record in answers.find(asker, staler, key)[1]]
    alive = [record for record in shown if record.kind == REGISTRATION and not record.withdrawn]
    assert len(alive) > len(told) / 2, "they show it nevertheless, but for those who never had another"


def test_what_a_staler_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.hostile.silent.KEPT_MAX", 3)
    swarm = town(5, 6)
    staler = Gang(swarm).recruit(Staler, 1)[0]
    assert isinstance(staler, Staler)
    swarm.world.run(350.0)
    assert len(staler._kept) == 3
