"""Joining on virtual time: through dead introducers, loss, outages and partitions, at drawn times and within bounds."""

import pytest

from overlay.joining import (
    GREETED_AT_ONCE_MAX,
    GREETED_FIRST_MAX,
    GREETED_FIRST_SECONDS,
    GREETED_SECONDS_MAX,
    KNOWN_MAX,
    LOOKING_SECONDS_MAX,
    REJOIN_SECONDS_MAX,
    REUNION_SECONDS,
    Joining,
    in_order,
)
from overlay.participant import Joined
from overlay.publishing import REFRESH_SECONDS
from tests.overlay.village import DEAD, Village, core, count_found, person


def test_dead_introducers_cost_a_second_while_others_live() -> None:
    village = Village(seed=3)
    village.settle(6)
    node, living = village.add(), village.nodes[2]
    started = village.now
    core(node).join([*DEAD, (living.key, living.address)], village.now)
    assert village.wait(node, Joined).peers >= 5
    assert village.now - started < GREETED_FIRST_SECONDS + 2


def test_an_attempt_without_any_answer_ends_and_the_next_begins_by_itself() -> None:
    village = Village(seed=4)
    village.settle(4)
    node, sleeper = village.add(), village.nodes[1]
    village.vanish(sleeper)
    core(node).join([(sleeper.key, sleeper.address)], village.now)
    started = village.now
    assert village.wait(node, Joined) == Joined(0)
    assert village.now - started == pytest.approx(GREETED_SECONDS_MAX)
    assert village.wait(node, Joined) == Joined(0)
    village.appear(sleeper)
    assert village.wait(node, Joined).peers >= 3


def test_a_node_that_knows_nobody_ends_at_once_and_plans_nothing() -> None:
    village = Village(seed=5)
    node = village.add()
    core(node).join([(node.key, node.address)], village.now)
    assert village.wait(node, Joined) == Joined(0)
    assert village.publish(node).holders == 0
    assert village.seek(node, "nobody@home.example").found.registrations == ()
    village.run(100)
    assert [event for event in node.events if isinstance(event, Joined)] == []


def test_attempts_grow_rare_and_do_not_fall_together() -> None:
    village = Village(seed=6)
    lonely = [village.add() for _ in range(8)]
    for node in lonely:
        core(node).join(DEAD[:1], village.now)
    started = village.now
    village.run(600)
    sent = {
        node.address: sorted({at for at, source, _to, _size in village.trace if source == node.address})
        for node in lonely
    }
    begun = [
        [at for at, before in zip(times, [0.0, *times], strict=False) if at - before > 4] for times in sent.values()
    ]
    assert all(9 <= len(each) <= 600 / (REJOIN_SECONDS_MAX / 2 + GREETED_SECONDS_MAX) + 6 for each in begun)
    last = [each[-1] for each in begun]
    assert max(last) - min(last) > 5
    assert all(at >= started for at in last)


def test_joins_and_registers_through_heavy_loss() -> None:
    village = Village(seed=7, loss=0.2)
    first = village.add()
    for _ in range(11):
        node = village.add()
        while not village.enter(node, first):
            pass
    for node in village.nodes[3:6]:
        village.publish(node)
    village.run(120)
    for node in village.nodes[3:6]:
        assert sum(count_found(village, person(node))) >= 11


def test_an_outage_of_the_whole_network_needs_no_restart() -> None:
    village = Village(seed=16)
    village.settle(12)
    for node in village.nodes:
        village.publish(node)
    village.loss = 1.0
    village.run(3_600)
    assert [node for node in village.nodes if len(node.peer.table)] == []
    village.loss = 0.0
    village.run(REJOIN_SECONDS_MAX + 30)
    for node in village.nodes[::3]:
        assert count_found(village, person(node)) == [1] * 12


@pytest.mark.parametrize("seed", [17, 18, 24])
def test_two_halves_that_have_forgotten_each_other_find_together_again(seed: int) -> None:
    village = Village(seed=seed)
    village.settle(16)
    left = {node.address for node in village.nodes[::2]}
    village.wall = lambda source, destination: (source in left) != (destination in left)
    village.run(3_600)
    assert not any(contact.address not in left for node in village.nodes[::2] for contact in node.peer.table), (
        "a half still knows the other"
    )
    village.wall = lambda _source, _destination: False
    village.run(REFRESH_SECONDS + 3 * REUNION_SECONDS)
    village.publish(village.nodes[3])
    assert count_found(village, person(village.nodes[3])) == [1] * 16
    assert min(len(node.peer.table) for node in village.nodes) >= 14
    village.run(
        REFRESH_SECONDS
    )  # strangers are greeted when they had time to prove themselves: a pair may need another round
    assert [len(node.peer.table) for node in village.nodes] == [15] * 16


def test_no_more_are_known_and_greeted_at_once_than_may_be() -> None:
    village = Village(seed=21)
    node = village.add()
    many = [
        (number.to_bytes(31, "big") + b"\1", (f"192.0.2.{number % 250}", 1000 + number))
        for number in range(1, KNOWN_MAX + 3)
    ]
    core(node).join(many, village.now)
    village.pump(node)
    assert len(village.trace) == GREETED_FIRST_MAX
    village.run(GREETED_FIRST_SECONDS)
    greeted = {destination for _at, _source, destination, _size in village.trace}
    assert len(greeted) == GREETED_FIRST_MAX + GREETED_AT_ONCE_MAX
    village.run(900)
    greeted = {destination for _at, _source, destination, _size in village.trace}
    assert greeted == {address for _key, address in many[:KNOWN_MAX]}


def test_a_lookup_that_never_ends_does_not_keep_the_node_from_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    village = Village(seed=26)
    village.settle(5)
    node = village.add()
    monkeypatch.setattr(Joining, "looked_up", lambda _joining, _done, _now: True)
    core(node).join([(village.nodes[0].key, village.nodes[0].address)], village.now)
    started = village.now
    assert village.wait(node, Joined).peers >= 1
    assert LOOKING_SECONDS_MAX <= village.now - started < LOOKING_SECONDS_MAX + 10


def test_a_few_who_are_remembered_are_greeted_before_those_whom_the_bootstrap_server_names() -> None:
    def known(name: str, count: int) -> list[tuple[bytes, tuple[str, int]]]:
        return [(b"%s%d" % (name.encode(), number), ("192.0.2.1", 1)) for number in range(count)]

    named, remembered = known("named", 8), known("remembered", 9)
    assert in_order(named, []) == named
    assert in_order(named, remembered[:1]) == [*remembered[:1], *named]
    order = in_order(named, remembered)
    assert order[:GREETED_FIRST_MAX] == remembered[:GREETED_FIRST_MAX]
    assert order[GREETED_FIRST_MAX:] == [*named, *remembered[GREETED_FIRST_MAX:]]
