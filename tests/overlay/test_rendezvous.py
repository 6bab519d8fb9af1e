"""A client's flows: how soon death is noticed, make before break, draining, gateways, and what is bounded."""

from itertools import pairwise
from typing import Any

from overlay.contact import Contact
from overlay.rendezvous import (
    ALONE_SECONDS,
    ATTACH_SECONDS,
    AVOID_SECONDS,
    AVOIDED_MAX,
    BACKOFF_SECONDS_MAX,
    FLOWS_MAX,
    FLOWS_WANTED,
    RendezvousKeeper,
)
from overlay.rpc import ATTACH, Answer, Callback
from p2psip.base.chance import Chance
from p2psip.base.core import Address

GIVE_UP_SECONDS = 2.0


def key(number: int) -> bytes:
    """A node key."""
    return number.to_bytes(32, "big")


class Desk:
    """A client, and super-nodes that answer as `status` says: a status, or None for silence."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        self.now = 0.0
        self.count = count
        self.status: dict[bytes, int | None] = {}
        self.draining: set[bytes] = set()
        self.asked: list[tuple[bytes, Address, float]] = []
        self.told: dict[bytes, tuple[int, bool]] = {}
        self.pending: list[tuple[float, Contact, Callback, Answer | None]] = []
        self.changes: list[tuple[bytes, ...]] = []
        self.hungry = 0
        self.keeper = RendezvousKeeper(
            self.ask,
            Chance.seeded(seed),
            candidates=lambda used: [
                (key(n), (f"9.9.9.{n}", 1)) for n in range(1, self.count + 1) if key(n) not in used
            ],
            hungry=lambda _now: self.starve(),
            changed=lambda: self.changes.append(self.held),
            time=lambda: self.now,
        )

    @property
    def held(self) -> tuple[bytes, ...]:
        """The attached ones."""
        return tuple(sorted(flow.node_key for flow in self.keeper.flows))

    def starve(self) -> None:
        """There are too few candidates."""
        self.hungry += 1

    def ask(
        self, contact: Contact, method: int, arguments: list[Any], callback: Callback, now: float, _late: Any = None
    ) -> None:
        """Answer soon, or not at all."""
        assert method == ATTACH
        self.asked.append((contact.node_key, contact.address, now))
        self.told[contact.node_key] = arguments[0], arguments[1]
        status = self.status.get(contact.node_key, 200)
        if status is None:
            self.pending.append((now + GIVE_UP_SECONDS, contact, callback, None))
            return
        contact.rtt = 0.05
        result = [10, contact.node_key in self.draining] if status == 200 else "no"
        answer = Answer(status, ("192.0.2.1", 1), b"token", None, 1, result)
        self.pending.append((now + 0.05, contact, callback, answer))

    def keep(self, wanted: int) -> None:
        """Keep so many flows; a second later."""
        self.keeper.keep(wanted, self.now)
        self.run(1)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            due = [self.keeper.poll_timeout(), *(entry[0] for entry in self.pending)]
            first = min((at for at in due if at is not None), default=end + 1)
            if first > end:
                break
            self.now = max(self.now, first)
            for entry in [entry for entry in self.pending if entry[0] <= self.now]:
                self.pending.remove(entry)
                entry[2](entry[1], entry[3])
            self.keeper.handle_timeout(self.now)
        self.now = end


def test_three_flows_are_kept_alive_at_their_time() -> None:
    desk = Desk(9)
    desk.keep(9)
    assert desk.held == (key(1), key(2), key(3))
    desk.run(300)
    assert desk.held == (key(1), key(2), key(3))
    assert len(desk.changes) == FLOWS_WANTED
    times = [at for node_key, _address, at in desk.asked if node_key == key(1)]
    gaps = [later - at for at, later in pairwise(times)]
    assert all(0.8 * ATTACH_SECONDS < gap <= ATTACH_SECONDS + 0.1 for gap in gaps)
    desk.keep(0)
    assert (desk.held, desk.keeper.poll_timeout()) == ((), None)


def test_death_is_noticed_within_half_a_minute_and_another_is_there_before_the_dead_one_is_given_up() -> None:
    desk = Desk(4)
    desk.keep(3)
    desk.status[key(2)] = None
    desk.run(ATTACH_SECONDS + 2 * GIVE_UP_SECONDS + 1)
    assert desk.held == (key(1), key(3), key(4))
    assert desk.hungry == 0
    assert all(len(held) == FLOWS_WANTED for held in desk.changes[2:])


def test_one_answer_that_was_lost_changes_nothing_for_long() -> None:
    desk = Desk(3)
    desk.keep(3)
    desk.status[key(2)] = None
    while not desk.pending:
        desk.run(0.5)
    desk.status[key(2)] = 200
    desk.run(GIVE_UP_SECONDS + 1)
    assert desk.held == (key(1), key(2), key(3))
    assert len([node_key for node_key, _address, _at in desk.asked if node_key == key(2)]) == 3


def test_who_refuses_is_avoided_for_a_while() -> None:
    desk = Desk(4)
    desk.status[key(1)] = 503
    desk.keep(3)
    assert desk.held == (key(2), key(3), key(4))
    desk.status[key(2)] = 503
    desk.status[key(1)] = 200
    desk.run(ATTACH_SECONDS + 0.1)
    assert desk.held == (key(3), key(4))
    assert desk.hungry > 0
    desk.run(AVOID_SECONDS)
    assert desk.held == (key(1), key(3), key(4))


def test_who_has_lost_all_comes_back_soon_after_they_have_returned() -> None:
    desk = Desk(3)
    desk.keep(FLOWS_WANTED)
    desk.status = dict.fromkeys(map(key, range(1, 4)))
    desk.run(300.0)
    assert desk.held == ()
    desk.asked.clear()
    desk.run(60.0)
    assert len(desk.asked) <= 3 * 2 * 60 / ALONE_SECONDS + 3  # MISSES_MAX each time, and no more often than that
    desk.status = {}
    desk.run(ALONE_SECONDS + 2 * GIVE_UP_SECONDS + 3.0)
    assert len(desk.held) == 3


def test_a_token_that_is_missing_is_fetched_at_once_but_only_once() -> None:
    desk = Desk(1)
    desk.status[key(1)] = 401
    desk.keep(1)
    assert [at for _key, _address, at in desk.asked[:2]] == [0.0, 0.05]
    desk.status[key(1)] = 200
    desk.run(AVOID_SECONDS + 5)
    assert desk.held == (key(1),)


def test_who_drains_is_kept_until_another_has_taken_its_place() -> None:
    desk = Desk(3)
    desk.keep(3)
    desk.draining.add(key(1))
    desk.run(ATTACH_SECONDS)
    assert desk.held == (key(1), key(2), key(3))
    desk.count = 4
    desk.run(5)
    assert desk.held == (key(2), key(3), key(4))


def test_who_says_that_we_are_lost_is_attached_to_again_at_once() -> None:
    desk = Desk(3)
    desk.keep(3)
    before = len(desk.asked)
    desk.keeper.lost(key(2), 1.0)
    desk.keeper.lost(key(9), 1.0)
    assert desk.asked[before:] == [(key(2), ("9.9.9.2", 1), 1.0)]
    assert desk.held == (key(1), key(3))
    desk.run(0.1)
    assert desk.held == (key(1), key(2), key(3))


def test_after_a_change_of_network_all_are_attached_to_again_at_once() -> None:
    desk = Desk(3)
    desk.keep(3)
    desk.status = {key(number): None for number in range(1, 4)}
    desk.run(ATTACH_SECONDS)
    desk.status.clear()
    before = len(desk.asked)
    desk.keeper.network_changed(desk.now)
    assert {node_key for node_key, _address, _at in desk.asked[before:]} == {key(1), key(2), key(3)}
    desk.run(GIVE_UP_SECONDS)  # answers to what was asked before the change mean nothing
    assert desk.held == (key(1), key(2), key(3))


def test_a_gateway_keeps_its_flow_at_its_own_address_whatever_happens() -> None:
    desk = Desk(4)
    stream = ("100::5", 1)
    desk.keep(3)
    desk.keeper.pin({key(4): stream}, desk.now)
    desk.run(1)
    assert key(4) in desk.held
    assert len(desk.held) == FLOWS_WANTED
    desk.status[key(4)] = None
    desk.run(60)
    assert len([address for _key, address, _at in desk.asked if address == stream]) > 10
    desk.keeper.pin({}, desk.now)
    desk.run(30)
    assert desk.held == (key(1), key(2), key(3))


def test_nobody_to_attach_to_is_told_now_and_then() -> None:
    desk = Desk(0)
    desk.keep(3)
    desk.run(20)
    assert 5 < desk.hungry < 20


def test_who_has_none_says_so_to_the_first_and_of_three_flows_one_may_go() -> None:
    desk = Desk(3)
    desk.keep(FLOWS_WANTED)
    assert desk.told == {key(1): (0, False), key(2): (1, False), key(3): (2, False)}
    desk.run(2 * ATTACH_SECONDS)
    assert sorted(desk.told.values()) == [(2, False), (2, False), (2, True)]


def test_who_has_two_flows_lets_none_go() -> None:
    desk = Desk(2)
    desk.keep(FLOWS_WANTED)
    desk.run(3 * ATTACH_SECONDS)
    assert set(desk.told.values()) == {(1, False)}


def test_when_another_flow_is_lost_the_spare_one_may_not_go_any_more_at_once() -> None:
    desk = Desk(3)
    desk.keep(FLOWS_WANTED)
    desk.run(2 * ATTACH_SECONDS)
    spare = next(node_key for node_key, told in desk.told.items() if told == (2, True))
    other = next(node_key for node_key, told in desk.told.items() if told == (2, False))
    desk.status[other] = 503
    desk.keeper.lost(other, desk.now)
    assert desk.told[spare] == (1, False)
    desk.run(1)
    assert (len(desk.held), desk.told[spare][1]) == (2, False)


def test_the_spare_flow_is_lost_and_the_two_others_stay() -> None:
    desk = Desk(3)
    desk.keep(FLOWS_WANTED)
    desk.run(2 * ATTACH_SECONDS)
    spare = next(node_key for node_key, told in desk.told.items() if told == (2, True))
    desk.status[spare] = 503
    desk.keeper.lost(spare, desk.now)
    desk.run(2 * ATTACH_SECONDS)
    assert set(desk.held) == {key(1), key(2), key(3)} - {spare}
    assert all(desk.told[node_key] == (1, False) for node_key in desk.held)


def test_who_has_nobody_and_is_refused_by_all_asks_ever_more_rarely_but_not_too_rarely() -> None:
    desk = Desk(60)
    desk.status = {key(number): 503 for number in range(1, 61)}
    desk.keep(FLOWS_WANTED)
    desk.run(59)
    first = len(desk.asked)
    assert first <= 16
    desk.run(600)
    assert 600 / BACKOFF_SECONDS_MAX[0] <= len(desk.asked) - first <= 600 / (0.5 * BACKOFF_SECONDS_MAX[0])
    desk.status = {}
    desk.run(BACKOFF_SECONDS_MAX[0] + 1)
    assert len(desk.held) == FLOWS_WANTED


def test_who_has_two_flows_and_is_refused_the_third_asks_for_it_rarely() -> None:
    desk = Desk(60)
    desk.status = {key(number): 503 for number in range(3, 61)}
    desk.keep(FLOWS_WANTED)
    desk.run(1_000)
    third = [at for node_key, _address, at in desk.asked if node_key not in desk.held and at > 400]
    assert 3 <= len(third) <= 600 / (0.5 * BACKOFF_SECONDS_MAX[2]) + 1


def test_clients_that_are_refused_together_do_not_come_back_together() -> None:
    times = []
    for seed in range(20):
        desk = Desk(60, seed=seed)
        desk.status = {key(number): 503 for number in range(1, 61)}
        desk.keep(FLOWS_WANTED)
        desk.run(60)
        times.append([(at, node_key) for node_key, _address, at in desk.asked if at > 20])
    each_second = [sum(second <= at < second + 1 for asked in times for at, _key in asked) for second in range(20, 60)]
    assert max(each_second) <= 20
    assert len({node_key for asked in times for _at, node_key in asked}) > 30  # and not all at the same door


def test_one_over_each_bound() -> None:
    desk = Desk(AVOIDED_MAX + FLOWS_MAX + 1)
    desk.status = {key(number): 503 for number in range(1, AVOIDED_MAX + 2)}
    desk.keep(3)
    assert len(desk.keeper._avoided) <= AVOIDED_MAX
    desk.run(30)
    silent = Desk(3 * FLOWS_MAX)
    silent.status = {key(number): None for number in range(1, 3 * FLOWS_MAX + 1)}
    silent.keep(3)
    for _second in range(40):
        silent.run(0.5)
        assert len(silent.keeper._flows) <= FLOWS_MAX
