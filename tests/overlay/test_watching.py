"""Holders tell who watches a key: news when somebody comes, goes or starts anew, and nothing to who has not proved itself."""

import pytest

from overlay import watching as module
from overlay.events import RegistrationNews
from overlay.records import registration_key
from overlay.rpc import NEWS, OK, WATCH
from p2psip.base.errors import LocalError
from tests.overlay.nats import Nat
from tests.overlay.supernodes import attached, volunteer
from tests.overlay.village import Village, core, person
from tests.overlay.world import Node


def news(node: Node) -> int:
    """How often a node was told since the last time it was asked."""
    count = sum(isinstance(event, RegistrationNews) for event in node.events)
    node.events = [event for event in node.events if not isinstance(event, RegistrationNews)]
    return count


def watch(village: Village, watcher: Node, watched: Node) -> None:
    """Begin to watch, and let the holders agree."""
    core(watcher).watch(person(watched), village.now)
    village.pump(watcher)
    village.run(3)
    assert news(watcher) == 1  # once, since all may have changed before they agreed


def a_village(count: int = 12) -> Village:
    village = Village(7)
    village.settle(count)
    return village


@pytest.mark.parametrize("count", [2, 12])
def test_who_watches_is_told_of_each_change(count: int) -> None:
    village = a_village(count)
    watcher, watched = village.nodes[0], village.nodes[-1]
    watch(village, watcher, watched)
    village.publish(watched)
    village.run(2)
    assert 1 <= news(watcher) <= module.HOLDERS_WATCHED + 1  # we may hold it ourselves
    village.withdraw(watched)
    village.run(2)
    assert news(watcher) >= 1
    village.run(100)
    assert news(watcher) == 0


def test_a_node_that_starts_anew_is_news_though_its_old_registration_stands() -> None:
    village = a_village()
    watcher, watched = village.nodes[0], village.nodes[-1]
    village.publish(watched)
    watch(village, watcher, watched)
    village.run(30)
    news(watcher)
    village.vanish(watched)
    village.run(60)
    assert news(watcher) == 0
    village.appear(watched)
    again = village.replace(watched)
    village.enter(again, village.nodes[3])
    village.publish(again)
    village.run(2)
    assert news(watcher) >= 1


def test_watches_are_renewed_and_outlive_their_holders() -> None:
    village = a_village(20)
    watcher, watched = village.nodes[0], village.nodes[-1]
    watch(village, watcher, watched)
    key = registration_key(person(watched))
    holders = set(watcher.peer.crossing.watching._wishes[key].holders)
    assert len(holders) == module.HOLDERS_WATCHED
    for node in village.nodes:
        if node.key in holders and node not in (watcher, watched):
            village.vanish(node)
    village.run(module.RENEW_SECONDS + 30)
    news(watcher)
    village.publish(watched)
    village.run(2)
    assert news(watcher) >= 1


def test_who_watches_no_more_hears_no_more() -> None:
    village = a_village()
    watcher, watched = village.nodes[0], village.nodes[-1]
    watch(village, watcher, watched)
    core(watcher).stop_watching(person(watched))
    village.publish(watched)
    village.run(2)
    assert news(watcher) == 0
    village.run(module.WATCH_SECONDS)
    held = [len(node.peer.crossing.watching) for node in village.nodes]
    assert sum(held) == 0


def test_news_of_strangers_is_refused() -> None:
    village = a_village()
    watcher, watched = village.nodes[0], village.nodes[-1]
    watch(village, watcher, watched)
    key = registration_key(person(watched))
    holders = watcher.peer.crossing.watching._wishes[key].holders
    stranger = next(node for node in village.nodes if node.key not in holders and node is not watcher)
    answer = village.request(stranger, watcher, NEWS, [key])
    assert answer is not None
    assert answer.status == 404
    assert news(watcher) == 0


@pytest.mark.parametrize("arguments", [[], [b"short", b""], [b"k" * 20], [b"k" * 20, b"\xff"], [b"k" * 20, 5]])
def test_malformed_watches_are_refused(arguments: list[object]) -> None:
    village = a_village(3)
    answer = village.request(village.nodes[0], village.nodes[1], WATCH, arguments)
    assert answer is not None
    assert answer.status == 400
    assert len(village.nodes[1].peer.crossing.watching) == 0


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHES_PER_NODE_MAX", 2)
    monkeypatch.setattr(module, "WATCHES_PER_KEY_MAX", 2)
    monkeypatch.setattr(module, "WATCHES_MAX", 5)
    monkeypatch.setattr(module, "WISHES_MAX", 1)
    village = a_village(6)
    holder, *others = village.nodes

    def status(node: Node, number: int) -> int | None:
        answer = village.request(node, holder, WATCH, [bytes([number]) * 20, b""])
        return None if answer is None else answer.status

    assert [status(others[0], number) for number in (1, 2, 2, 3)] == [OK, OK, OK, 507]
    assert [status(node, 1) for node in others[1:3]] == [OK, 507]
    assert [status(others[3], number) for number in (3, 4)] == [OK, OK]
    assert status(others[4], 5) == 507
    village.run(module.WATCH_SECONDS + 1)
    assert status(others[4], 5) == OK
    core(holder).watch(person(others[0]), village.now)
    core(holder).watch(person(others[0]), village.now)
    with pytest.raises(LocalError):
        core(holder).watch(person(others[1]), village.now)


def test_who_stores_again_and_again_makes_each_holder_tell_once_a_second() -> None:
    village = a_village()
    watcher, watched = village.nodes[0], village.nodes[-1]
    watch(village, watcher, watched)
    key = registration_key(person(watched))
    is_own = any(record.key == key for record in watcher.peer.store.records(village.unix))
    began, told = village.now, 0
    for _ in range(20):
        village.publish(watched)
        told += 0 if is_own else news(watcher)
    village.run(1)
    told += 0 if is_own else news(watcher)
    assert told <= module.HOLDERS_WATCHED * (village.now - began + 1)


def test_a_client_is_told_through_its_super_nodes_long_after_its_nat_has_closed() -> None:
    village = a_village(10)
    for node in village.nodes[1:4]:
        volunteer(village, node)
    client = village.add("behind", nat=Nat.PORT_RESTRICTED, lifetime=30.0)
    assert village.enter(client, village.nodes[5]) > 0
    attached(village, client)
    watched = village.nodes[8]
    watch(village, client, watched)
    village.run(100)
    news(client)
    village.publish(watched)
    village.run(2)
    assert news(client) >= 1
