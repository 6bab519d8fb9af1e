"""Several ways to one node: which of them are used, when all are, and what is forgotten."""

from dataclasses import dataclass

from overlay.heard import HEARD_SECONDS_MAX, HeardAddresses, HeardFrom
from overlay.routes import KEPT_FRAMES_MAX, KEPT_SECONDS, LOST_SECONDS, NODES_MAX, SILENCE_SECONDS, WAYS_MAX, Routes
from overlay.via import via_address
from p2psip.base.core import Address
from p2psip.base.keys import node_id_of

BOB = b"bob" + bytes(29)
FOUR, SIX = ("192.0.2.1", 4500), ("2001:db8::1", 4500)
THROUGH_S, THROUGH_T = ("100::8000:0:0:1", 1), ("100::8000:0:0:2", 1)


@dataclass
class Heard:
    """Where bob was heard from."""

    address: Address | None
    heard_at: float

    def peer(self, node_key: bytes) -> HeardFrom | None:
        """Bob only."""
        return self if node_key == BOB else None


class Desk:
    """Routes, and what they send and look for."""

    def __init__(self) -> None:
        self.bob = Heard(None, 0.0)
        self.heard = HeardAddresses(self.bob)
        self.sent: list[tuple[Address, bytes]] = []
        self.sought: list[float] = []
        self.routes = Routes(
            self.heard,
            lambda _node_key, way, frame: self.sent.append((way, frame)),
            lambda _node_key, now: self.sought.append(now),
        )

    def hear(self, way: Address, now: float) -> None:
        """A frame of bob's came over this way."""
        self.bob.address, self.bob.heard_at = way, now
        self.routes.heard(BOB, way, now)

    def say(self, frame: bytes, now: float) -> list[Address]:
        """The ways that a frame is sent over at once."""
        self.routes.say(BOB, frame, now)
        return self.taken()

    def taken(self) -> list[Address]:
        """The ways used since."""
        ways, self.sent = [way for way, _frame in self.sent], []
        return ways

    def wait(self, now: float) -> list[Address]:
        """The ways used because time has passed."""
        deadline = self.routes.poll_timeout()
        if deadline is not None and deadline <= now:
            self.routes.handle_timeout(deadline)
        return self.taken()


def test_all_ways_of_both_families_until_one_is_heard_and_then_only_that() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [FOUR, SIX, THROUGH_S], 0.0)
    assert desk.say(b"1", 0.0) == [FOUR, SIX, THROUGH_S]
    desk.hear(SIX, 0.1)
    assert desk.say(b"2", 0.2) == [SIX]
    assert desk.say(b"3", 0.3) == [SIX]


def test_after_silence_what_was_said_goes_over_all_other_ways_and_what_is_said_next_over_all() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [FOUR, THROUGH_S], 0.0)
    desk.hear(FOUR, 0.0)
    assert desk.say(b"1", 1.0) == [FOUR]
    assert desk.say(b"2", 1.1) == [FOUR]
    assert desk.wait(1.0 + SILENCE_SECONDS - 0.01) == []
    assert desk.wait(1.0 + SILENCE_SECONDS) == [THROUGH_S, THROUGH_S]
    assert desk.say(b"3", 1.5) == [FOUR, THROUGH_S]
    desk.hear(THROUGH_S, 1.6)
    assert desk.say(b"4", 1.7) == [THROUGH_S]
    assert desk.wait(1.65 + KEPT_SECONDS) == [FOUR]


def test_an_answer_ends_the_repetition() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [FOUR, THROUGH_S], 0.0)
    desk.hear(FOUR, 0.0)
    desk.say(b"1", 1.0)
    desk.hear(FOUR, 1.2)
    assert desk.wait(10.0) == []
    assert desk.routes.poll_timeout() is None


def test_what_comes_through_a_super_node_too_soon_to_be_an_answer_is_none() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [THROUGH_S, THROUGH_T], 0.0)
    desk.hear(THROUGH_S, 0.0)
    desk.say(b"1", 1.0)
    desk.hear(THROUGH_S, 1.02)
    assert desk.wait(1.0 + SILENCE_SECONDS) == [THROUGH_T]
    desk.hear(THROUGH_S, 1.5)
    desk.say(b"2", 2.0)
    desk.hear(THROUGH_S, 2.2)
    assert desk.routes.poll_timeout() is None


def test_what_comes_through_another_super_node_is_no_answer_to_what_went_through_the_first() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [THROUGH_S, THROUGH_T], 0.0)
    desk.hear(THROUGH_S, 0.0)
    assert desk.say(b"1", 1.0) == [THROUGH_S]
    desk.hear(THROUGH_T, 1.2)
    assert desk.wait(1.0 + SILENCE_SECONDS) == [THROUGH_T]
    desk.hear(THROUGH_T, 1.7)
    assert desk.routes.poll_timeout() is None


def test_who_was_not_heard_lately_is_tried_over_all_ways() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [FOUR, THROUGH_S], 0.0)
    desk.hear(THROUGH_S, 0.0)
    assert desk.say(b"1", HEARD_SECONDS_MAX - 0.1) == [THROUGH_S]
    desk.hear(THROUGH_S, HEARD_SECONDS_MAX)
    assert desk.say(b"2", 2 * HEARD_SECONDS_MAX) == [THROUGH_S, FOUR]


def test_lost_goes_on_with_the_next_at_once_and_leaves_that_way_out_for_a_while() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [THROUGH_S, THROUGH_T], 0.0)
    desk.hear(THROUGH_S, 0.0)
    assert desk.say(b"1", 1.0) == [THROUGH_S]
    desk.routes.lost(node_id_of(BOB), THROUGH_S, 1.05)
    assert desk.taken() == [THROUGH_T]
    assert desk.say(b"2", 1.1) == [THROUGH_T]
    desk.hear(THROUGH_T, 1.3)
    assert desk.say(b"3", 1.05 + LOST_SECONDS) == [THROUGH_T]
    assert desk.sought == []


def test_when_all_is_lost_new_ways_are_sought_once_and_tried_as_they_come() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [THROUGH_S], 0.0)
    assert desk.say(b"1", 1.0) == [THROUGH_S]
    for _notice in range(3):
        desk.routes.lost(node_id_of(BOB), THROUGH_S, 1.05)
    assert desk.sought == [1.05]
    desk.routes.tell(BOB, [THROUGH_S, THROUGH_T], 1.3)
    assert desk.taken() == [THROUGH_T]


def test_a_notice_about_somebody_else_changes_nothing() -> None:
    desk = Desk()
    desk.routes.lost(bytes(20), THROUGH_S, 0.0)
    assert (len(desk.routes), desk.sought, desk.sent) == (0, [], [])


def test_a_notice_of_somebody_who_is_no_way_to_the_node_pushes_out_no_true_one() -> None:
    desk = Desk()
    desk.routes.tell(BOB, [THROUGH_S, THROUGH_T], 0.0)
    desk.routes.lost(node_id_of(BOB), THROUGH_S, 0.0)
    for number in range(WAYS_MAX):
        desk.routes.lost(node_id_of(BOB), via_address(number.to_bytes(32, "big")), 0.0)
    assert desk.say(b"1", 0.1) == [THROUGH_T]


def test_one_over_each_bound() -> None:
    desk = Desk()
    ways = [("192.0.2.1", 1 + number) for number in range(WAYS_MAX + 1)]
    desk.routes.tell(BOB, ways, 0.0)
    assert desk.say(b"1", 0.0) == ways[:WAYS_MAX]
    desk.hear(ways[0], 0.0)
    for _frame in range(KEPT_FRAMES_MAX + 1):
        desk.say(b"x", 0.1)
    assert len(desk.wait(1.0)) == KEPT_FRAMES_MAX * (WAYS_MAX - 1)
    for number in range(NODES_MAX + 1):
        desk.routes.say(number.to_bytes(32, "big"), b"x", 1.0)
    assert len(desk.routes) == NODES_MAX
    desk.routes.handle_timeout(100.0)
    assert desk.routes.poll_timeout() is None
