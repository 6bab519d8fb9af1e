"""A super-node's side: who is attached for how long, what is passed on for whom, and each bound, one over."""

from collections.abc import Callable

import pytest

from overlay.crossing import elsewhere
from overlay.frame import FRAME_OVERHEAD_BYTES
from overlay.relaying import (
    BYTES_PER_SENDER_PER_SECOND_MAX,
    FLOW_SECONDS,
    FRAMES_PER_SECOND_MAX,
    FRAMES_PER_SENDER_PER_SECOND_MAX,
    HELD_FRAMES_MAX,
    HELD_SENDERS_MAX,
    OTHERS_MIN,
    SENDERS_MAX,
    VISITOR_SECONDS,
    VISITORS_MAX,
    Relaying,
    may_relay_to,
)
from overlay.via import make_lost, make_relay, make_relay_to_address, make_relayed, via_address
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

PUBLIC = ("203.0.113.9", 4500)


def key(number: int) -> bytes:
    """A node key."""
    return number.to_bytes(32, "big")


def at(number: int) -> Address:
    """Where the node with this number is."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5000


class Desk:
    """One super-node; strangers are those in `strangers`."""

    def __init__(self, charge: Callable[[int], bool] = bool, **fields: int) -> None:
        self.sent: list[tuple[bytes, Address, bytes]] = []
        self.asked: list[bytes] = []
        self.strangers: set[bytes] = set()
        self.relaying = Relaying(
            send=lambda node_key, address, payload: self.sent.append((node_key, address, payload)),
            is_member=lambda node_key, _now: node_key not in self.strangers,
            ask_who=lambda node_key, _now: self.asked.append(node_key),
            charge=charge,
            **fields,
        )

    def relay(
        self, sender: int, target: int, inner: bytes = b"frame", now: float = 0.0
    ) -> list[tuple[bytes, Address, bytes]]:
        """What is sent because one node wants a frame passed on to another."""
        self.relaying.take(key(sender), make_relay(node_id_of(key(target)), inner), at(sender), now)
        sent, self.sent = self.sent, []
        return sent

    def relay_to(self, sender: int, address: Address, now: float = 0.0) -> list[tuple[bytes, Address, bytes]]:
        """The same for an address."""
        self.relaying.take(key(sender), make_relay_to_address(key(77), address, b"frame"), at(sender), now)
        sent, self.sent = self.sent, []
        return sent


def test_a_frame_for_who_is_attached_is_passed_on_and_the_answer_goes_back() -> None:
    desk = Desk()
    assert desk.relaying.attach(key(1), at(1), 0.0) == [999, False]
    assert desk.relay(2, 1) == [(key(1), at(1), make_relayed(b"frame"))]
    assert desk.relay(1, 2, b"answer", VISITOR_SECONDS - 0.1) == [(key(2), at(2), make_relayed(b"answer"))]


def test_a_visitor_can_be_answered_for_a_minute() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    desk.relay(2, 1)
    assert desk.relay(1, 2, now=VISITOR_SECONDS) == [(key(1), at(1), make_lost(node_id_of(key(2))))]


def test_who_does_not_attach_again_is_lost_at_once() -> None:
    desk = Desk()
    lost = [(key(2), at(2), make_lost(node_id_of(key(1))))]
    assert desk.relay(2, 1) == lost
    desk.relaying.attach(key(1), at(1), 0.0)
    assert desk.relay(2, 1, now=FLOW_SECONDS - 0.1) != lost
    assert desk.relay(2, 1, now=FLOW_SECONDS) == lost
    assert (len(desk.relaying), desk.relaying.counters.lost) == (0, 2)


def test_one_client_over_the_bound_is_refused_and_those_attached_are_kept() -> None:
    desk = Desk(clients_max=3)
    for number in range(3):
        desk.relaying.attach(key(number), at(number), 0.0)
    with pytest.raises(RemoteError) as refusal:
        desk.relaying.attach(key(3), at(3), 1.0)
    assert refusal.value.status == 503
    assert desk.relaying.attach(key(0), at(9), 1.0) == [0, False]
    assert desk.relaying.flow(node_id_of(key(0))) == at(9)
    assert desk.relaying.attach(key(3), at(3), FLOW_SECONDS)[0] == 1


def test_who_drains_takes_nobody_new_and_tells_those_attached() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    desk.relaying.draining = True
    assert desk.relaying.attach(key(1), at(1), 1.0) == [999, True]
    with pytest.raises(RemoteError) as refusal:
        desk.relaying.attach(key(2), at(2), 1.0)
    assert refusal.value.status == 503
    desk.relaying.close()
    assert desk.sent == [(key(1), at(1), make_lost(node_id_of(key(1))))]


def test_who_leaves_tells_those_attached_and_passes_on_what_comes_while_they_move() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    for _twice in range(2):
        desk.relaying.leave()
    assert desk.sent == [(key(1), at(1), make_lost(node_id_of(key(1))))]
    desk.sent = []
    with pytest.raises(RemoteError) as refusal:
        desk.relaying.attach(key(1), at(1), 1.0)
    assert refusal.value.status == 503
    assert desk.relay(2, 1) == [(key(1), at(1), make_relayed(b"frame"))]


def test_a_stranger_waits_until_it_is_known_and_only_so_much_is_kept() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    desk.strangers.add(key(2))
    for _number in range(HELD_FRAMES_MAX + 1):
        assert desk.relay(2, 1) == []
    assert set(desk.asked) == {key(2)}
    desk.strangers.clear()
    desk.relaying.proved(key(2), 1.0)
    assert len(desk.sent) == HELD_FRAMES_MAX
    desk.relaying.proved(key(2), 1.0)
    assert len(desk.sent) == HELD_FRAMES_MAX


def test_one_stranger_over_the_bound_displaces_the_first() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    desk.strangers |= {key(number) for number in range(100, 101 + HELD_SENDERS_MAX)}
    for number in range(100, 101 + HELD_SENDERS_MAX):
        desk.relay(number, 1)
    assert desk.relaying.sizes[2] == HELD_SENDERS_MAX
    desk.relaying.proved(key(100), 0.0)
    assert desk.sent == []


@pytest.mark.parametrize(
    ("size", "count"), [(1, FRAMES_PER_SENDER_PER_SECOND_MAX), (1_500, BYTES_PER_SENDER_PER_SECOND_MAX // 1_500)]
)
def test_one_frame_over_a_senders_budget_is_not_passed_on_and_others_still_are(size: int, count: int) -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    passed = sum(len(desk.relay(2, 1, bytes(size))) for _number in range(count + 1))
    assert passed == count
    assert desk.relaying.counters.refused == 1
    assert len(desk.relay(3, 1)) == 1
    assert len(desk.relay(2, 1, now=1.0)) == 1


def test_one_frame_over_the_budget_of_all_is_not_passed_on() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), at(1), 0.0)
    passed = sum(len(desk.relay(2 + number, 1)) for number in range(FRAMES_PER_SECOND_MAX + 1))
    assert passed == FRAMES_PER_SECOND_MAX
    assert desk.relaying.sizes[:2] == (VISITORS_MAX, SENDERS_MAX)


def test_an_address_is_for_those_attached_only() -> None:
    desk = Desk(allows_private=False)
    assert desk.relay_to(1, ("9.9.9.9", 4500)) == [(key(1), at(1), make_lost(node_id_of(key(1))))]
    desk.relaying.attach(key(1), at(1), 0.0)
    assert desk.relay_to(1, ("9.9.9.9", 4500)) == [(key(77), ("9.9.9.9", 4500), make_relayed(b"frame"))]
    assert desk.relay_to(1, ("192.168.1.1", 4500)) == []
    assert desk.relaying.counters.refused == 1


NEVER = [
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::",
    "ff02::1",
    "100::8000:0:0:1",
    "100::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "64:ff9b:1::7f00:1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "fec0::1",
]
PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.1.1",
    "100.64.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
]


@pytest.mark.parametrize("host", NEVER)
def test_never_a_target(host: str) -> None:
    assert not may_relay_to(host, allows_private=False)
    assert not may_relay_to(host, allows_private=True)


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_target_only_if_allowed(host: str) -> None:
    assert not may_relay_to(host, allows_private=False)
    assert may_relay_to(host, allows_private=True)


@pytest.mark.parametrize("host", ["9.9.9.9", "2620:fe::fe"])
def test_a_public_target(host: str) -> None:
    assert may_relay_to(host, allows_private=False)


@pytest.mark.parametrize("spoil", [lambda payload: payload[:10], lambda payload: payload[:21] + b"\x07" + payload[22:]])
def test_what_is_malformed_is_refused_before_anybody_is_asked(spoil: Callable[[bytes], bytes]) -> None:
    desk = Desk()
    with pytest.raises(RemoteError):
        desk.relaying.take(key(1), spoil(make_relay(bytes(20), b"frame")), PUBLIC, 0.0)
    assert (desk.asked, desk.sent) == ([], [])


def test_what_another_super_node_has_passed_on_goes_to_no_third_one_and_not_back() -> None:
    desk = Desk()
    desk.relaying.attach(key(1), via_address(key(9)), 0.0)
    frame = make_relay(node_id_of(key(1)), b"frame")
    desk.relaying.take(key(2), frame, at(2), 0.0)
    desk.relaying.take(key(9), make_relay(node_id_of(key(1)), b"frame", is_last=True), at(9), 0.0)
    assert desk.sent == [
        (key(1), via_address(key(9)), make_relayed(b"frame")),
        (key(9), at(9), make_lost(node_id_of(key(1)))),
    ]


def test_when_the_months_bytes_are_used_up_nothing_is_passed_on() -> None:
    left = [3 * (len(b"frame") + FRAME_OVERHEAD_BYTES)]

    def charge(count: int) -> bool:
        left[0] -= count
        return left[0] >= 0

    desk = Desk(charge)
    desk.relaying.attach(key(1), at(1), 0.0)
    assert [len(desk.relay(2, 1)) for _frame in range(4)] == [1, 1, 1, 0]


def test_the_last_places_are_kept_for_those_with_fewer_flows() -> None:
    desk = Desk(clients_max=32)
    for number in range(28):
        desk.relaying.attach(key(number), at(number), 0.0, others=2)
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(100), at(100), 0.0, others=2)
    for number in range(28, 30):
        desk.relaying.attach(key(number), at(number), 0.0, others=1)
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(100), at(100), 0.0, others=1)
    for number in range(30, 32):
        desk.relaying.attach(key(number), at(number), 0.0)
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(100), at(100), 0.0)
    assert len(desk.relaying) == 32
    assert desk.sent == []


def test_who_has_no_flow_takes_the_place_of_one_that_may_go() -> None:
    desk = Desk(clients_max=3)
    desk.relaying.attach(key(1), at(1), 0.0, others=2)
    desk.relaying.attach(key(2), at(2), 0.0, others=1, may_go=True)  # too few
    desk.relaying.attach(key(3), at(3), 0.0, others=OTHERS_MIN, may_go=True)
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(4), at(4), 1.0, others=1)
    assert desk.relaying.attach(key(4), at(4), 1.0) == [0, False]
    assert desk.sent == [(key(3), at(3), make_lost(node_id_of(key(3))))]
    assert [desk.relaying.flow(node_id_of(key(number))) for number in (1, 2, 3, 4)] == [at(1), at(2), None, at(4)]
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(5), at(5), 1.0)  # nobody else may go
    assert (len(desk.relaying), desk.relaying.counters.replaced) == (3, 1)


def test_who_has_lost_its_others_since_may_not_go() -> None:
    desk = Desk(clients_max=1)
    desk.relaying.attach(key(1), at(1), 0.0, others=2, may_go=True)
    desk.relaying.attach(key(1), at(1), 1.0, others=0, may_go=False)
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(2), at(2), 2.0)


def test_who_lies_of_having_none_gets_one_place() -> None:
    desk = Desk(clients_max=2)
    for number in (1, 2):
        desk.relaying.attach(key(number), at(number), 0.0, others=2, may_go=True)
    for moment in range(5):
        desk.relaying.attach(key(66), at(66), float(moment))
    assert len(desk.sent) == 1
    assert desk.relaying.flow(node_id_of(key(2))) == at(2)


def test_a_draining_one_takes_nobody_in_place_of_another() -> None:
    desk = Desk(clients_max=1)
    desk.relaying.attach(key(1), at(1), 0.0, others=2, may_go=True)
    desk.relaying.draining = True
    with pytest.raises(RemoteError):
        desk.relaying.attach(key(2), at(2), 0.0)
    assert desk.sent == []


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ([], (0, False)),
        ([2], (2, False)),
        ([2, True], (2, True)),
        ([2, True, "more"], (2, True)),
        ([True, True], (0, False)),
        (["2", True], (0, False)),
        ([2, 1], (2, False)),
        ([-5, True], (-5, True)),
    ],
)
def test_what_an_attach_tells_of_other_flows(arguments: list[object], meant: tuple[int, bool]) -> None:
    assert elsewhere(arguments) == meant
