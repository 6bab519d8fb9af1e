"""Every checker passes in a sound network, and fails when its property is violated: one that cannot fail proves nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from overlay.records import REGISTRATION, make_record, registration_key
from p2psip.base.chance import Chance
from simulations.checker import FINDINGS_MAX, Checker
from simulations.checkers.bounds import Bounds
from simulations.checkers.calls_answered import CallsAnswered
from simulations.checkers.found_set import FoundSet
from simulations.checkers.load import Load
from simulations.checkers.lookup_time import LookupTime
from simulations.checkers.never_offered import NeverOffered
from simulations.checkers.no_forgery import NoForgery
from simulations.checkers.registration_found import RegistrationFound
from simulations.checkers.traffic import Traffic
from simulations.lookups import LookedUp, Lookups
from simulations.network.internet import Internet
from simulations.nodes import Node
from simulations.run import Run
from simulations.swarm import Swarm
from simulations.workloads.signalling import ANSWERED, HANGS, UNREACHED, Call, Fate

NODES = 14


class Scene:
    """A settled swarm with all lookups that were made."""

    def __init__(self, *checkers: Checker) -> None:
        self.run = Run("test", 1)
        self.swarm: Swarm = self.run.swarm(network=Internet(Chance.seeded(1), survey=None, loss=0.0))
        self.people = self.swarm.grow(NODES)
        self.run.for_seconds(self.swarm.grown_at - self.run.now + 30)
        self.run.check(*checkers)
        self.looked: list[LookedUp] = []

    def look_up(self, count: int = 3) -> None:
        lookups = Lookups(self.run, self.swarm)
        for number in range(count):
            lookups.look_up(self.people[number], self.people[number + 1], self.looked.append)
        self.run.for_seconds(10)

    def show(self, event: Any, node: Node | None = None) -> None:
        self.run.observe(node or self.people[0], event, self.run.now)

    def finish(self) -> None:
        self.run.finish()


def altered(looked: LookedUp, **fields: Any) -> LookedUp:
    return replace(looked, **fields)


def with_found(looked: LookedUp, **fields: Any) -> LookedUp:
    registration = replace(looked.result.registrations[0], **fields)
    found = replace(looked.result, registrations=(registration,))
    return replace(looked, done=replace(looked.done, found=found))


def a_call(scene: Scene, outcome: str, cause: str = "", *, setup: float | None = None) -> Call:
    caller, callee = scene.people[0], scene.people[1]
    call = Call(1, caller, callee, scene.run.now, True, Fate(1.0, 1.0))
    call.outcome, call.cause, call.setup_seconds = outcome, cause, setup
    return call


def test_all_pass_in_a_sound_network() -> None:
    checkers = (
        RegistrationFound(),
        NeverOffered(),
        NoForgery(every=5),
        FoundSet(every=2, least_whole=0.9),
        Bounds(every=5),
    )
    scene = Scene(*checkers, Load(every=5), Traffic(2_000), LookupTime(4, 8))
    scene.look_up()
    scene.run.for_seconds(130)
    scene.finish()
    assert [(each.name, each.detail) for each in scene.run.checkers if not each.passed] == []


@pytest.mark.parametrize(
    "make",
    [RegistrationFound, NeverOffered, LookupTime, CallsAnswered, NoForgery, Bounds, Traffic],
    ids=lambda each: each.name,
)
def test_a_checker_that_saw_nothing_fails(make: Callable[[], Checker]) -> None:
    checker = make()
    run = Run("test", 1)
    run.swarm(network=Internet(Chance.seeded(1), survey=None))
    run.check(checker)
    run.finish()
    assert not checker.passed
    assert "nothing is shown" in checker.detail


def test_a_registration_that_is_not_found_is_told() -> None:
    scene = Scene(RegistrationFound(0.9))
    scene.look_up()
    scene.show(altered(scene.looked[0], found=False))
    scene.finish()
    assert "75.00 % of 4 lookups found, not 90 %" in scene.run.checkers[0].detail


def test_what_has_expired_was_withdrawn_or_died_long_ago_is_never_offered() -> None:
    scene = Scene(NeverOffered())
    scene.look_up()
    looked, target = scene.looked[0], scene.people[1]
    scene.show(with_found(looked, expires=1))
    assert "expired" in scene.run.checkers[0].findings[0]
    scene.show("left", target)
    scene.run.for_seconds(30)
    scene.show(looked)
    assert "withdrawn" in scene.run.checkers[0].findings[1]
    scene.show("crashed", target)
    scene.run.for_seconds(620)
    unix = int(scene.swarm.world.unix)
    scene.show(with_found(looked, expires=unix + 100))
    assert "died 6" in scene.run.checkers[0].findings[2]


def test_a_forged_record_is_noticed() -> None:
    scene = Scene(NoForgery(every=1))
    victim, author = scene.people[1], scene.people[2]
    unix = scene.swarm.world.unix
    good = make_record(
        REGISTRATION,
        registration_key(author.address),
        b"x",
        certificate=author.device.certificate,
        signing_key=author.device.signing_key,
        sequence=1 << 62,
        expiry=int(unix) + 100,
    )
    forged = [
        replace(good, signature=bytes(64)),
        replace(good, key=registration_key(victim.address)),
        replace(good, certificate=b"nobody", signature=bytes(63) + b"\x01"),
    ]
    for holder, record in zip(scene.people[5:], forged, strict=False):
        holder.core.peer.store.put(record, author.device.certificate, unix)
    scene.run.for_seconds(5)
    found = " ".join(scene.run.checkers[0].findings)
    assert "whose signature is not that of" in found
    assert "may not write there" in found
    assert "never enrolled" in found


def test_a_found_set_that_misses_peers_is_noticed() -> None:
    scene = Scene(FoundSet(every=2, least=0.9, least_whole=0.99))
    for node in scene.people[:10]:
        for contact in list(node.core.peer.table)[2:]:
            node.core.peer.table.remove(contact)
    scene.run.for_seconds(90)
    blind = scene.people[0]
    scene.run.checkers[0]._closest = lambda target, asker, now: [blind, *scene.people[10:]]  # type: ignore[attr-defined]
    for node in scene.people:
        node.core.peer.table.remove(next(iter(node.core.peer.table)))
    scene.swarm.world.network.release(blind.endpoint)
    scene.run.for_seconds(90)
    scene.finish()
    assert "of the true closest were found" in scene.run.checkers[0].detail


def test_a_table_over_its_bound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.checkers.bounds.RECORDS_MAX", 3)
    scene = Scene(Bounds(every=1))
    scene.run.for_seconds(3)
    assert "records, more than 3" in scene.run.checkers[0].detail


def test_load_and_traffic_over_their_bounds_are_noticed() -> None:
    scene = Scene(Load(every=1, held_max_ratio=0.5), Traffic(1.0))
    scene.run.for_seconds(130)
    scene.finish()
    assert "times the average" in scene.run.checkers[0].detail
    assert "more than 1" in scene.run.checkers[1].detail


def test_slow_lookups_are_noticed() -> None:
    scene = Scene(LookupTime(0.01, 0.02))
    scene.look_up()
    scene.finish()
    assert scene.run.checkers[0].failures == 2


def test_calls_that_hang_have_no_cause_or_reach_nobody_are_noticed() -> None:
    scene = Scene(CallsAnswered(least=0.9))
    scene.show(a_call(scene, ANSWERED, setup=0.3))
    assert scene.run.checkers[0].passed
    scene.show(a_call(scene, HANGS, "nothing was heard of it"))
    scene.show(a_call(scene, "busy"))
    scene.show(a_call(scene, UNREACHED, "no answer"))
    scene.finish()
    hangs, nothing, share = scene.run.checkers[0].findings
    assert "neither an answer nor a cause" in hangs
    assert "without a cause" in nothing
    assert "25.00 % of 4 calls reached their node" in share


def test_findings_are_counted_and_bounded() -> None:
    checker = Checker()
    for number in range(FINDINGS_MAX + 5):
        checker.fail(f"finding {number}")
    assert len(checker.findings) == FINDINGS_MAX
    assert checker.detail == "finding 0 (25 in all)"


def test_convergence_is_due_only_when_the_world_has_been_whole_for_long_enough() -> None:
    checker = Checker()
    checker.converge_seconds = 300
    run = Run("test", 1)
    run.swarm(network=Internet(Chance.seeded(1), survey=None))
    run.check(checker)
    run.break_world()
    assert not checker.is_due(run.now + 1_000)
    run.heal_world()
    assert not checker.is_due(run.now + 299)
    assert checker.is_due(run.now + 300)
