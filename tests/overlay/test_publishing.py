"""What a node says of itself in the overlay is stored, refreshed, read back, moved and taken back, whatever comes between."""

from dataclasses import replace

import pytest

from overlay.crossing import Volunteering
from overlay.participant import CanaryDone, Joined, Published
from overlay.publishing import (
    ANNOUNCE_CHECK_SECONDS,
    LOOK_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    WISHES_MAX,
    Publishing,
)
from overlay.relay_record import Announcement, announcement_keys, decode_announcement
from p2psip.base.errors import LocalError, RemoteError
from tests.overlay.village import Village, core, count_found, person


def test_what_is_published_during_a_join_is_stored_at_its_end() -> None:
    village = Village(seed=8)
    village.settle(12)
    node = village.add()
    core(node).join([(village.nodes[0].key, village.nodes[0].address)], village.now)
    published = village.publish(node)
    assert [event for event in node.events if isinstance(event, Joined)]
    assert published.holders >= 8
    assert count_found(village, person(node)) == [1] * 13


def test_what_is_published_alone_is_stored_when_somebody_comes() -> None:
    village = Village(seed=9)
    first, second = village.add(), village.add()
    assert village.publish(first).holders == 0
    assert village.enter(second, first) == 1
    assert village.wait(first, Published) == Published(0, 1, None)
    assert len(village.seek(second, person(first)).found.registrations) == 1


def test_a_withdrawal_during_a_refresh_is_the_last_word() -> None:
    village = Village(seed=10)
    village.settle(10)
    node = village.nodes[3]
    village.publish(node)
    node.events.clear()
    number = core(node).publish([person(node)], village.now)
    village.pump(node)
    village.run(0.1)
    assert village.withdraw(node).holders >= 8
    village.wait(node, Published, lambda event: event.number == number)
    village.run(1)
    assert count_found(village, person(node)) == [0] * 10
    village.run(400)
    assert count_found(village, person(node)) == [0] * 10


def test_who_withdraws_before_it_has_published_is_not_published_later() -> None:
    village = Village(seed=11)
    village.settle(6)
    node = village.add()
    core(node).join([(village.nodes[0].key, village.nodes[0].address)], village.now)
    first = core(node).publish([person(node)], village.now)
    last = core(node).withdraw([person(node)], village.now)
    assert village.wait(node, Published, lambda event: event.number == first).holders == 0
    assert village.wait(node, Published, lambda event: event.number == last).holders >= 5
    village.run(400)
    assert count_found(village, person(node)) == [0] * 7


def test_one_of_two_addresses_can_be_withdrawn() -> None:
    village = Village(seed=12)
    village.settle(6)
    node = village.nodes[2]
    both = node.device.certificate.addresses
    core(node).publish(both, village.now)
    village.wait(node, Published)
    core(node).withdraw(both[:1], village.now)
    village.run(400)
    assert core(node).published == both[1:]
    assert count_found(village, both[0]) == [0] * 6
    assert count_found(village, both[1]) == [1] * 6


def test_who_moves_while_a_store_is_under_way_is_found_at_the_new_address() -> None:
    village = Village(seed=13)
    village.settle(10)
    node = village.nodes[4]
    core(node).publish([person(node)], village.now)
    village.pump(node)
    village.run(0.05)
    new = ("10.9.9.9", 4500)
    village.readdress(node, new)
    core(node).network_changed([new], village.now)
    village.pump(node)
    village.run(LOOK_SECONDS + 5)
    (found,) = village.seek(village.nodes[8], person(node)).found.registrations
    assert found.addresses == (new,)


def test_registrations_and_names_outlive_their_holders() -> None:
    village = Village(seed=14)
    village.settle(30)
    node = village.nodes[0]
    village.publish(node)
    for other in village.nodes[1:21]:
        village.vanish(other)
        village.run(90)
    assert count_found(village, person(node)) == [1] * 10
    village.withdraw(node)
    village.run(10)
    assert all(village.seek(other, person(node)).found.name_exists for other in village.alive[1:])


def test_a_registration_that_is_not_found_again_is_stored_anew_soon() -> None:
    village = Village(seed=15)
    village.settle(12)
    node = village.nodes[5]
    village.publish(node)
    for other in village.nodes:
        other.peer.store.expire(village.unix + 10**8)
    assert village.wait(node, CanaryDone) == CanaryDone(person(node), False)
    assert core(node).last_canary.startswith("NOT")
    village.run(RETRY_SECONDS + 5)
    assert count_found(village, person(node)) == [1] * 12


def test_who_starts_anew_with_a_clock_that_was_ahead_before_goes_on_from_what_holders_have() -> None:
    village = Village(seed=16)
    village.settle(10)
    node = village.nodes[3]
    node.peer.unix_offset += 280
    assert village.publish(node).holders >= 5
    again = village.replace(node)
    assert village.enter(again, village.nodes[0]) > 0
    refused = village.publish(again)
    assert (refused.holders, "sequence" in str(refused.refusal)) == (0, True)
    village.run(RETRY_SECONDS)
    assert village.withdraw(again).holders >= 5
    village.run(5)
    assert count_found(village, person(again)) == [0] * 10


def test_a_revoked_node_is_told_so_and_publishes_nothing() -> None:
    village = Village(seed=18)
    village.settle(4)
    node = village.nodes[2]
    serial = node.device.certificate.serial
    node.peer.update_configuration(village.town.configuration(2, revoked_serials=frozenset((serial,))))
    with pytest.raises(RemoteError, match="revoked"):
        core(node).publish([person(node)], village.now)


def test_a_withdrawal_while_nobody_is_known_waits_for_the_attempt_under_way() -> None:
    village = Village(seed=25)
    village.settle(8)
    node = village.nodes[2]
    village.publish(node)
    village.wall = lambda source, destination: node.address in (source, destination)
    while len(node.peer.table):
        village.run(30)
    village.run_until(lambda: core(node)._joining.is_under_way, 120)
    number = core(node).withdraw([person(node)], village.now)
    village.pump(node)
    village.run(0.5)
    assert not [event for event in node.events if isinstance(event, Published) and event.number == number]
    village.wait(node, Published, lambda event: event.number == number)
    assert not core(node)._joining.is_under_way


def test_more_changes_than_may_wait_are_refused() -> None:
    village = Village(seed=20)
    village.settle(3)
    node = village.nodes[1]
    for _ in range(WISHES_MAX + 1):  # one is under way, the others wait
        core(node).publish([person(node)], village.now)
    with pytest.raises(LocalError):
        core(node).publish(["another@home.example"], village.now)
    assert core(node).published == (person(node),)
    village.run(60)
    assert village.withdraw(node).holders == 2


def test_a_super_node_says_so_and_takes_it_back() -> None:
    village = Village(seed=22)
    village.settle(8)
    node = village.add()
    told = Announcement(node.key, (node.address,), capacity=7)
    volunteer = Volunteering(lambda _certificate, _unix: pytest.fail("nobody asked"), lambda: told)
    node = village.replace(node, volunteer=volunteer)
    village.enter(node, village.nodes[2])
    village.run(ANNOUNCE_CHECK_SECONDS)

    def announced() -> set[bool | None]:
        keys = announcement_keys(village.town.overlay, node.device.node_key.node_id)
        held = [village.look_up(village.nodes[1], key).records for key in keys]
        bodies = [record.body for ((record, _author),) in held]
        return {None if body is None else decode_announcement(body).draining for body in bodies}

    assert announced() == {False}
    told = replace(told, draining=True)
    village.run(ANNOUNCE_CHECK_SECONDS + 2)
    assert announced() == {True}
    node.peer.crossing.volunteer(None)
    village.run(ANNOUNCE_CHECK_SECONDS + 2)
    assert announced() == {None}


def test_a_store_that_never_ends_does_not_keep_the_node_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    village = Village(seed=27)
    village.settle(8)
    node = village.nodes[3]
    with monkeypatch.context() as patched:
        patched.setattr(Publishing, "stored", lambda _publishing, _event, _now: True)
        number = core(node).publish([person(node)], village.now)
        village.pump(node)
        village.run(60)
    done = village.wait(node, Published, lambda event: event.number == number, REFRESH_SECONDS)
    assert (done.holders, done.refusal) == (0, "a store has not ended")
    assert village.wait(node, Published).holders >= 6
    village.run(2 * REFRESH_SECONDS)
    assert count_found(village, person(node)) == [1] * 8
