"""Choosing among super-nodes: delay, capacity, uptime, diversity of networks; and finding them in an overlay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from overlay.contact import Contact
from overlay.events import LookupDone
from overlay.records import RELAY, Record, relay_keys
from overlay.relay_record import Announcement, encode_announcement
from overlay.rpc import Answer
from overlay.supernodes import ENOUGH, FEW_FREE, KNOWN_MAX, LOOK_AGAIN_SECONDS, PLACES_AT_ONCE, SuperNodes, score_of
from p2psip.base.chance import Chance
from p2psip.base.keys import node_id_of
from tests.overlay.devices import OVERLAY
from tests.overlay.nats import Nat
from tests.overlay.supernodes import flows_of, town

USUAL = Announcement(bytes(32), (("8.8.8.8", 4500),), capacity=50, uptime_class=3)


class Desk:
    """Super-nodes at these hosts with these round trips, learnt and measured."""

    def __init__(self, *nodes: tuple[str, float], **fields: Any) -> None:
        self.now = 0.0
        self.rtts: dict[str, float | None] = {}
        self.looked: list[bytes] = []
        self.searches: list[Callable[[LookupDone], None]] = []
        self.supernodes = SuperNodes(
            b"us" + bytes(30),
            OVERLAY,
            self.ask,
            self.find,
            Chance.seeded(1),
            found=lambda _now: None,
            time=lambda: self.now,
            unix=lambda: self.now,
        )
        self.add([(replace(USUAL, addresses=((host, 4500),), **fields), rtt) for host, rtt in nodes])

    def find(self, key: bytes, _now: float, then: Callable[[LookupDone], None]) -> None:
        """A search that `end` ends."""
        self.looked.append(key)
        self.searches.append(then)

    def end(self) -> None:
        """Nobody was there to be asked."""
        while self.searches:
            self.searches.pop(0)(LookupDone(1, (), (), 0, 0, 0.0))

    def ask(
        self, contact: Contact, _method: int, _arguments: list[Any], callback: Callable[..., None], *_rest: Any
    ) -> None:
        """A ping is answered at once, after a virtual round trip."""
        contact.rtt = self.rtts[contact.address[0]]
        callback(contact, None if contact.rtt is None else Answer(200, ("192.0.2.1", 1), b"", None, 1, None))

    def add(self, announcements: list[tuple[Announcement, float | None]]) -> None:
        """A lookup has found these."""
        records = []
        for number, (announcement, rtt) in enumerate(announcements):
            key = announcement.node_key if any(announcement.node_key) else (len(self.rtts) + 1).to_bytes(32, "big")
            self.rtts[announcement.addresses[0][0]] = rtt
            body = encode_announcement(replace(announcement, node_key=key))
            author: Any = type("Author", (), {"node_id": node_id_of(key)})
            records.append((Record(RELAY, relay_keys(OVERLAY)[0], b"", number, 600, body, b""), author))
        self.supernodes.take(LookupDone(1, tuple(records), (), 0, 0, 0.0), self.now, self.now)

    def order(self) -> list[str]:
        """The hosts, best first."""
        return [node.addresses[0][0] for node in self.supernodes.ranked()]


def test_the_nearest_is_the_best() -> None:
    assert Desk(("8.8.8.8", 0.2), ("9.9.9.9", 0.02), ("7.7.7.7", 0.1)).order() == ["9.9.9.9", "7.7.7.7", "8.8.8.8"]


def test_a_neighbour_in_a_network_costs_and_one_in_a_site_comes_last() -> None:
    desk = Desk(("9.9.9.1", 0.02), ("9.9.9.2", 0.03), ("9.9.7.1", 0.04), ("7.7.7.7", 0.1), ("2001:db8::1", 0.2))
    assert desk.order() == ["9.9.9.1", "7.7.7.7", "9.9.7.1", "2001:db8::1", "9.9.9.2"]
    desk = Desk(("2600:1:2:3::1", 0.01), ("2600:1:2:4::1", 0.02), ("2600:1:3::1", 0.03), ("2601::1", 0.1))
    assert desk.order() == ["2600:1:2:3::1", "2601::1", "2600:1:3::1", "2600:1:2:4::1"]


def test_private_networks_are_no_networks() -> None:
    assert Desk(("10.0.0.1", 0.02), ("10.0.0.2", 0.03), ("9.9.9.9", 0.04)).order() == [
        "10.0.0.1",
        "10.0.0.2",
        "9.9.9.9",
    ]


@pytest.mark.parametrize(
    ("worse", "milliseconds"),
    [
        ({"capacity": 0}, 1_000),
        ({"capacity": FEW_FREE - 1}, 50),
        ({"uptime_class": 0}, 60),
        ({"uptime_class": 1}, 30),
        ({"uptime_class": 2}, 10),
        ({"draining": True}, 1_000_000),
    ],
)
def test_what_a_property_is_worth(worse: dict[str, Any], milliseconds: float) -> None:
    assert score_of(replace(USUAL, **worse), 0.1) - score_of(USUAL, 0.1) == milliseconds
    assert score_of(replace(USUAL, capacity=FEW_FREE), 0.1) == score_of(USUAL, 0.1) == 100
    assert score_of(USUAL, None) > score_of(USUAL, 0.3)


def test_who_does_not_answer_is_forgotten_and_an_expired_one_too() -> None:
    desk = Desk(("9.9.9.9", 0.1))
    desk.add([(replace(USUAL, addresses=(("8.8.8.8", 1),)), None)])
    assert desk.order() == ["9.9.9.9"]
    desk.now = 600.0
    assert desk.order() == []


def test_an_address_of_a_family_that_we_have() -> None:
    desk = Desk()
    desk.add([(replace(USUAL, addresses=(("9.9.9.9", 1), ("2001:db8::1", 1))), 0.1)])
    key = desk.supernodes.ranked()[0].node_key
    desk.supernodes.families = frozenset((6,))
    assert desk.supernodes.candidates([]) == [(key, ("2001:db8::1", 1))]
    assert desk.supernodes.candidates([key]) == []
    desk.supernodes.families = frozenset()
    assert desk.supernodes.address_of(key) is None


def test_one_over_the_bound_displaces_the_oldest() -> None:
    desk = Desk(*((f"9.{number}.9.9", 0.1) for number in range(KNOWN_MAX + 1)))
    assert len(desk.supernodes) == KNOWN_MAX


def test_a_search_begins_with_a_few_places_and_not_twice_at_once() -> None:
    desk = Desk()
    desk.supernodes.look(0.0)
    desk.supernodes.look(0.1)
    assert len(desk.looked) == len(set(desk.looked)) == 3
    assert desk.supernodes.is_looking


def test_clients_spread_over_the_super_nodes_of_an_overlay() -> None:
    _world, supernodes, clients = town(40, *[Nat.PORT_RESTRICTED] * 12, peers=20, volunteers=9)
    loads = [sum(node.key in flows_of(client) for client in clients) for node in supernodes]
    assert sum(loads) == 36
    assert all(len(client.peer.crossing.supernodes) >= 5 for client in clients)


def test_those_that_we_cannot_send_to_end_no_search() -> None:
    desk = Desk()
    desk.supernodes.families = frozenset((6,))
    desk.add([(replace(USUAL, addresses=((f"192.0.{number}.1", 1),)), 0.1) for number in range(ENOUGH)])
    desk.supernodes.look(0.0)
    assert len(desk.looked) == PLACES_AT_ONCE


def test_a_search_with_nobody_to_ask_is_none_and_delays_no_other() -> None:
    desk = Desk()
    for _ in range(12):
        desk.supernodes.look(desk.now)
        desk.end()
        desk.now += 0.1
    assert len(desk.looked) == 12 * len(relay_keys(OVERLAY))
    contact = Contact(bytes(32), ("192.0.2.1", 1))
    desk.supernodes.look(desk.now)
    while desk.searches:  # now there is somebody, who knows no super-node
        desk.searches.pop(0)(LookupDone(1, (), (contact,), 1, 1, 0.1))
    asked = len(desk.looked)
    desk.supernodes.look(desk.now + LOOK_AGAIN_SECONDS)
    assert len(desk.looked) > asked, "it is looked for again soon"
